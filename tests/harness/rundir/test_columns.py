"""The Parquet files are as their columns are described, and what is read from them has a unit."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.cli import reference
from harness.execution.samples import write_samples
from harness.monitor.families import of_hardware
from harness.monitor.gpu import _READERS as GPU_READINGS
from harness.monitor.monitor import _RUN_COUNTERS, _WORKER_COUNTERS
from harness.monitor.node import sample_node
from harness.monitor.store import MetricsWriter
from harness.rundir.columns import EVENTS, METRICS, READINGS, SAMPLES, Column, schema
from harness.rundir.execution import PartRun
from harness.session.outcome import write_events
from sut.policies import Sample
from sut.record import SampleRecord
from tests.harness.fake_run import write_run

PAGE = (reference.FOLDER / "data.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def assert_as_described(file: Path, columns: tuple[Column, ...]) -> None:
    found = pq.read_schema(file)
    assert found.equals(schema(columns), check_metadata=False), found
    for one in columns:
        assert found.field(one.name).metadata == {b"unit": one.unit.encode(), b"description": one.text.encode()}


def test_events(tmp_path: Path) -> None:
    record = SampleRecord()
    sample = Sample(3, 5, 7, 100)
    record.add([sample], [b"\1\0\0\0" * 2], 200)
    hub: Any = SimpleNamespace(record=record)
    write_events(tmp_path / "events.parquet", hub, signed={"user.conf": "00"})
    assert_as_described(tmp_path / "events.parquet", EVENTS)
    [row] = pq.read_table(tmp_path / "events.parquet").to_pylist()
    assert (row["issue_ns"], row["complete_ns"], row["first_token_ns"]) == (0, 100, None)
    assert pq.read_schema(tmp_path / "events.parquet").metadata[b"user.conf"] == b"00"


def test_metrics(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, facts={"n": {}})
    writer.add({"node": "n", "t_s": 1.0, "metrics": {"cpu": {"load_1min": 0.5}}})
    writer.close()
    assert_as_described(tmp_path / "metrics.parquet", METRICS)


def test_samples_of_a_cluster(tmp_path: Path) -> None:
    write_run(tmp_path / "datacenter" / "server", samples=100)
    run = PartRun(name="server", directory="datacenter/server", scenario="server", mode="performance")
    assert write_samples(tmp_path, tmp_path / "samples.parquet", {"datacenter": [run]}) == 100
    assert_as_described(tmp_path / "samples.parquet", SAMPLES)


def test_every_reading_is_described() -> None:
    described = {(one.source, one.name) for one in READINGS}
    taken = {(source, name) for source, readings in sample_node("n")["metrics"].items() for name in readings}
    taken = {(source.rstrip("0123456789"), name) for source, name in taken}
    taken |= {("gpu", name) for name in GPU_READINGS}
    taken |= {("run", name) for name in _RUN_COUNTERS} | {("worker", name) for name in _WORKER_COUNTERS}
    assert taken == described


def test_what_grows_is_a_counter_for_prometheus() -> None:
    for one in READINGS:
        assert of_hardware(one.source, one.name).kind == ("counter" if one.grows else "gauge")


@pytest.mark.parametrize("library", ["pandas", "duckdb"])
def test_the_lines_of_the_page_run(library: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(library)
    server = write_run(tmp_path / "runs" / "server", samples=200)
    run = PartRun(name="a", directory="server", scenario="server", mode="performance")
    (tmp_path / "runs" / "cluster").mkdir()
    write_samples(server.parent, tmp_path / "runs" / "cluster" / "samples.parquet", {"datacenter": [run]})
    blocks = [block for block in BLOCKS if block.startswith(f"import {library}")]
    assert len(blocks) == 3
    for block in blocks:
        assert len(list(filter(None, block.splitlines()))) == 3
        exec(block.replace('"runs/', f'"{tmp_path}/runs/'), {})
        assert re.search(r"\d", capsys.readouterr().out)
