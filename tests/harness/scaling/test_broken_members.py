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


def test_a_member_killed_in_the_middle_is_told_and_the_others_figures_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    killer = threading.Thread(target=kill_when, args=(out, "group-1", 50), daemon=True)
    killer.start()
    size = settings("loadgen.min_query_count=360", "loadgen.min_duration_ms=1", "engine.args.step_ms=10")
    assert call("benchmark", "coordinated", *NULL, *size, "--workers", "2", "--output", str(out)) == 4
    printed = capsys.readouterr()
    step, members = record(out)
    assert members["group-0"]["status"] == "ok" and members["group-0"]["completed"] == 360
    lost = members["group-1"]
    assert lost["status"] == "broken" and lost["error"] == "killed by SIGKILL" and lost["exit_code"] == -9
    assert lost["expected"] == 360 and 0 < lost["completed"] < 360 and lost["at_s"] > 0
    assert lost["log"] == "group-1/session.log"
    assert step["valid"] is False and [n["node"] for n in step["nodes"]] == ["group-0"]
    text = (out / "report.md").read_text()
    assert "**BROKEN: group-1 of 2 LoadGens did not get to the end; the figures are of the other 1.**" in text
    assert f"{lost['completed']} of 360 samples done: killed by SIGKILL" in text
    assert "BROKEN: group-1" in printed.out and "group-1 broke" in printed.err


def test_a_loadgen_that_says_invalid_is_not_a_success(tmp_path: Path) -> None:
    out = tmp_path / "out"
    size = settings("loadgen.min_query_count=30", "loadgen.min_duration_ms=60000", "loadgen.target_qps=0.5")
    assert call("benchmark", "coordinated", *NULL, *size, "--workers", "2", "--output", str(out)) == 1
    step, members = record(out)
    assert step["valid"] is False and {m["status"] for m in members.values()} == {"invalid"}
    assert "INVALID" in members["group-0"]["error"]
    assert "**NOT VALID: group-0, group-1.**" in (out / "report.md").read_text()


class Faulty(LocalPlace):
    """A share of the machine on which no engine starts."""

    def start(self, config: RunConfig, *, folder: Path, workers: int | None) -> Handle:
        wrong = config.model_copy(deep=True)
        wrong.engine.args = {"fail": "at start"} | dict(config.engine.args)
        return super().start(wrong, folder=folder, workers=workers)


def test_a_member_that_never_starts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def places(config: RunConfig, *, groups: int | None) -> list[Place]:
        return [LocalPlace("group-0", gpus=[], workers=1), Faulty("group-1", gpus=[], workers=1)]

    monkeypatch.setattr("harness.scaling.members.local_places", places)
    out = tmp_path / "out"
    size = settings("loadgen.min_query_count=72", "loadgen.min_duration_ms=1")
    assert call("benchmark", "coordinated", *NULL, *size, "--output", str(out)) == 4
    step, members = record(out)
    lost = members["group-1"]
    assert lost["status"] == "never started" and lost["at_s"] is None and lost["log"] == "group-1/session.log"
    assert "could not be started" in lost["error"] and lost["exit_code"] == 2
    assert step["samples"]["completed"] == 72 and step["scaling"] is None
