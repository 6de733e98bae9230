"""``metrics.parquet``: long format, a row a reading, columns t_s, node, source, name, value.

A Parquet file is worthless until its footer is written, so readings are first appended to an Arrow stream
(``metrics.arrows``), of which every whole batch survives a kill. Closing turns the stream into the Parquet file.
``read_metrics`` takes whichever is there.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.monitor.node import NodeSample

COLUMNS = pa.schema(
    [
        ("t_s", pa.float64()),
        ("node", pa.string()),
        ("source", pa.string()),
        ("name", pa.string()),
        ("value", pa.float64()),
    ]
)


class MetricsWriter:
    """Collects readings of one run. ``stem``: file name without suffix, for a second writer in the same directory.

    ``facts``: what does not change (GPU names, power limits) by node, kept in the file's metadata.
    """

    def __init__(self, run_dir: Path, *, facts: dict[str, Any] | None = None, stem: str = "metrics") -> None:
        self._parquet = run_dir / f"{stem}.parquet"
        self._stream = self._parquet.with_suffix(".arrows")
        self._schema = COLUMNS.with_metadata({"facts": json.dumps(facts or {})})
        self._sink = self._stream.open("wb")
        self._writer = pa.ipc.new_stream(self._sink, self._schema)
        self._rows: list[tuple[float, str, str, str, float]] = []

    def add(self, sample: NodeSample) -> None:
        """Keep the readings of one sample until the next flush."""
        at, node = sample["t_s"], sample["node"]
        self._rows.extend(
            (at, node, source, name, value)
            for source, readings in sample["metrics"].items()
            for name, value in readings.items()
        )

    def flush(self) -> None:
        """Append what was collected to the stream, whole, so that a kill cannot lose it."""
        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
            self._sink.flush()
            self._rows = []

    def close(self) -> None:
        """Write the Parquet file and remove the stream."""
        self.flush()
        self._writer.close()
        self._sink.close()
        table = _read_stream(self._stream)
        part = self._parquet.with_suffix(".part")
        pq.write_table(table, part, compression="zstd")
        part.replace(self._parquet)
        self._stream.unlink()


def read_metrics(run_dir: Path) -> pa.Table | None:
    """Return every reading of the run (all writers together, dictionary-encoded texts), or None if there are none.

    The table's metadata holds ``facts`` as JSON: ``{node: {source: {...}}}``.
    """
    tables, facts = [], {}
    for path in sorted(run_dir.glob("metrics*.parquet")) + sorted(run_dir.glob("metrics*.arrows")):
        if path.suffix == ".arrows" and path.with_suffix(".parquet").exists():
            continue
        table = pq.read_table(path) if path.suffix == ".parquet" else _read_stream(path)
        facts.update(json.loads((table.schema.metadata or {}).get(b"facts", b"{}")))
        tables.append(table.select(COLUMNS.names).cast(COLUMNS))
    if not tables:
        return None
    table = pa.concat_tables(tables)
    for at, name in enumerate(COLUMNS.names):
        if name in ("node", "source", "name"):
            table = table.set_column(at, name, table[name].dictionary_encode().unify_dictionaries())
    return table.replace_schema_metadata({"facts": json.dumps(facts)})


def _read_stream(path: Path) -> pa.Table:
    """Read a stream up to its last whole batch."""
    batches: list[pa.RecordBatch] = []
    schema = COLUMNS
    with path.open("rb") as source, contextlib.suppress(StopIteration, pa.ArrowInvalid, OSError):
        reader = pa.ipc.open_stream(source)
        schema = reader.schema
        while True:
            batches.append(reader.read_next_batch())
    return pa.Table.from_batches(batches, schema=schema)
