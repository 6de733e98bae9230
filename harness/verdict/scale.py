"""Submission, from our own record: was this the whole benchmark, or something smaller or other?"""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen.rules.sources import CHECKER, RULES
from harness.rounds import ROUND
from harness.rundir.record import Evidence
from harness.rundir.session import Dataset
from harness.verdict.book import OURS, RECORD


@RECORD.rule("record.scenario", source=f"{CHECKER}/constants.py (required-scenarios-*)")
def scenario(run: Evidence) -> Iterator[str]:
    allowed = run.benchmark.scenarios
    if run.scenario not in allowed:
        yield (
            f"the {run.benchmark.value} benchmark has no {run.scenario.directory} scenario (it has "
            f"{', '.join(s.directory for s in allowed)})"
        )


@RECORD.rule("record.smoke", source=OURS)
def smoke(run: Evidence) -> Iterator[str]:
    """The session says itself what it shortened."""
    yield from (f"smoke run: {reason}" for reason in run.ran.smoke)
    overrides = run.ran.smoke_overrides
    if overrides and not run.ran.smoke:
        yield f"smoke run: {', '.join(f'{key}={value}' for key, value in overrides.items())}"


@RECORD.rule("record.foreign", source=OURS)
def recorded_by_us(run: Evidence) -> Iterator[str]:
    """What LoadGen's logs do not tell is not made up, and never counted as fulfilled."""
    if run.is_foreign:
        yield "only LoadGen's logs are here, of another harness: model, data set and engine are not recorded"


@RECORD.rule("record.data-set", source=f"{RULES}, Benchmarks")
def data_set(run: Evidence) -> Iterator[str]:
    """The data set has the benchmark's number of samples and was used whole."""
    data = run.ran.dataset or Dataset()
    if run.is_foreign:
        return
    if data.is_official_count is not True or run.setting("dataset", "limit"):
        label = data.label or data.path or "not recorded"
        yield f"data set: {data.count} samples ({label}); the benchmark has {run.benchmark.sample_count}"


@RECORD.rule("record.partial-scores", source=f"{RULES}, Benchmarks")
def accuracy_complete(run: Evidence) -> Iterator[str]:
    if run.mode is Mode.ACCURACY and run.accuracy is not None and run.accuracy.partial:
        yield f"accuracy is partial: {run.accuracy.partial}"


@RECORD.rule("record.model", source=f"{RULES}, Benchmarks")
def model(run: Evidence) -> Iterator[str]:
    """Llama-3.1-8B-Instruct and no other."""
    if not run.is_the_model and not run.is_foreign:
        reasons = "; ".join(run.ran.model.reasons if run.ran.model else []) or "the model was not recorded"
        yield f"the model is not Llama-3.1-8B-Instruct: {reasons}"


@RECORD.rule("record.engine", source=OURS)
def engine(run: Evidence) -> Iterator[str]:
    """What the engine says of itself: dummy weights, speculative decoding and the like."""
    if run.ran.engine is None:
        if not run.is_foreign:
            yield "the engine was not recorded"
    else:
        yield from run.ran.engine.not_submittable


@RECORD.rule("record.generation-lengths", source=f"{RULES}: shortening outputs is forbidden")
def generation_lengths(run: Evidence) -> Iterator[str]:
    for key, wanted in (("max_new_tokens", ROUND.max_new_tokens), ("min_new_tokens", ROUND.min_new_tokens)):
        found = run.setting("engine", key)
        if found != wanted and run.config:
            yield f"engine.{key} was {'not recorded' if found is None else found}; the rules ask for {wanted}"


@RECORD.rule("record.preflight", source=OURS)
def preflight(run: Evidence) -> Iterator[str]:
    """What the checks before the run found that rules a submission out (such as ECC being off)."""
    for finding in run.preflight.findings if run.preflight else []:
        if finding.blocks_submission:
            yield f"preflight {finding.check}: {finding.found}"
