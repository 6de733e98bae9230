"""``bench serve --client``: whether every stream was whole by MLCommons' client's own report. The stand-in reports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from harness import demo
from harness.endpoints import bench
from harness.endpoints.client import find_client
from harness.rundir.files import read_record
from tests.harness.endpoints.test_runner import behave
from tests.harness.serve import tokenizers


@contextlib.contextmanager
def no_server(args: dict[str, float], folder: Path) -> Iterator[tuple[psutil.Process, int]]:
    """The stand-in asks nobody."""
    assert args["output_tokens"] == 16 and folder.is_dir()
    yield psutil.Process(), 1


@pytest.mark.usefixtures("pinned")
def test_a_stream_that_ended_early_is_seen(client_env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "null_server", no_server)
    tokenizers.make(tmp_path / "tokenizer")
    monkeypatch.setattr(demo, "demo_model", lambda: tmp_path / "tokenizer")
    behave(tmp_path / "client-8", c8="cut")
    client, console = find_client(client_env), Console(quiet=True)
    rows = bench.measure_with(client, output=tmp_path, streams=[8, 4], tokens=16, step_ms=1.0, console=console)
    assert [(row.issued, row.failed, sum(row.ends.values()), row.whole) for row in rows] == [
        (8, 0, 5, False),
        (4, 0, 4, True),
    ]
    assert "8 issued, 8 completed, 0 failed; ends by reason: 5 length" in bench.line(rows[0])
    written = read_record(tmp_path / bench.RECORD, bench.ClientRows)
    assert written is not None and written.client == client.commit and len(written.rows) == 2
