"""One of several dispatching processes is killed under a real LoadGen while samples pass as fast as they can."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.helpers.command import answers, command, read, settings, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until
from tests.integration import tiny_model

pytestmark = pytest.mark.timeout(300)
BLOCK = 13_368


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("share") / "data.parquet"
    assert command("data", "synthesize", "--count", str(BLOCK), "--output", path).code == 0
    return path


def arguments(data: Path, run: Path, scenario: str, *, least: int, rate: int = 1) -> list[str | Path]:
    keys = (
        "dispatch.processes=3",
        "loadgen.min_duration_ms=1",
        f"loadgen.min_query_count={least}",
        "monitor.enabled=false",
        "workers.heartbeat_timeout_s=5",
    )
    options = ["--scenario", scenario, "--engine", "null", "--workers", "6", "--skip-preflight"]
    return ["run", "--dataset", data, "--target-qps", str(rate), "--output", run, *options, *settings(*keys)]


@pytest.mark.parametrize(
    ("scenario", "least", "rate", "number"),
    [
        ("offline", 20 * BLOCK, 1, signal.SIGKILL),
        ("server", 3 * BLOCK, 4000, signal.SIGKILL),
        ("server", 3 * BLOCK, 4000, signal.SIGSTOP),
    ],
)
def test_a_struck_dispatching_process_costs_no_sample(
    tmp_path: Path, data: Path, scenario: str, least: int, rate: int, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    with started(*arguments(data, run, scenario, least=least, rate=rate)) as running:
        until(lambda: (run / "status.json").exists() and read(run, "status.json")["completed"] > 0, 120)
        shares = running.family("harness.session.share")
        assert len(shares) == 3
        victim = shares[1]
        theirs = {int(p.environ()["MLPERF_LLAMA_WORKER_ID"]) for p in children(victim)}
        victim.send_signal(number)
        done = running.wait()
    assert done.code in (0, 1), done.err  # on a slow machine the latencies may be beyond the limit
    session, result = read(run, "session.json"), read(run, "result.json")
    samples = session["samples"]
    assert samples["issued"] == samples["completed"] >= least and samples["lost"] == 0
    lost = session["lost_workers"]
    assert {one["worker"] for one in lost} == theirs and len(lost) == 2
    word = "was killed by SIGKILL" if number is signal.SIGKILL else "said nothing for"
    assert all(f"dispatching process {victim.pid} {word}" in one["reason"] for one in lost)
    assert samples["retried"] == sum(one["samples_returned"] for one in lost) == result["samples"]["retried"]
    events = pq.read_table(run / "events.parquet")
    ids = events["sample_id"]
    assert len(ids) == len(ids.unique()) == samples["completed"]
    by_worker = Counter(events["worker"].to_pylist())
    assert by_worker == {one["id"]: one["samples"] for one in session["workers"] if one["samples"]}
    assert not session["violations"]


def test_when_all_dispatching_processes_are_killed_the_run_ends(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    with started(*arguments(data, run, "server", least=10 * BLOCK, rate=2000)) as running:
        until(lambda: (run / "status.json").exists() and read(run, "status.json")["completed"] > 0, 120)
        for share in running.family("harness.session.share"):
            share.send_signal(signal.SIGKILL)
        done = running.wait()
    assert done.code == 4 and "no worker is left: its dispatching process" in done.err
    assert read(run, "session.json")["outcome"] == "failed"


def test_answers_are_those_of_one_hub(tmp_path: Path) -> None:
    """A real engine, one sample at a time so that nothing depends on who is beside whom; first tokens included."""
    tiny_model.make(tmp_path / "model")
    write_rows(tmp_path / "data.json", rows(40, length=30))
    keys = ("engine.device=cpu", "engine.args.dtype=float32", "engine.args.threads=1", "engine.args.max_batch=1")
    common = ["--mode", "accuracy", "--workers", "2", "--skip-preflight", "--model", str(tmp_path / "model")]
    common += ["--dataset", str(tmp_path / "data.json"), *settings(*keys, "engine.max_new_tokens=16")]
    found = []
    for processes, scenario, order in (
        (1, "offline", "issue"),
        (2, "offline", "longest-first"),
        (2, "server", "issue"),
    ):
        run = tmp_path / f"{scenario}-{processes}"
        more = settings(f"dispatch.processes={processes}", f"dispatch.order={order}", "loadgen.target_qps=60")
        done = command("run", "--scenario", scenario, "--output", run, *common, *more)
        assert done.code == 0, done.err
        found.append(answers(run))
    assert len(found[0]) == 40 and found[0] == found[1] == found[2]


def children(process: psutil.Process) -> list[psutil.Process]:
    return [p for p in process.children() if "sut.workers.main" in " ".join(p.cmdline())]
