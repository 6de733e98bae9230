"""Validity, part two: the run was measured as the benchmark measures, and LoadGen's verdict on it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.config import Mode
from harness.loadgen.log import ACCURACY
from harness.rounds import ROUND
from harness.rundir.record import Evidence
from mlperf_llama_base.errors import UserError

LIMIT_KEYS = (("TTFT", "requested_server_ttft_latency"), ("TPOT", "requested_server_tpot_latency"))


def loadgen_verdict(run: Evidence) -> Iterator[str]:
    """``result_validity`` of a performance run. TEST06 issues 100 queries, fewer than early stopping takes, so its
    own is moot.
    """
    log = run.detail
    if run.mode is not Mode.PERFORMANCE or not log.finished or log.text("result_validity") == "VALID":
        return
    details = []
    if log.flag("result_min_duration_met") is False:
        took, needed = log.duration_s, (log.number("effective_min_duration_ms") or 0.0) / 1e3
        details.append(f"it took {took:,.3f} s of {needed:,.3f} s" if took is not None else "it was too short")
    if log.flag("result_min_queries_met") is False:
        details.append("it issued too few queries")
    if log.flag("result_perf_constraints_met") is False:
        details.append("the latency limits were not met")
    if log.flag("early_stopping_met") is False:
        texts = [log.text(f"early_stopping_{kind}result") or "" for kind in ("tpot_", "ttft_", "")]
        details.append("early stopping: " + " ".join(" ".join(texts).replace("*", "").split()))
    advice = " ".join((log.text("result_invalid_reason") or "").replace("*", "").split())
    yield f"LoadGen says {log.text('result_validity') or 'nothing'}: {'; '.join(details) or 'no reason given'}" + (
        f" ({advice})" if advice else ""
    )


def token_latencies(run: Evidence) -> Iterator[str]:
    """Without use_token_latencies LoadGen counts no tokens and judges neither TTFT nor TPOT."""
    if run.detail.lines and run.detail.flag("requested_use_token_latencies") is not True:
        yield "use_token_latencies was off: LoadGen judged no token latency"


def latency_limits(run: Evidence) -> Iterator[str]:
    """A Server or Interactive run judged by looser limits says nothing about this benchmark's."""
    for (name, key), limit in zip(LIMIT_KEYS, ROUND.limits_ns.get(run.scenario, ()), strict=False):
        found = run.detail.integer(key)
        if run.mode is Mode.PERFORMANCE and found is not None and found > limit:
            yield f"the {name} limit was {found / 1e6:g} ms; {run.scenario.directory} has {limit / 1e6:g} ms"


def seeds(run: Evidence) -> Iterator[str]:
    """The official seeds, which only LoadGen's built-in mlperf.conf can set."""
    wrong = [key for key, value in ROUND.seeds.items() if run.detail.lines and run.detail.values.get(key) != value]
    if run.mode is Mode.PERFORMANCE and wrong:
        yield f"seeds are not the benchmark's: {', '.join(wrong)}"


def equal_issue(run: Evidence) -> Iterator[str]:
    """Each sample is issued equally often (inference_rules.adoc, equal issue mode); only TEST06 turns it off."""
    on = run.detail.flag("effective_sample_concatenate_permutation")
    if run.mode is Mode.PERFORMANCE and run.detail.lines and on is not True:
        yield "equal-issue mode (sample_concatenate_permutation) was off"


def test06(run: Evidence) -> Iterator[str]:
    """A compliance run had TEST06's settings, and the outputs that it logged have the three properties."""
    if run.mode is not Mode.COMPLIANCE or not run.detail.lines:
        return
    try:
        found = run.compliance
    except UserError as error:
        yield f"TEST06: {error}"
        return
    if found is not None:
        yield from (f"TEST06: {reason}" for reason in found.reasons if not reason.startswith("LoadGen logged an error"))


def no_prefix_caching(run: Evidence) -> Iterator[str]:
    """Reuse across queries is forbidden (inference_rules.adoc: every query is computed in its entirety)."""
    if run.section("engine").get("prefix_caching"):
        yield "prefix caching was on: the rules forbid reuse across queries"


def accuracy_scored(run: Evidence) -> Iterator[str]:
    """An accuracy run has scores, of its own log, of every sample; on the benchmark itself they meet the targets."""
    if run.mode is not Mode.ACCURACY:
        return
    scores = run.accuracy
    if scores is None:
        yield f"the accuracy log is not scored yet: mlperf-llama accuracy {run.run_dir}"
        return
    if scores.log_sha256 != run.digests.get(ACCURACY):
        yield f"the scores are of another {ACCURACY}: score again with mlperf-llama accuracy {run.run_dir}"
    issued = run.detail.integer("effective_accuracy_sample_count")
    if issued is not None and scores.gen_num != issued:
        yield f"the accuracy log holds {scores.gen_num} samples, but LoadGen had {issued}"
    if scores.partial is None and run.section("model").get("is_llama_3_1_8b"):
        benchmark = ROUND.benchmarks[run.benchmark]
        yield from (f"accuracy: {reason}" for reason in benchmark.shortfalls(scores.scores))


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    loadgen_verdict,
    token_latencies,
    latency_limits,
    seeds,
    equal_issue,
    test06,
    no_prefix_caching,
    accuracy_scored,
)
