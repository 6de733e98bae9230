"""Real LoadGen logs for tests: the wheel behind a trivial SUT, in a process of its own.

LoadGen keeps state for each process (mlcommons/inference, loadgen/test_settings_internal.cc: the static counter in
FromConfig), so every run is a subprocess that executes this file.
"""

from __future__ import annotations

import array
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, Any] = {
    "scenario": "Offline",
    "mode": "PerformanceOnly",
    "model": "llama3_1-8b",
    "count": 64,
    "attributes": {},
    "audit": "",
    "user_conf": "",
    "answers": {},
    "sut": "good",  # good, one-token, twice, no-first-token
    "delay_s": 0.0,
}


def run_loadgen(out: Path, **choices: Any) -> Path:
    """Run one LoadGen test into ``out`` and return it. ``choices``: see ``DEFAULTS``; ``attributes`` are
    TestSettings'.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan = DEFAULTS | choices
    done = subprocess.run(
        [sys.executable, __file__, str(out)],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"LoadGen's process ended with {done.returncode}: {done.stderr[-2000:]}")
    return out


def tokens_of(index: int, answers: dict[str, list[int]] | None = None) -> list[int]:
    """The answer of the trivial SUT to the sample ``index``: ``answers`` or 5 to 14 invented ids."""
    if answers and str(index) in answers:
        return answers[str(index)]
    return [1000 + index] + [2000 + i for i in range(3 + index % 10)] + [128009]


class TrivialSut:
    """Answers every sample from one thread, in the order of issue."""

    def __init__(self, lg: Any, plan: dict[str, Any]) -> None:
        self.lg = lg
        self.plan = plan
        self.issued: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def issue(self, samples: list[Any]) -> None:
        for sample in samples:
            self.issued.put((sample.id, sample.index))

    def work(self) -> None:
        first = self.plan["scenario"] != "Offline" and self.plan["sut"] != "no-first-token"
        while (job := self.issued.get()) is not None:
            sample, index = job
            ids = tokens_of(index, self.plan["answers"])
            if self.plan["sut"] == "one-token":
                ids = ids[:1]
            data = array.array("i", ids)
            address, _ = data.buffer_info()
            if first:
                self.lg.FirstTokenComplete([self.lg.QuerySampleResponse(sample, address, 4, 1)])
            if self.plan["delay_s"]:
                time.sleep(self.plan["delay_s"])
            done = [self.lg.QuerySampleResponse(sample, address, 4 * len(ids), len(ids))]
            self.lg.QuerySamplesComplete(done)
            if self.plan["sut"] == "twice" and index == 3:
                self.lg.QuerySamplesComplete(done)


def _main(out: str, plan: dict[str, Any]) -> None:
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    code = settings.FromConfig(plan["user_conf"], plan["model"], plan["scenario"], 1 if plan["user_conf"] else 0)
    assert code == 0, code
    settings.scenario = getattr(lg.TestScenario, plan["scenario"])
    settings.mode = getattr(lg.TestMode, plan["mode"])
    settings.performance_sample_count_override = plan["count"]
    for name, value in plan["attributes"].items():
        assert hasattr(settings, name), name
        setattr(settings, name, value)
    log = lg.LogSettings()
    log.enable_trace = False
    log.log_output.outdir = out
    sut = TrivialSut(lg, plan)
    handle = lg.ConstructSUT(sut.issue, lambda: None)
    qsl = lg.ConstructQSL(plan["count"], plan["count"], lambda indices: None, lambda indices: None)
    lg.StartTestWithLogSettings(handle, qsl, settings, log, plan["audit"] or "no-audit.config")
    sut.issued.put(None)
    sut.thread.join()
    lg.DestroyQSL(qsl)
    lg.DestroySUT(handle)


if __name__ == "__main__":
    _main(sys.argv[1], json.load(sys.stdin))
