"""Mean and maximum of what the monitor measured, for result.json. Reads metrics.parquet (t_s, node, source, name,
value).
"""

from __future__ import annotations

from pathlib import Path


def summarize_metrics(path: Path) -> dict[str, dict[str, float]] | None:
    """Return ``{"node/source/name": {"mean", "max"}}``, or None without the file."""
    if not path.is_file():
        return None
    import pyarrow.parquet as pq

    table = pq.read_table(path).group_by(["node", "source", "name"]).aggregate([("value", "mean"), ("value", "max")])
    return {
        f"{row['node']}/{row['source']}/{row['name']}": {"mean": row["value_mean"], "max": row["value_max"]}
        for row in sorted(table.to_pylist(), key=lambda row: (row["node"], row["source"], row["name"]))
    }
