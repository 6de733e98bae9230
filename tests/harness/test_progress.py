"""The live view says what status.json says, in a terminal and without one."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import progress


def status(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "time": time.time(),
        "scenario": "server",
        "mode": "performance",
        "phase": "running",
        "issued": 20000,
        "completed": 10026,
        "expected": 40104,
        "elapsed_s": 333.0,
        "tokens": 1,
        "input_tokens": 1,
        "samples_per_s": 45.1,
        "tokens_per_s": 5777.1,
        "tokens_per_s_mean": 5650.4,
        "ttft_p99_ms": 2100.0,
        "tpot_p99_ms": 25.1,
        "ttft_limit_ms": 2000,
        "tpot_limit_ms": 100,
        "eta_s": 555.0,
        "retried": 3,
        "restarts": 1,
        "pid": 1,
        "message": None,
        "workers": [
            {
                "id": i,
                "node": "n0",
                "gpu": f"H100 #{i}",
                "state": "running",
                "outstanding": 9,
                "running": 8,
                "waiting": 1,
                "samples": 100,
                "tokens": 1000,
                "tokens_per_s": 700.0 + i,
                "restarts": 0,
                "rss_bytes": 1,
            }
            for i in range(2)
        ],
    }
    return base | changes


def shown(tmp_path: Path, state: dict[str, Any], *, terminal: bool, width: int = 120) -> str:
    (tmp_path / "status.json").write_text(json.dumps(state))
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    progress.show(tmp_path, is_alive=lambda: False, console=console)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_shows_the_figures(tmp_path: Path, terminal: bool) -> None:
    text = shown(tmp_path, status(), terminal=terminal)
    for expected in (
        "10,026 of 40,104 samples (25.0 %)",
        "5,777 tokens/s",
        "5,650",
        "2,100 ms of 2,000 ms OVER",
        "25.1 ms of 100 ms",
        "9 min 15 s",
        "running",
    ):
        assert expected in text
    assert "25.1 ms of 100 ms OVER" not in text


def test_a_scenario_without_limits_shows_none(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("ttft_p99_ms", "tpot_p99_ms", "ttft_limit_ms", "tpot_limit_ms", "eta_s", "expected"))
    text = shown(tmp_path, status(**nothing), terminal=True)
    assert "TTFT" not in text
    assert "10,026 samples of 20,000 issued" in text


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    text = shown(tmp_path, status(message="[red]boom[/red] [/nothing]"), terminal=False)
    assert "[red]boom[/red] [/nothing]" in text


def test_too_many_workers_shows_the_slowest(tmp_path: Path) -> None:
    worker = status()["workers"][0]
    many = [worker | {"id": i, "tokens_per_s": 1000.0 - i} for i in range(200)]
    text = shown(tmp_path, status(workers=many), terminal=True)
    assert "faster" in text
    assert "801" in text and "1,000" not in text


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_no_status_yet(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert progress.read_status(tmp_path) is None


def test_stops_when_the_run_has_ended(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps(status(phase="finished")))
    progress.show(tmp_path, is_alive=lambda: True, console=Console(file=io.StringIO()))


def test_says_when_there_is_no_news() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(progress.Progress(status(time=time.time() - 100)))
    assert "no news for 1 min 4" in out.getvalue()


def test_a_phone_wide_terminal_shows_all_of_it(tmp_path: Path) -> None:
    text = shown(tmp_path, status(message=None), terminal=True, width=40)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.replace("\r", "\n")).splitlines()
    assert max(map(len, lines)) == 40
    for expected in (
        "10,026 of 40,104 samples (25.0 %)",
        "5,777 tokens/s now",
        "5,650 mean",
        "45.1 samples/s",
        "2,100 ms of 2,000 ms OVER",
        "25.1 ms of 100 ms",
        "3 samples",
        "1 restarts",
        "9 min 15 s left",
    ):
        assert any(expected in line for line in lines), expected  # in one piece
    worker = next(line for line in lines if line.startswith("│ 1 "))
    assert "701" in worker and "━" in worker
    assert "━" in lines[1]
