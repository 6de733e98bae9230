"""A coordinated benchmark of real sessions in which one breaks, never starts or does not count: what is on record."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.scaling.members import Handle, LocalPlace, Place
from mlperf_llama_base.node import node_name
from tests.harness.scaling.test_scaling import NULL, call
from tests.helpers.command import settings

pytestmark = pytest.mark.timeout(240)


def record(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The step of all members, and the members by name."""
    (step,) = json.loads((out / "scaling.json").read_text())["steps"]
    return step, {m["name"]: m for m in step["members"]}


def kill_when(out: Path, name: str, count: int) -> None:
    """SIGKILL the session of a member once it has done so many samples."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            status = json.loads((out / name / "status.json").read_text())
            if status["completed"] >= count:
                os.kill(status["pid"], signal.SIGKILL)
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.02)


class Faulty(LocalPlace):
    """A share of the machine on which no engine starts."""

    def start(self, config: RunConfig, *, folder: Path, workers: int | None) -> Handle:
        wrong = config.model_copy(deep=True)
        wrong.engine.args = {"fail": "at start"} | dict(config.engine.args)
        return super().start(wrong, folder=folder, workers=workers)


def test_one_is_killed_in_the_middle_one_never_starts_and_the_third_s_figures_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def places(config: RunConfig, *, groups: int | None) -> list[Place]:
        kinds = (LocalPlace, LocalPlace, Faulty)
        return [kind(f"group-{i}", gpus=[], workers=1) for i, kind in enumerate(kinds)]

    monkeypatch.setattr("harness.scaling.members.local_places", places)
    out = tmp_path / "out"
    threading.Thread(target=kill_when, args=(out, "group-1", 50), daemon=True).start()
    size = settings("loadgen.min_query_count=360", "loadgen.min_duration_ms=1", "engine.args.step_ms=10")
    assert call("benchmark", "coordinated", *NULL, *size, "--output", str(out)) == 4
    printed = capsys.readouterr()
    step, members = record(out)
    assert members["group-0"]["status"] == "ok" and members["group-0"]["completed"] == 360
    lost = members["group-1"]
    assert lost["status"] == "broken" and lost["error"] == "killed by SIGKILL" and lost["exit_code"] == -9
    assert lost["expected"] == 360 and 0 < lost["completed"] < 360 and lost["at_s"] > 0
    never = members["group-2"]
    assert never["status"] == "never started" and never["at_s"] is None and never["exit_code"] == 2
    assert "could not be started" in never["error"]
    assert [m["log"] for m in (lost, never)] == ["group-1/session.log", "group-2/session.log"]
    assert step["valid"] is False and [n["node"] for n in step["nodes"]] == ["group-0"]
    assert step["scaling"] is None  # two of three that were to work did not
    text = (out / "report.md").read_text()
    assert "BROKEN: group-1, group-2 of 3 LoadGens did not get to the end; the figures are of the other 1" in text
    assert f"{lost['completed']} of 360 samples done: killed by SIGKILL" in text
    assert "BROKEN: group-1" in printed.out and "group-1 broke" in printed.err


def test_a_loadgen_that_says_invalid_is_not_a_success(tmp_path: Path) -> None:
    out = tmp_path / "out"
    size = settings("loadgen.min_query_count=30", "loadgen.min_duration_ms=60000", "loadgen.target_qps=0.5")
    assert call("benchmark", "coordinated", *NULL, *size, "--workers", "2", "--output", str(out)) == 1
    step, members = record(out)
    assert step["valid"] is False and {m["status"] for m in members.values()} == {"invalid"}
    names = [f"{node_name()}-share-{at}" for at in range(2)]
    assert "INVALID" in members[names[0]]["error"]
    assert f"**TOO SHORT FOR A VERDICT: {names[0]}, {names[1]}.**" in (out / "report.md").read_text()
