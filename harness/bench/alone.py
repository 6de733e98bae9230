"""``python -m harness.bench.alone RUN_DIR``: LoadGen with the simplest system in Python, in its own process.

It answers within ``issue``, on LoadGen's thread, in lists of 64: no queue, no other thread, no worker. What a machine
gives here is the most that any system in Python can, and what the harness is held against.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from harness import config
from harness.config import RunConfig, Scenario
from harness.loadgen import driver
from harness.loadgen.log import DETAIL, PERCENTILES, parse_detail
from harness.rundir import names
from harness.session.outcome import cpu_seconds
from harness.verdict.result import samples_per_second
from mlperf_llama_base import child, files, typed
from mlperf_llama_base.errors import RunError
from mlperf_llama_base.orphans import die_with_parent
from sut.completions import report

AT_ONCE = 64
ANSWER = np.arange(1, 129, dtype="<i4").tobytes()  # 128 tokens, as the null engine gives
FILE = "alone.json"


class Alone(msgspec.Struct, kw_only=True):
    """What LoadGen alone did. ``cpu_us_per_sample``: of its process, during the test."""

    samples_per_second: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    cpu_us_per_sample: float


def measure(run_config: RunConfig, directory: Path) -> Alone:
    """Run the test that ``run_config`` describes without a harness. Raises ``RunError`` if it did not end well."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FILE).unlink(missing_ok=True)
    run_config.save(directory / names.CONFIG)
    log = directory / "alone.log"
    process = child.start("harness.bench.alone", directory, log=log)
    code = process.wait()
    child.clean_up(process)
    if code or not (directory / FILE).is_file():
        raise RunError(f"LoadGen alone ended with {child.exit_in_words(code)}: see {log}")
    return typed.from_json((directory / FILE).read_bytes(), Alone)


def answer_at_once(*, first_tokens: bool) -> Any:
    """LoadGen's ``issue``: every sample's answer, first token first, before it returns."""

    def issue(ids: list[int], indices: list[int]) -> None:
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            first = [(number, ANSWER[:4]) for number in some] if first_tokens else []
            report(first, [(number, ANSWER) for number in some])

    return issue


def main(directory: Path) -> None:
    """Run the test and write ``alone.json``."""
    die_with_parent(child.parent())
    run_config = config.build(yaml.safe_load((directory / names.CONFIG).read_text()))
    offline = run_config.scenario is Scenario.OFFLINE
    user_conf = directory / names.USER_CONF
    driver.write_user_conf(run_config, user_conf)
    settings, _, _ = driver.make_settings(run_config, user_conf)
    block = run_config.benchmark.sample_count
    began = cpu_seconds()
    driver.run_test(
        settings=settings,
        out_dir=directory,
        audit_conf=directory / names.AUDIT_CONF,
        counts=(block, block),
        issue=answer_at_once(first_tokens=not offline),
        flush=_nothing,
        load=_nothing,
        unload=_nothing,
    )
    used = cpu_seconds() - began
    log = parse_detail(directory / DETAIL)
    ttft = [log.number(f"result_first_token_{PERCENTILES[at]}_percentile_latency_ns") for at in ("p50", "p99")]
    files.write_json(
        directory / FILE,
        msgspec.to_builtins(
            Alone(
                samples_per_second=samples_per_second(log, run_config.scenario) or 0.0,
                ttft_p50_ms=None if ttft[0] is None else ttft[0] / 1e6,
                ttft_p99_ms=None if ttft[1] is None else ttft[1] / 1e6,
                cpu_us_per_sample=1e6 * used / (log.sample_count or 1),
            )
        ),
    )


def _nothing(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
