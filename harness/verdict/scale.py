"""Submission: was this the whole benchmark (model, data, length, software), or something smaller or other?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.config import Mode, Scenario
from harness.rounds import ROUND
from harness.rundir.record import Evidence
from harness.verdict.measurement import LIMIT_KEYS


def duration(run: Evidence) -> Iterator[str]:
    """600 s, both asked for and reached (the checker reads only what was asked for)."""
    if run.mode is not Mode.PERFORMANCE:
        return
    asked, took = run.detail.integer("effective_min_duration_ms"), run.detail.duration_s
    if asked is not None and asked < ROUND.min_duration_ms:
        yield f"min_duration was {asked:,} ms; the rules ask for {ROUND.min_duration_ms:,} ms"
    # it follows from a rate of six digits
    if took is not None and took * 1e3 < ROUND.min_duration_ms * (1 - 1e-5):
        yield f"the run lasted {took:,.1f} s; the rules ask for {ROUND.min_duration_ms / 1e3:.0f} s"


def sample_counts(run: Evidence) -> Iterator[str]:
    """The whole data set, and in performance mode only whole rounds of it (equal issue).

    SingleStream alone may end inside a round: it stops at the first query after 600 s.
    """
    log, official = run.detail, run.benchmark.sample_count
    if run.mode is Mode.COMPLIANCE or not log.lines:
        return
    if run.mode is Mode.ACCURACY:
        count = log.integer("effective_accuracy_sample_count")
        if count != official:
            yield f"accuracy was measured on {count} samples; the benchmark has {official}"
        return
    loaded = log.integer("effective_performance_sample_count")
    if loaded is None or loaded < official:
        yield f"performance_sample_count was {loaded}; the benchmark has {official}"
    issued = log.sample_count
    if issued is not None and issued < official:
        yield f"{issued} samples were issued; the benchmark has {official}"
    elif issued is not None and issued % official and run.scenario is not Scenario.SINGLESTREAM:
        yield f"{issued} samples were issued, which is no multiple of the data set's {official}"


def smoke(run: Evidence) -> Iterator[str]:
    """The session says itself what it shortened."""
    yield from (f"smoke run: {reason}" for reason in run.listed("smoke"))
    overrides = run.section("smoke_overrides")
    if overrides and not run.listed("smoke"):
        yield f"smoke run: {', '.join(f'{key}={value}' for key, value in overrides.items())}"


def data_set(run: Evidence) -> Iterator[str]:
    """The data set has the benchmark's number of samples and was used whole."""
    data = run.section("dataset")
    if data.get("is_official_count") is not True or run.setting("dataset", "limit"):
        count, label = data.get("count"), data.get("label") or data.get("path") or "not recorded"
        yield f"data set: {count} samples ({label}); the benchmark has {run.benchmark.sample_count}"


def accuracy_complete(run: Evidence) -> Iterator[str]:
    if run.mode is Mode.ACCURACY and run.accuracy is not None and run.accuracy.partial:
        yield f"accuracy is partial: {run.accuracy.partial}"


def model(run: Evidence) -> Iterator[str]:
    """Llama-3.1-8B-Instruct and no other."""
    facts = run.section("model")
    if facts.get("is_llama_3_1_8b") is not True:
        reasons = "; ".join(facts.get("reasons") or []) or "the model was not recorded"
        yield f"the model is not Llama-3.1-8B-Instruct: {reasons}"


def engine(run: Evidence) -> Iterator[str]:
    """What the engine says of itself: dummy weights, speculative decoding and the like."""
    if not run.section("engine"):
        yield "the engine was not recorded"
    yield from run.section("engine").get("not_submittable") or []


def generation_lengths(run: Evidence) -> Iterator[str]:
    """min_new_tokens 1 and max_new_tokens 128; shortening is forbidden (inference_rules.adoc)."""
    for key, wanted in (("max_new_tokens", ROUND.max_new_tokens), ("min_new_tokens", ROUND.min_new_tokens)):
        found = run.setting("engine", key)
        if found is not None and found != wanted:
            yield f"engine.{key} was {found}; the rules ask for {wanted}"


def scenario(run: Evidence) -> Iterator[str]:
    allowed = run.benchmark.scenarios
    if run.scenario not in allowed:
        yield (
            f"the {run.benchmark.value} benchmark has no {run.scenario.directory} scenario (it has "
            f"{', '.join(s.directory for s in allowed)})"
        )


def latency(run: Evidence) -> Iterator[str]:
    """The benchmark's own limits, and the 99th percentile strictly below them, as the checker wants it."""
    if run.mode is not Mode.PERFORMANCE or run.scenario not in ROUND.limits_ns:
        return
    measured = ("result_first_token_99.00_percentile_latency_ns", "result_time_per_output_token_99.00_percentile_ns")
    for (name, key), limit, result in zip(LIMIT_KEYS, ROUND.limits_ns[run.scenario], measured, strict=True):
        asked, found = run.detail.integer(key), run.detail.integer(result)
        if asked is not None and asked < limit:
            yield f"the {name} limit was changed to {asked / 1e6:g} ms; the closed division has {limit / 1e6:g} ms"
        if found is None or found >= limit:
            p99 = "not measured" if found is None else f"{found / 1e6:,.1f} ms"
            yield f"the 99th percentile of {name} is {p99}; it must be below {limit / 1e6:g} ms"


def loadgen_version(run: Evidence) -> Iterator[str]:
    found = run.detail.loadgen_version
    if run.detail.lines and (found is None or found < ROUND.min_loadgen):
        named = ".".join(map(str, found)) if found else "not recorded"
        yield f"LoadGen is {named}; this round needs {'.'.join(map(str, ROUND.min_loadgen))} or newer"


def preflight(run: Evidence) -> Iterator[str]:
    """What the checks before the run found that rules a submission out (ECC off, say)."""
    for finding in (run.preflight or {}).get("findings") or []:
        if finding.get("blocks_submission"):
            yield f"preflight {finding.get('check')}: {finding.get('found')}"


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    scenario,
    smoke,
    duration,
    sample_counts,
    data_set,
    accuracy_complete,
    model,
    engine,
    generation_lengths,
    latency,
    loadgen_version,
    preflight,
)
