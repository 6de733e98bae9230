"""Every trap that the gate knows, sprung on runs that are otherwise good."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from harness.config import Benchmark, Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.test06 import write_audit_config
from harness.rundir.scores import Accuracy
from mlperf_llama_base.files import sha256_of
from tests.harness.loadgen.real_runs import run_loadgen
from tests.harness.submission.runs import add_message, agree, edit_log, make_run, sign
from tests.helpers.results import build_result

DATACENTER, EDGE = Benchmark.DATACENTER, Benchmark.EDGE
Kind = tuple[Scenario, Mode, Benchmark]
SERVER: Kind = (Scenario.SERVER, Mode.PERFORMANCE, DATACENTER)
INTERACTIVE: Kind = (Scenario.INTERACTIVE, Mode.PERFORMANCE, DATACENTER)
OFFLINE: Kind = (Scenario.OFFLINE, Mode.PERFORMANCE, DATACENTER)
SINGLE: Kind = (Scenario.SINGLESTREAM, Mode.PERFORMANCE, EDGE)
ACCURATE: Kind = (Scenario.OFFLINE, Mode.ACCURACY, DATACENTER)
COMPLIANT: Kind = (Scenario.SERVER, Mode.COMPLIANCE, DATACENTER)
KINDS: list[Kind] = [(s, m, b) for b in Benchmark for s in b.scenarios for m in Mode]
Trap = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    """A function that gives the directory of a good run; made once, not to be changed."""
    made: dict[Kind, Path] = {}

    def give(kind: Kind) -> Path:
        if kind not in made:
            made[kind] = make_run(tmp_path_factory.mktemp("good") / "run", *kind)
        return made[kind]

    return give


@pytest.fixture
def sprung(good: Callable[[Kind], Path], tmp_path: Path) -> Callable[[Kind, Trap], dict[str, Any]]:
    """A function that copies a good run, springs a trap on it and gives its result."""

    def spring(kind: Kind, trap: Trap) -> dict[str, Any]:
        run = tmp_path / "run"
        shutil.copytree(good(kind), run)
        trap(run)
        return build_result(run)

    return spring


def log(**values: Any) -> Trap:
    def trap(run: Path) -> None:
        edit_log(run / DETAIL, values)
        agree(run)

    return trap


def session(**changes: Any) -> Trap:
    """Change session.json; ``a__b=1`` reaches into a mapping."""

    def trap(run: Path) -> None:
        tree = json.loads((run / "session.json").read_text())
        for key, value in changes.items():
            *parents, last = key.split("__")
            node = tree
            for parent in parents:
                node = node[parent]
            node[last] = value
        (run / "session.json").write_text(json.dumps(tree))

    return trap


def configured(**changes: Any) -> Trap:
    def trap(run: Path) -> None:
        tree = yaml.safe_load((run / "config.yaml").read_text())
        for key, value in changes.items():
            section, _, name = key.partition("__")
            if name:
                tree[section][name] = value
            else:
                tree[section] = value
        (run / "config.yaml").write_text(yaml.safe_dump(tree))

    return trap


def scores(**changes: Any) -> Trap:
    def trap(run: Path) -> None:
        path = run / "accuracy.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return trap


def both(*traps: Trap) -> Trap:
    def trap(run: Path) -> None:
        for one in traps:
            one(run)

    return trap


def without(name: str) -> Trap:
    return lambda run: (run / name).unlink()


def rescored(**changes: Any) -> Trap:
    """accuracy.json and accuracy.txt edited alike; the log and the samples' scores are as they were."""

    def trap(run: Path) -> None:
        scores(**changes)(run)
        (run / "accuracy.txt").write_text(
            msgspec.json.decode((run / "accuracy.json").read_bytes(), type=Accuracy).text()
        )

    return trap


def rewritten(run: Path) -> None:
    """Other outputs in the accuracy log, with scores of that log."""
    log_path = run / ACCURACY
    log_path.write_text(log_path.read_text().replace('"data" : "', '"data" : "00000000', 1))
    scores(log_sha256=sha256_of(log_path))(run)


def changed(name: str) -> Trap:
    return lambda run: (run / name).write_text((run / name).read_text() + "\n")


def issued(count: int) -> Trap:
    return session(samples__issued=count, samples__completed=count)


def preflight(run: Path) -> None:
    finding = {"check": "gpu", "found": "ECC is off", "blocks_submission": True}
    (run / "preflight.json").write_text(json.dumps({"findings": [finding]}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind))
def test_a_good_run_is_submittable(good: Callable[[Kind], Path], kind: Kind) -> None:
    result = build_result(good(kind))
    assert (result["invalid_reasons"], result["not_submittable_reasons"]) == ([], [])
    assert result["valid"] and result["submittable"]


INVALID: dict[str, tuple[Kind, Trap, str]] = {
    "LoadGen says INVALID": (
        OFFLINE,
        log(result_validity="INVALID", result_min_duration_met=False),
        "LoadGen says INVALID",
    ),
    "early stopping": (
        SERVER,
        log(
            result_validity="INVALID", early_stopping_met=False, early_stopping_tpot_result=" * Processed 100 queries."
        ),
        "early stopping: Processed 100 queries.",
    ),
    "an error line": (SERVER, lambda run: add_message(run / DETAIL, "something broke", error=True), "something broke"),
    "errors only counted": (SERVER, log(num_errors=3), "LoadGen counted 3 errors"),
    "an accuracy run's error line": (
        ACCURATE,
        lambda run: add_message(run / DETAIL, "something broke", error=True),
        "something broke",
    ),
    "Interactive with Server's TTFT": (
        INTERACTIVE,
        log(requested_server_ttft_latency=2_000_000_000),
        "TTFT limit was 2000 ms",
    ),
    "Interactive with Server's TPOT": (
        INTERACTIVE,
        log(requested_server_tpot_latency=100_000_000),
        "TPOT limit was 100 ms",
    ),
    "Server with a looser TTFT": (SERVER, log(requested_server_ttft_latency=3_000_000_000), "Server has 2000 ms"),
    "Interactive under Server's name": (
        INTERACTIVE,
        session(model_name="llama3_1-8b"),
        "limits were those of llama3_1-8b",
    ),
    "token latencies off": (SERVER, log(requested_use_token_latencies=False), "use_token_latencies was off"),
    "wrong seed": (
        OFFLINE,
        log(effective_schedule_rng_seed=1),
        "seeds are not the benchmark's: effective_schedule_rng_seed",
    ),
    "equal issue off": (OFFLINE, log(effective_sample_concatenate_permutation=False), "equal-issue mode"),
    "another scenario": (SERVER, log(effective_scenario="Offline"), "LoadGen ran Offline, not Server"),
    "another mode": (ACCURATE, log(effective_test_mode="PerformanceOnly"), "not AccuracyOnly"),
    "samples lost": (SERVER, session(samples__lost=2), "2 samples were lost"),
    "fewer completed": (SERVER, session(samples__completed=13367), "13367 of 13368"),
    "LoadGen judged fewer": (SERVER, log(result_query_count=13367), "LoadGen judged 13367 samples"),
    "tokens miscounted": (OFFLINE, session(tokens__output_total=1_000_000), "the workers returned 1,000,000"),
    "tokens miscounted in Server": (SERVER, session(tokens__output_total=1_000_000), "LoadGen counted about"),
    "nothing issued": (SERVER, session(samples__issued=0), "no sample was issued"),
    "first token differs": (SERVER, session(violations={"first_token_mismatch": 1}), "first token check"),
    "two end tokens": (
        SERVER,
        session(violations={"extra_eos": 4}),
        "4 completions have more than one end-of-sequence",
    ),
    "one token only": (SERVER, session(violations={"too_short": 1}), "fewer than 2 tokens"),
    "too many tokens": (SERVER, session(violations={"too_long": 1}), "more tokens than max_new_tokens"),
    "cut short": (SERVER, session(violations={"cut_short": 2}), "2 completions have an end before max_new_tokens"),
    "no first token": (SERVER, session(violations={"no_first_token": 3}), "no first token before the last"),
    "the server counts otherwise": (SERVER, session(violations={"count_differs": 1}), "the server's own count"),
    "prefix caching": (OFFLINE, session(engine__prefix_caching=True), "prefix caching was on"),
    "FromConfig failed": (SERVER, session(from_config_rc=-22), "FromConfig returned -22"),
    "the run broke": (SERVER, session(outcome="failed", error="worker 0 died"), "the run failed: worker 0 died"),
    "interrupted": (SERVER, session(outcome="interrupted"), "the run interrupted"),
    "no session": (SERVER, lambda run: (run / "session.json").unlink(), "session.json is missing"),
    "no detail log": (SERVER, lambda run: (run / DETAIL).unlink(), "mlperf_log_detail.txt is missing"),
    "empty detail log": (SERVER, lambda run: (run / DETAIL).write_text(""), "is empty: the test did not end"),
    "no summary": (SERVER, lambda run: (run / SUMMARY).unlink(), "mlperf_log_summary.txt is missing"),
    "cut detail log": (
        SERVER,
        lambda run: (run / DETAIL).write_text((run / DETAIL).read_text()[:-200]),
        "has no end: the test did not finish",
    ),
    "logs of two runs": (SERVER, lambda run: edit_log(run / DETAIL, {"result_min_latency_ns": 1}), "not of one run"),
    "audit file in a performance run": (
        SERVER,
        lambda run: add_message(run / DETAIL, "Found Audit Config file (audit.config).", error=False),
        "only a compliance run may",
    ),
    "compliance without the audit file": (
        COMPLIANT,
        lambda run: (run / DETAIL).write_text((run / DETAIL).read_text().replace("Found Audit Config file", "-")),
        "TEST06: LoadGen did not read audit.config",
    ),
    "accuracy not scored": (ACCURATE, lambda run: (run / "accuracy.json").unlink(), "not scored yet"),
    "accuracy of another log": (
        ACCURATE,
        lambda run: (run / ACCURACY).write_text((run / ACCURACY).read_text() + "\n"),
        "the scores are of another",
    ),
    "accuracy of fewer samples": (ACCURATE, scores(gen_num=13000), "holds 13000 samples, but LoadGen had 13368"),
    "rouge1 below target": (ACCURATE, scores(rouge1=38.3914), "rouge1 38.3914 is below the target 38.391408"),
    "rougeLsum below target": (ACCURATE, scores(rougeLsum=35.0), "rougeLsum 35 is below"),
    "too little text": (ACCURATE, scores(gen_len=7_350_879), "gen_len 7,350,879 is below"),
    "the accuracy log rewritten and scored again": (
        ACCURATE,
        rewritten,
        f"{ACCURACY} is not the file that the test left",
    ),
    "outputs longer than the rules let them be": (ACCURATE, scores(tokens_mean=223.0), "at most 128 are generated"),
    "outputs shorter than the workers' answers": (ACCURATE, scores(tokens_mean=8.9), "the workers returned 9.00"),
    "a summary line added": (SERVER, changed(SUMMARY), f"{SUMMARY} is not the file that the test left"),
    "another user.conf since": (SERVER, changed("user.conf"), "user.conf is not the file that the test left"),
    "the outputs removed": (SERVER, without(ACCURACY), f"{ACCURACY} was removed since the test ended"),
    "too much text": (ACCURATE, scores(gen_len=8_984_409), "gen_len 8,984,409 is above the upper limit"),
}


@pytest.mark.parametrize("name", INVALID)
def test_not_valid(sprung: Callable[[Kind, Trap], dict[str, Any]], name: str) -> None:
    kind, trap, reason = INVALID[name]
    result = sprung(kind, trap)
    assert not result["valid"] and not result["submittable"]
    assert any(reason in text for text in result["invalid_reasons"]), result["invalid_reasons"]
    assert all("\n" not in text for text in result["invalid_reasons"])


SMALLER: dict[str, tuple[Kind, Trap, str]] = {
    "short min_duration": (SERVER, log(effective_min_duration_ms=120_000), "min_duration was 120,000 ms"),
    "short run": (OFFLINE, log(result_max_latency_ns=599_000_000_000), "the run lasted 599.0 s"),
    "few samples loaded": (OFFLINE, log(effective_performance_sample_count=5000), "performance_sample_count was 5000"),
    "fewer than a round": (
        OFFLINE,
        both(log(generated_samples_per_query=5000), issued(5000)),
        "5000 samples were issued; the benchmark has 13368",
    ),
    "no whole rounds": (
        OFFLINE,
        both(log(generated_samples_per_query=20000), issued(20000)),
        "not a multiple of the data set's 13368",
    ),
    "dummy weights": (SERVER, session(engine__not_submittable=["the weights are dummies"]), "the weights are dummies"),
    "engine unknown": (SERVER, session(engine=None), "the engine was not recorded"),
    "smoke overrides": (SERVER, session(smoke=["min_duration_ms set to 1000"]), "smoke run: min_duration_ms"),
    "another model": (
        SERVER,
        session(model={"is_llama_3_1_8b": False, "reasons": ["hidden size 576, not 4096"]}),
        "not Llama-3.1-8B-Instruct: hidden size 576",
    ),
    "another data set": (SERVER, session(dataset__is_official_count=False, dataset__count=40), "data set: 40 samples"),
    "a limited data set": (SERVER, configured(dataset={"path": "x", "limit": 100}), "the benchmark has 13368"),
    "old LoadGen": (SERVER, log(loadgen_version="6.0.15 @ abc"), "LoadGen is 6.0.15; this round needs 6.0.16"),
    "tighter limits": (INTERACTIVE, log(requested_server_ttft_latency=400_000_000), "TTFT limit was changed to 400 ms"),
    "p99 at the limit": (
        INTERACTIVE,
        log(**{"result_first_token_99.00_percentile_latency_ns": 500_000_000}),
        "99th percentile of TTFT is 500.0 ms; it must be below 500 ms",
    ),
    "shorter answers": (OFFLINE, configured(engine__max_new_tokens=64), "engine.max_new_tokens was 64"),
    "no minimum": (OFFLINE, configured(engine__min_new_tokens=0), "engine.min_new_tokens was 0"),
    "Server on the edge": (SINGLE, configured(benchmark="datacenter"), "has no SingleStream scenario"),
    "preflight": (SERVER, preflight, "preflight gpu: ECC is off"),
    "no configuration": (SERVER, without("config.yaml"), "config.yaml is missing"),
    "a setting deleted": (SERVER, configured(engine={"name": "vllm"}), "engine.max_new_tokens was not recorded"),
    "ended before it began": (SERVER, session(test_ended="2020-01-01T00:00:00+00:00"), "before it began"),
    "five seconds for a log of 650": (SERVER, session(wall_s=5.0), "the test took 5.0 s"),
    "no times": (SERVER, session(test_started=None), "does not say when the test began"),
    "no preflight": (SERVER, without("preflight.json"), "--skip-preflight?): whether ECC was on"),
    "ECC never looked at": (
        SERVER,
        lambda run: (run / "preflight.json").write_text('{"status": "pass", "findings": []}'),
        "says nothing of ECC",
    ),
    "ECC could not be asked": (
        SERVER,
        lambda run: (run / "preflight.json").write_text(
            '{"findings": [{"check": "node-3: gpu ecc", "status": "fail", "found": "cannot be checked: no driver"}]}'
        ),
        "preflight node-3: gpu ecc: cannot be checked: no driver",
    ),
    "no digests": (SERVER, session(log_sha256=None), "has no digests of the logs"),
    "no samples' scores": (ACCURATE, without("accuracy_samples.parquet"), "accuracy_samples.parquet is missing"),
    "no accuracy.txt": (ACCURATE, without("accuracy.txt"), "accuracy.txt is missing"),
    "accuracy.txt edited": (
        ACCURATE,
        lambda run: (run / "accuracy.txt").write_text((run / "accuracy.txt").read_text().replace("38.8", "48.8")),
        "accuracy.txt does not say what accuracy.json says",
    ),
    "rouge1 + 10 in both": (ACCURATE, rescored(rouge1=48.8), "has rouge1 48.8, the samples have 38.8"),
    "partial accuracy": (ACCURATE, scores(partial="13000 of 13368 samples"), "accuracy is partial"),
    "accuracy of a part": (
        ACCURATE,
        both(log(effective_accuracy_sample_count=5000), scores(gen_num=5000, partial="a part")),
        "accuracy was measured on 5000 samples",
    ),
}


@pytest.mark.parametrize("name", SMALLER)
def test_not_submittable(sprung: Callable[[Kind, Trap], dict[str, Any]], name: str) -> None:
    kind, trap, reason = SMALLER[name]
    result = sprung(kind, trap)
    assert not result["submittable"]
    assert any(reason in text for text in result["not_submittable_reasons"]), result["not_submittable_reasons"]
    assert result["valid"] or name == "Server on the edge", result["invalid_reasons"]


def test_targets_bind_only_the_benchmark_itself(sprung: Callable[[Kind, Trap], dict[str, Any]]) -> None:
    """A small model on the whole data set is a valid run of that model, whatever it scores."""

    small = session(model={"is_llama_3_1_8b": False, "reasons": ["another"]})
    result = sprung(ACCURATE, both(scores(rouge1=20.0), small))
    assert result["valid"] and not result["submittable"]
    assert result["accuracy"]["meets_targets"] is False


def test_retries_and_lost_workers_do_not_invalidate(sprung: Callable[[Kind, Trap], dict[str, Any]]) -> None:
    lost = [{"worker": 1, "reason": "killed", "node": "a", "samples_returned": 7, "time_s": 3.0}]
    result = sprung(
        SERVER, session(samples__retried=7, samples__failed=2, samples__duplicates=1, restarts=1, lost_workers=lost)
    )
    assert result["submittable"]
    assert (result["samples"]["retried"], result["restarts"], result["lost_workers"]) == (7, 1, lost)
    (remark,) = result["remarks"]
    assert (remark["rule"], remark["breaks"]) == ("record.retries", "nothing")
    assert remark["text"].startswith("7 of 13,368 samples were given to a worker again; 2 outputs could not be used")
    assert "workers were started again 1 times" not in remark["text"]


def test_a_short_run_that_loadgen_calls_valid_is_valid(tmp_path: Path, good: Callable[[Kind], Path]) -> None:
    run = run_loadgen(tmp_path, count=40, attributes={"min_duration_ms": 0, "min_query_count": 40})
    for name in ("session.json", "config.yaml"):
        shutil.copy(good(OFFLINE) / name, run)
    smaller = session(dataset__is_official_count=False, dataset__count=40, smoke=["min_duration_ms set to 0"])
    both(issued(40), smaller, sign)(run)
    result = build_result(run)
    assert (result["valid"], result["submittable"], result["invalid_reasons"]) == (True, False, [])
    assert len(result["not_submittable_reasons"]) >= 4


def test_compliance_checks_what_was_logged(tmp_path: Path, good: Callable[[Kind], Path]) -> None:
    """Two end tokens in a logged output, by a real TEST06 run."""
    run = tmp_path / "run"
    run.mkdir()
    answers = {str(index): [5, 6, 128009, 128009] for index in range(128)}
    run_loadgen(
        run,
        scenario="Server",
        count=128,
        answers=answers,
        audit=str(write_audit_config(tmp_path)),
        attributes={"min_duration_ms": 1, "server_target_qps": 3000},
    )
    for name in ("session.json", "config.yaml"):
        shutil.copy(good(COMPLIANT) / name, run)
    both(issued(100), sign)(run)
    result = build_result(run)
    assert not result["valid"] and result["compliance"]["eos"] is False and not result["compliance"]["passed"]
    assert any(text.startswith("TEST06: EOS") for text in result["invalid_reasons"])


def test_another_percentile_and_target_latency_do_not_pass(tmp_path: Path, good: Callable[[Kind], Path]) -> None:
    """user.conf set them, LoadGen took them, and said VALID."""
    conf = tmp_path / "user.conf"
    conf.write_text("*.Server.target_latency_percentile = 50\n*.Server.target_latency = 90000\n")
    run = run_loadgen(
        tmp_path / "run",
        scenario="Server",
        count=64,
        user_conf=str(conf),
        attributes={"min_duration_ms": 1, "min_query_count": 64, "server_target_qps": 3000},
    )
    for name in ("session.json", "config.yaml"):
        shutil.copy(good(SERVER) / name, run)
    both(issued(64), sign)(run)
    result = build_result(run)
    assert result["loadgen"]["validity"] == "VALID"
    assert not result["valid"]
    found = {(reason["rule"], reason["breaks"]) for reason in result["reasons"]}
    assert {("validity.percentile", "validity"), ("performance.target-latency", "submission")} <= found
    sentences = [reason["text"] for reason in result["reasons"]]
    assert sorted(sentences) == sorted(result["invalid_reasons"] + result["not_submittable_reasons"])
    assert all(reason["source"] for reason in result["reasons"])


TTFT_P99 = "result_first_token_99.00_percentile_latency_ns"
FEW_QUERIES = {
    "result_validity": "INVALID",
    "early_stopping_met": False,
    "early_stopping_ttft_result": " * Run unsuccessful.\n * Processed 100 queries.",
}


@pytest.mark.parametrize(
    ("changes", "short"),
    [
        (FEW_QUERIES, True),
        ({"result_validity": "INVALID", "result_min_duration_met": False}, True),
        ({"result_validity": "INVALID", "result_min_queries_met": False}, True),
        (FEW_QUERIES | {"result_perf_constraints_met": False}, False),
        (FEW_QUERIES | {TTFT_P99: 2_100_000_000}, False),
        ({"result_validity": "INVALID"}, False),
        ({}, False),
    ],
)
def test_too_short_for_a_verdict_is_neither_valid_nor_not(
    sprung: Callable[[Kind, Trap], dict[str, Any]], changes: dict[str, Any], short: bool
) -> None:
    def trap(run: Path) -> None:
        edit_log(run / DETAIL, changes)
        agree(run)

    result = sprung(SERVER, trap)
    assert result["too_short"] is short
    assert result["valid"] is (not changes)


def test_too_short_and_something_else_is_not_valid(sprung: Callable[[Kind, Trap], dict[str, Any]]) -> None:
    def trap(run: Path) -> None:
        edit_log(run / DETAIL, FEW_QUERIES)
        agree(run)
        add_message(run / DETAIL, "an error", error=True)

    assert sprung(SERVER, trap)["too_short"] is False
