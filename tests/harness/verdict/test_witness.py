"""events.parquet as second witness: what LoadGen's log cannot have seen so is found, also where every digest was made
anew; a run of ours that nobody touched is not accused, however busy its machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.config import Benchmark, Mode, Scenario
from harness.rundir.record import Evidence
from harness.session.journal import digests
from harness.verdict.gate import judge
from tests.harness.submission.runs import agree, copy, edit_log, make_run, read_values, sign

KINDS = {
    "server": (Scenario.SERVER, Benchmark.DATACENTER),
    "offline": (Scenario.OFFLINE, Benchmark.DATACENTER),
    "singlestream": (Scenario.SINGLESTREAM, Benchmark.EDGE),
}
WITNESS, HAND_OVER = "evidence.witness", "evidence.hand-over"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("runs")
    return {name: make_run(made / name, scenario, Mode.PERFORMANCE, bench) for name, (scenario, bench) in KINDS.items()}


def found(run: Path) -> set[str]:
    verdict = judge(Evidence.load(run))
    return {reason.rule for reason in (*verdict.reasons, *verdict.remarks)}


@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_nobody_touched(name: str, runs: dict[str, Path]) -> None:
    assert not found(runs[name])


SCALED = {  # run -> keys of its log, factor, what finds it
    "samples/s and duration": ("offline", r"max_latency", 0.8, WITNESS),
    "every latency halved": ("singlestream", r"latency", 0.5, WITNESS),
    "first tokens only": ("singlestream", r"first_token", 0.5, WITNESS),
    "time per token": ("singlestream", r"output_token", 1000, WITNESS),
    "a higher rate": ("server", r"samples_per_sec", 1.5, WITNESS),
    "more tokens": ("server", r"completed_tokens", 1.5, WITNESS),
    "latencies twice as long": ("singlestream", r"latency", 2.0, HAND_OVER),
}


@pytest.mark.parametrize("name", SCALED)
def test_a_log_whose_digests_were_made_anew_is_contradicted(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    kind, part, factor, rule = SCALED[name]
    run = copy(runs[kind], tmp_path / "run")
    values = read_values(run / "mlperf_log_detail.txt")
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    edit_log(
        run / "mlperf_log_detail.txt",
        {k: v * factor for k, v in numbers.items() if k.startswith("result_") and part in k},
    )
    agree(run)
    assert rule in found(run)


BUSY = {"dispatch_share": 0.97}
LATE = {"dispatched_late": 10**6}
HOST = "evidence.host"


@pytest.mark.parametrize(
    ("name", "process", "waited_ns", "told"),
    [
        ("offline", BUSY, 0, True),
        ("offline", LATE, 10**9, False),
        ("server", BUSY, 0, False),
        ("server", {}, 10**9, False),
        ("server", BUSY, 10**9, True),
        ("server", LATE, 10**9, True),
        ("server", {"test_cpu_all_s": 10**6}, 10**9, True),
    ],
)
def test_who_asks_for_more_than_the_host_can_dispatch_is_told_so(
    runs: dict[str, Path], tmp_path: Path, name: str, process: dict[str, Any], waited_ns: int, told: bool
) -> None:
    run = copy(runs[name], tmp_path / "run")
    session = json.loads((run / "session.json").read_text())
    usual = {"cpu_s": 9, "peak_rss_bytes": 10**8, "test_cpu_all_s": 1, "cores": 2, "dispatched_late": 0}
    session |= {"wall_s": 100, "process": usual | process, "engine": (session["engine"] or {}) | {"name": "null"}}
    (run / "session.json").write_text(json.dumps(session))
    rewrite(run, dispatch_ns=lambda at: at + waited_ns)
    assert (HOST in found(run)) == told


def rewrite(run: Path, **columns: Any) -> None:
    path = run / "events.parquet"
    table = pq.read_table(path)
    for name, change in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, [change(table[name].to_numpy())])
    pq.write_table(table, path)
    sign(run)


def test_events_of_another_run(runs: dict[str, Path], tmp_path: Path) -> None:
    run = copy(runs["server"], tmp_path / "run")
    rewrite(run, output_tokens=lambda tokens: tokens + 1)
    assert found(run) == {WITNESS}
    pq.write_table(pq.read_table(run / "events.parquet").slice(1), run / "events.parquet")
    sign(run)
    assert found(run) == {WITNESS}


def test_events_that_are_gone_or_changed_or_never_signed(runs: dict[str, Path], tmp_path: Path) -> None:
    run = copy(runs["server"], tmp_path / "run")
    session = json.loads((run / "session.json").read_text())
    session["log_sha256"].pop("events.parquet")
    (run / "session.json").write_text(json.dumps(session))
    assert found(run) == {"evidence.complete"}
    (run / "session.json").write_text(json.dumps(session | {"notes": ["events.parquet could not be written"]}))
    assert not found(run)
    sign(run)
    (run / "events.parquet").unlink()
    assert found(run) == {"evidence.events"}
    assert judge(Evidence.load(run)).valid, "LoadGen's figures are as they were"


def test_a_log_changed_with_its_digest_in_session_json_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    """events.parquet has the digests of the others in its metadata, and session.json that of events.parquet."""
    run = copy(runs["server"], tmp_path / "run")
    logs = {name: digest for name, digest in digests(run).items() if name != "events.parquet"}
    table = pq.read_table(run / "events.parquet").replace_schema_metadata(logs)
    pq.write_table(table, run / "events.parquet")
    sign(run)
    assert not found(run)
    edit_log(run / "mlperf_log_detail.txt", {"result_mean_latency_ns": 119_000})  # signs session.json again
    agree(run)
    verdict = judge(Evidence.load(run))
    assert any(
        "has another digest of mlperf_log_detail.txt than events.parquet" in text for text in verdict.invalid_reasons
    )
