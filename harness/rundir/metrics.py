"""Mean and maximum of what the monitor measured, for result.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.rundir.result import Reading

if TYPE_CHECKING:
    import pyarrow as pa


def summarize_metrics(table: pa.Table) -> dict[str, Reading]:
    """Return the readings by ``node/source/name``. ``table``: t_s, node, source, name, value."""
    means = table.group_by(["node", "source", "name"]).aggregate([("value", "mean"), ("value", "max")])
    return {
        f"{row['node']}/{row['source']}/{row['name']}": Reading(mean=row["value_mean"], max=row["value_max"])
        for row in sorted(means.to_pylist(), key=lambda row: (row["node"], row["source"], row["name"]))
    }
