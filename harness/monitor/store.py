"""``metrics.parquet``: long format, a row a reading, columns t_s, node, source, name, value.

A Parquet file is worthless until its footer is written, so readings are first appended to an Arrow stream
(``metrics.arrows``), of which every whole batch survives a kill. Closing turns the stream into the Parquet file.
``harness.rundir.metrics`` reads whichever is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.monitor.gpu import Facts
from harness.monitor.node import NodeSample
from harness.rundir.metrics import COLUMNS, read_stream
from mlperf_llama_base.files import replacing


class MetricsWriter:
    """Collects readings of one run. ``stem``: file name without suffix, for a second writer in the same directory.

    ``facts``: what does not change (GPU names, power limits) by node, kept in the file's metadata.
    """

    def __init__(
        self, run_dir: Path, *, facts: Mapping[str, Mapping[str, Facts]] | None = None, stem: str = "metrics"
    ) -> None:
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
        table = read_stream(self._stream)
        with replacing(self._parquet) as scratch:
            pq.write_table(table, scratch, compression="zstd")
        self._stream.unlink()
