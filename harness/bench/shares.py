"""What dispatching processes cost (``dispatch.processes``): the real LoadGen, the real front and shares, and in each
share processes that stand in for its workers (:mod:`harness.bench.links`).

``python -m harness.bench.shares`` is such a share.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from harness.bench.links import BLOCK, START_S, StandIns, arguments, specs
from harness.config import RunConfig
from harness.loadgen import driver
from harness.rundir import names
from harness.session.outcome import cpu_seconds
from mlperf_llama_base.errors import RunError
from sut.completions import report_rows
from sut.front.front import Front
from sut.front.ledger import Ledger
from sut.front.messages import ShareSpec
from sut.front.part import launcher
from sut.front.share import ShareHub, own_spec, work
from sut.supervisor import SupervisorOptions
from sut.system_under_test import SystemUnderTest


class Cost(msgspec.Struct, kw_only=True):
    """us of CPU a sample. ``front_us``: of the front's thread, ``loadgen_us``: of the whole process with LoadGen, the
    front and ZeroMQ's thread; ``hub_us`` and ``share_us``: the same of the shares, for a sample of theirs.
    ``busy``: what part of the time the front was at work.
    """

    processes: int
    links: int
    answers: int
    samples: int
    samples_per_second: float
    front_us: float
    loadgen_us: float
    hub_us: float
    share_us: float
    busy: float


def measure(*, processes: int, links: int, answers: int, samples: int) -> Cost:
    """Run LoadGen, Offline, over ``links`` in ``processes`` shares. Raises ``RunError`` if the answers do not come."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        workers = specs(links)
        front = Front(
            shares=[
                ShareSpec(
                    number=number,
                    workers=workers[number::processes],
                    setup={"directory": str(directory), "answers": answers},
                )
                for number in range(processes)
            ],
            launch=launcher("harness.bench.shares", directory / "shares.log"),
            ledger=Ledger(first_tokens=False),
            deliver=report_rows,
            options=SupervisorOptions(start_timeout_s=START_S),
            bind=f"ipc://{directory / 'front'}",
        )
        front.start()
        try:
            _until_ready(front)
            return _run(front, directory, links=links, answers=answers, samples=samples)
        finally:
            front.stop()
            front.end(2.0)


def _until_ready(front: Front) -> None:
    deadline = time.monotonic() + START_S
    while front.ready < len(front.workers):
        if front.failure or time.monotonic() > deadline:
            raise front.failure or RunError(f"{front.ready} of {len(front.workers)} stand-ins are ready")
        time.sleep(0.05)


def _run(front: Front, directory: Path, *, links: int, answers: int, samples: int) -> Cost:
    config = RunConfig()
    config.loadgen.target_qps = 1.0
    config.loadgen.min_duration_ms, config.loadgen.min_query_count = 1, samples
    driver.write_user_conf(config, directory / names.USER_CONF)
    settings, _, _ = driver.make_settings(config, directory / names.USER_CONF)
    settings.performance_sample_count_override = BLOCK
    front.new_test()
    front.catch_up()
    clock = time.pthread_getcpuclockid(front.ident or 0)
    before = [time.clock_gettime(clock), cpu_seconds(), *_of_shares(front)]
    sut = SystemUnderTest(front)
    driver.run_test(
        settings=settings,
        out_dir=directory,
        audit_conf=directory / names.AUDIT_CONF,
        counts=(BLOCK, BLOCK),
        issue=sut.issue,
        flush=sut.flush,
        load=_nothing,
        unload=_nothing,
    )
    busy = front.duty.share
    done = front.counts.completed
    if front.failure or not done:
        raise front.failure or RunError("LoadGen ended without a sample")
    issued, completed = front.record.rows(["issue_ns", "complete_ns"])
    seconds = float(completed.max() - issued.min()) / 1e9
    front.catch_up()
    after = [time.clock_gettime(clock), cpu_seconds(), *_of_shares(front)]
    used = [1e6 * (now - then) / done for now, then in zip(after, before, strict=True)]
    return Cost(
        processes=len(front.parts),
        links=links,
        answers=answers,
        samples=done,
        samples_per_second=done / seconds,
        front_us=used[0],
        loadgen_us=used[1],
        hub_us=used[2],
        share_us=used[3],
        busy=busy,
    )


def line(cost: Cost) -> str:
    """A measurement for people."""
    return (
        f"{cost.links:>5} links, {cost.answers:>3} answers a message, {cost.processes:>2} processes: "
        f"{cost.samples_per_second:>8.0f} samples/s; us a sample: LoadGen's process {cost.loadgen_us:5.2f}, of it the "
        f"front's thread {cost.front_us:5.2f} (at work {cost.busy:.0%}); dispatching process {cost.share_us:5.2f}, "
        f"of it the hub's thread {cost.hub_us:5.2f}"
    )


def _of_shares(front: Front) -> tuple[float, float]:
    news = [part.news for part in front.parts if part.news]
    return sum(known.hub_cpu_s for known in news), sum(known.cpu_s for known in news)


def _nothing(*_: Any) -> None:
    pass


def main() -> None:
    """Be a share."""
    spec = own_spec()
    directory = Path(spec.setup["directory"]) / f"share-{spec.number}"
    directory.mkdir()
    pool = StandIns(directory, links=len(spec.workers), answers=spec.setup["answers"])
    work(ShareHub(spec=spec, **arguments(pool, directory / "wire")), pool)


if __name__ == "__main__":
    main()
