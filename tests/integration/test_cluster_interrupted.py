"""``benchmark cluster`` ended by a signal: wherever it is, a document says what was done, and no process is left."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.execution.parts import NAMES
from mlperf_llama_base.files import read_json
from tests.harness.serve import tokenizers
from tests.helpers.command import Done, Started, assert_refused, settings, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until

pytestmark = pytest.mark.timeout(300)
EACH = 12  # samples a worker: three batches of two seconds
SLOW = [
    *("--engine", "null", "--workers", "2", "--samples", str(EACH), "--scenarios", "offline", "--skip-preflight"),
    *settings("engine.args.step_ms=250", "engine.args.max_num_seqs=4", "engine.args.output_tokens=8"),
    *settings("engine.args.eos_token_id=2", "workers.warm_up_prompts=1", "dispatch.backlog=2"),
]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("given")
    tokenizers.make(folder / "tokenizer")
    data = write_rows(folder / "data.json", rows(2 * EACH, vocabulary=300))
    return [*SLOW, "--target-qps", "offline=9", "--tokenizer", str(folder / "tokenizer"), "--dataset", str(data)]


def end(one: Started, number: signal.Signals) -> None:
    one.process.send_signal(number)


def end_all(one: Started, number: signal.Signals) -> None:
    """As a terminal does it: every process of the command that is not in a session of its own is told at once."""
    mine = os.getsid(one.process.pid)
    for process in one.family():
        if os.getsid(process.pid) == mine:
            process.send_signal(number)


def is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def some_are_done(folder: Path) -> bool:
    """In a run below that has no result some samples are."""
    runs = (path.parent for path in folder.glob("**/status.json") if not (path.parent / "result.json").exists())
    return any(0 < (read_json(run / "status.json") or {}).get("completed", 0) < 2 * EACH for run in runs)


def wait_for_samples(one: Started, folder: Path) -> None:
    until(lambda: some_are_done(folder) or one.process.poll() is not None, 120)
    assert one.process.poll() is None, one.wait()


def interrupted(out: Path, done: Done) -> dict[str, Any]:
    """The record of a command that was ended, whose document tells it."""
    assert_refused(done, "interrupted; the same command goes on from here", str(out), codes=(4,), warnings=2)
    record: dict[str, Any] = json.loads((out / "execution.json").read_text())
    page = (out / "report.md").read_text()
    assert "the same command goes on from here" in page and (out / "report.html").is_file()
    assert record["interrupted"] and record["conclusion"].startswith("Interrupted at ")
    return record


CUTS: dict[str, tuple[signal.Signals, Callable[[Started, signal.Signals], None]]] = {
    "datacenter": (signal.SIGTERM, end),
    "distributed": (signal.SIGINT, end_all),
    "coordinated": (signal.SIGTERM, end),
}


def test_ended_in_each_part_and_continued(tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "out"
    command = ("benchmark", "cluster", *options, "--output", str(out))
    for at, (name, (number, how)) in enumerate(CUTS.items()):
        with started(*command) as one:
            wait_for_samples(one, out / name)
            how(one, number)
            done = one.wait()
        record = interrupted(out, done)
        parts = {part["name"]: part for part in record["parts"]}
        before, after = list(CUTS)[:at], list(CUTS)[at + 1 :]
        assert {parts[other]["exit_code"] for other in before} <= {0, 1}
        assert {parts[other]["status"] for other in after} <= {"not run"}
        this = parts[name]
        assert (this["status"], this["exit_code"]) == ("interrupted", None) and this["interrupted"]
        assert sum(run["samples_completed"] for run in this["unfinished"]) > 0
        assert "samples done" in this["analysis"] and this["analysis"] in (out / "report.md").read_text()
        assert {result["part"] for result in record["results"]} <= set(before)
        assert [f["part"] for f in record["findings"] if f["rule"] in ("lost-samples", "missing-nodes")] == []
    with started(*command) as one:
        assert one.wait().code in (0, 1)
    record = json.loads((out / "execution.json").read_text())
    assert record["interrupted"] is None and [part["interrupted"] for part in record["parts"]] == [None] * 3
    assert "Interrupted" not in (out / "report.md").read_text()
    assert all(part["exit_code"] in (0, 1) for part in record["parts"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_before_anything_ran(tmp_path: Path, options: list[str], number: signal.Signals) -> None:
    """In the middle of a look at the machine, an import, a pre-flight."""
    out = tmp_path / "out"
    options = [option for option in options if option != "--skip-preflight"]
    with started("benchmark", "cluster", *options, "--output", str(out)) as one:
        until(lambda: is_held(out / ".campaign.lock"), 60)
        one.process.send_signal(number)
        done = one.wait()
    record = interrupted(out, done)
    assert [(part["name"], part["status"]) for part in record["parts"]] == [(name, "not run") for name in NAMES]


def test_an_impatient_user(tmp_path: Path, options: list[str]) -> None:
    """Who asks again, while the run ends and while the document is written, gets it all the same."""
    out = tmp_path / "out"
    with started("benchmark", "cluster", *options, "--only", "distributed", "--output", str(out)) as one:
        wait_for_samples(one, out / "distributed")
        while one.process.poll() is None:
            end_all(one, signal.SIGINT)
            try:
                one.process.wait(0.3)
            except Exception:  # noqa: BLE001
                continue
        done = one.wait()
    interrupted(out, done)
