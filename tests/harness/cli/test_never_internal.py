"""Every command that reads a directory somebody sent gives an answer or one line: never "internal error"."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.cli import INTERNAL
from harness.config import Benchmark, Mode, Scenario
from harness.rundir import names
from tests.harness.fake_run import write_run
from tests.harness.submission.runs import make_run
from tests.helpers.damage import DAMAGES, EXAMPLES, said, spoil

FILES = (
    *(names.CONFIG, names.USER_CONF, names.AUDIT_CONF, names.LOCK, names.STATUS, names.SESSION, names.EVENTS),
    *(names.METRICS, names.ACCURACY_TEXT, names.ACCURACY_JSON, names.ACCURACY_SAMPLES, names.PREFLIGHT, names.SYSTEM),
    *(names.RESULT, names.SESSION_LOG, names.WORKERS, names.TUNE, names.SCALING, names.CAMPAIGN, *names.LOADGEN_LOGS),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every file: figures of a made-up one, LoadGen's own logs of an accuracy run."""
    folder = tmp_path_factory.mktemp("good")
    run = write_run(folder / "run", samples=60)
    real = make_run(folder / "real", Scenario.SERVER, Mode.ACCURACY, Benchmark.EDGE)
    for name in (*names.LOADGEN_LOGS, names.ACCURACY_JSON, names.ACCURACY_TEXT, names.USER_CONF):
        shutil.copy(real / name, run / name)
    (run / names.PREFLIGHT).write_text(json.dumps({"findings": [{"check": "gpu", "found": "x"}], "facts": {}}))
    (run / names.SYSTEM).write_text(json.dumps({"cpu": {"model": "x"}, "software": {"python": "3.12"}, "gpu": None}))
    return run


def commands(run: Path) -> list[tuple[str | Path, ...]]:
    tree = run.parent / "tree"
    ours = ("--submitter", "ACME", "--system-id", "acme", "--division", "open")
    return [
        ("summarize", run),
        ("compare", run, run),
        ("report", run, run, "--output", run.parent / "report.html"),
        ("watch", run, "--wait", "0"),
        ("judge", run),
        ("accuracy", run),
        ("submission", "check", run),
        ("submission", "build", run, *ours, "--output", tree, "--system", run / names.SYSTEM),
        ("data", "inspect", run / names.EVENTS),
        ("data", "inspect", run / names.RESULT),
        (
            "benchmark",
            "datacenter",
            "--dry-run",
            "--output",
            run,
            "--target-qps",
            "offline=1",
            "--scenarios",
            "offline",
        ),
    ]


def test_a_whole_one_is_read(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "run")
    codes = {command[0]: said(*command)[1] for command in commands(tmp_path / "run")}
    assert codes["summarize"] in (0, 1)
    assert (codes["compare"], codes["report"]) == (0, 0)


@pytest.mark.timeout(3600 if EXAMPLES else 240)
@settings(max_examples=EXAMPLES or 6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example(damages={names.CONFIG: "half a surrogate"})
@example(damages={names.SESSION: "missing"})
@given(damages=st.dictionaries(st.sampled_from(FILES), st.sampled_from(DAMAGES), min_size=1, max_size=2))
def test_a_damaged_one_is_one_line(
    good: Path, tmp_path_factory: pytest.TempPathFactory, damages: dict[str, str]
) -> None:
    run = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(good, run)
    for name, damage in damages.items():
        spoil(run / name, damage)
    for command in commands(run):
        message, code = said(*command)
        assert INTERNAL not in message, (command[:2], damages, message)
        assert "\n" not in message, (command[:2], damages, message)
        assert code in range(5)
    shutil.rmtree(run.parent)
