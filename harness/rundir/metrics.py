"""What the monitor measured (metrics.parquet, or the stream of a run that was killed): reading it, and its summary."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.rundir.columns import METRICS, schema
from harness.rundir.result import Reading

COLUMNS = schema(METRICS)


def read_metrics(run_dir: Path) -> pa.Table | None:
    """Return every reading of the run (all writers together, dictionary-encoded texts), or None if there are none.

    The table's metadata holds ``facts`` as JSON: ``{node: {source: {...}}}``.
    """
    tables, facts = [], {}
    for path in sorted(run_dir.glob("metrics*.parquet")) + sorted(run_dir.glob("metrics*.arrows")):
        if path.suffix == ".arrows" and path.with_suffix(".parquet").exists():
            continue
        table = pq.read_table(path) if path.suffix == ".parquet" else read_stream(path)
        facts.update(json.loads((table.schema.metadata or {}).get(b"facts", b"{}")))
        tables.append(table.select(COLUMNS.names).cast(COLUMNS))
    if not tables:
        return None
    table = pa.concat_tables(tables)
    for at, name in enumerate(COLUMNS.names):
        if name in ("node", "source", "name"):
            table = table.set_column(at, name, table[name].dictionary_encode().unify_dictionaries())
    return table.replace_schema_metadata({"facts": json.dumps(facts)})


def read_stream(path: Path) -> pa.Table:
    """Read a stream up to its last whole batch."""
    batches: list[pa.RecordBatch] = []
    schema = COLUMNS
    with path.open("rb") as source, contextlib.suppress(StopIteration, pa.ArrowInvalid, OSError):
        reader = pa.ipc.open_stream(source)
        schema = reader.schema
        while True:
            batches.append(reader.read_next_batch())
    return pa.Table.from_batches(batches, schema=schema)


def summarize_metrics(table: pa.Table) -> dict[str, Reading]:
    """Return the readings by ``node/source/name``. ``table``: t_s, node, source, name, value."""
    means = table.group_by(["node", "source", "name"]).aggregate([("value", "mean"), ("value", "max")])
    return {
        f"{row['node']}/{row['source']}/{row['name']}": Reading(mean=row["value_mean"], max=row["value_max"])
        for row in sorted(means.to_pylist(), key=lambda row: (row["node"], row["source"], row["name"]))
    }
