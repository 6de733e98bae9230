"""result.json: one run in one file, built from nothing but the files that the run saved.

A pure function of the run directory, so that it can be built again at any time (after scoring, for example) and checked
by anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.config import Mode, Scenario
from harness.loadgen.keys import FAMILIES
from harness.loadgen.log import PERCENTILES, DetailLog
from harness.rounds import ROUND
from harness.rundir.files import write_record
from harness.rundir.names import RESULT
from harness.rundir.record import Evidence
from harness.rundir.result import (
    AccuracyResult,
    Compliance,
    EnergyResult,
    Latency,
    LoadGen,
    Reading,
    Result,
    Rules,
    Target,
)
from harness.rundir.session import Tokens
from harness.rundir.system import SystemRecord
from harness.verdict.gate import Verdict, judge
from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError

T = TypeVar("T")
FIGURES = ("result_", "early_stopping", "generated_")


def result_of(run_dir: Path) -> Result:
    """Return what result.json holds for a run directory, whatever state the run left it in.

    Raises ``UserError`` if ``run_dir`` is no run directory or a file that this project wrote in it is damaged.
    """
    return result_from(Evidence.load(run_dir))


def result_from(run: Evidence) -> Result:
    """As ``result_of``, for a run that is being read already."""
    return _result(run, judge(run))


def write_result(run_dir: Path) -> Result:
    """Build result.json, replace it in one step, and return what it holds."""
    built = result_of(run_dir)
    write_record(run_dir / RESULT, built)
    return built


def _result(run: Evidence, verdict: Verdict) -> Result:
    session, log = run.ran, run.detail
    notes = _Notes(session.notes)
    offline = run.scenario is Scenario.OFFLINE
    return Result(
        scenario=run.scenario.value,
        mode=run.mode.value,
        benchmark=run.benchmark.value,
        model_name=run.model_name,
        valid=verdict.valid,
        too_short=verdict.too_short,
        submittable=verdict.submittable,
        invalid_reasons=verdict.invalid_reasons,
        not_submittable_reasons=verdict.not_submittable_reasons,
        reasons=verdict.reasons,
        remarks=verdict.remarks,
        samples_per_second=samples_per_second(log, run.scenario),
        tokens_per_second=log.number("result_tokens_per_second" if offline else "result_completed_tokens_per_second"),
        target_qps=None if run.scenario is Scenario.SINGLESTREAM else log.number("effective_target_qps"),
        ttft_ms=_latency(log, "TTFT"),
        tpot_ms=_latency(log, "TPOT"),
        latency_ms=_latency(log, "latency") if run.mode is not Mode.ACCURACY else None,
        samples=session.samples,
        tokens=session.tokens or Tokens(),
        workers=session.workers,
        restarts=session.restarts,
        lost_workers=session.lost_workers,
        accuracy=_accuracy(run),
        compliance=_compliance(run),
        versions=_versions(run),
        rules=_rules(run),
        loadgen=_loadgen(run),
        engine=session.engine,
        engine_live_facts=session.engine_live_facts,
        model=session.model,
        dataset=session.dataset,
        hardware=run.system.hardware if run.system else None,
        metrics=notes.of(lambda: _metrics(run)),
        energy=notes.of(lambda: _energy(run)),
        notes=notes.texts,
        test_started=session.test_started,
        test_ended=session.test_ended,
        wall_s=session.wall_s,
    )


def _loadgen(run: Evidence) -> LoadGen:
    log = run.detail
    return LoadGen(
        validity=log.text("result_validity"),
        errors=log.error_count,
        warnings=log.warnings,
        figures={key: value for key, value in log.values.items() if key.startswith(FIGURES)},
        sha256=run.digests,
    )


class _Notes:
    """No verdict depends on what the monitor measured: where it cannot be read the result says so and has none."""

    def __init__(self, known: list[str]) -> None:
        self.texts = list(known)

    def of(self, read: Callable[[], T | None]) -> T | None:
        try:
            return read()
        except UserError as error:
            if str(error) not in self.texts:
                self.texts.append(str(error))
            return None


def _metrics(run: Evidence) -> dict[str, Reading] | None:
    if run.metrics is None:
        return None
    from harness.rundir.metrics import summarize_metrics

    return summarize_metrics(run.metrics)


def _energy(run: Evidence) -> EnergyResult | None:
    return None if run.energy is None else typed.convert(run.energy, EnergyResult, from_attributes=True)


def samples_per_second(log: DetailLog, scenario: Scenario) -> float | None:
    """LoadGen's own rate of completed samples."""
    if scenario is Scenario.OFFLINE:
        return log.number("result_samples_per_second")
    if scenario is Scenario.SINGLESTREAM:
        return log.number("result_qps_with_loadgen_overhead")
    return log.number("result_completed_samples_per_sec")


def _latency(log: DetailLog, family: str) -> Latency | None:
    """In ms what the detail log has in ns; None if it has none of it."""
    simple, percentile = FAMILIES[family]
    keys = {stat: simple.format(stat) for stat in ("min", "max", "mean")}
    keys |= {name: percentile.format(text) for name, text in PERCENTILES.items()}
    found = {name: value / 1e6 for name, key in keys.items() if (value := log.number(key)) is not None}
    return Latency(**found) if found else None


def _accuracy(run: Evidence) -> AccuracyResult | None:
    scores = run.accuracy
    if scores is None:
        return None
    benchmark = ROUND.benchmarks[run.benchmark]
    targets = {
        name: Target(reference=t.reference, minimum=t.minimum, maximum=t.maximum)
        for name, t in benchmark.targets.items()
    }
    shortfalls = benchmark.shortfalls(scores.scores)
    return AccuracyResult(
        rouge1=scores.rouge1,
        rouge2=scores.rouge2,
        rougeL=scores.rougeL,
        rougeLsum=scores.rougeLsum,
        gen_len=scores.gen_len,
        gen_num=scores.gen_num,
        partial=scores.partial,
        meets_targets=None if scores.partial else not shortfalls,
        targets=targets,
        scorer=scores.scorer,
        tokenizer=scores.tokenizer,
        tokens_mean=scores.tokens_mean,
    )


def _compliance(run: Evidence) -> Compliance | None:
    try:
        found = run.compliance
    except UserError:  # no logs to verify: the gate gives the reason
        return None
    if found is None:
        return None
    return Compliance(
        test="TEST06",
        passed=found.passed,
        first_token=found.first_token,
        eos=found.eos,
        sample_length=found.sample_length,
        samples=found.samples,
        reasons=found.reasons,
    )


def _rules(run: Evidence) -> Rules:
    log, violations = run.detail, run.ran.violations
    server = run.scenario in ROUND.limits_ns
    ttft, tpot = log.number("requested_server_ttft_latency"), log.number("requested_server_tpot_latency")
    return Rules(
        prefix_caching=run.ran.engine.prefix_caching if run.ran.engine else None,
        last_layer=run.ran.engine.facts.get("last_layer") if run.ran.engine else None,
        min_duration_ms=log.integer("effective_min_duration_ms"),
        duration_s=log.duration_s,
        equal_issue=log.flag("effective_sample_concatenate_permutation"),
        use_token_latencies=log.flag("requested_use_token_latencies"),
        ttft_limit_ms=ttft / 1e6 if server and ttft is not None else None,
        tpot_limit_ms=tpot / 1e6 if server and tpot is not None else None,
        max_new_tokens=run.setting("engine", "max_new_tokens"),
        min_new_tokens=run.setting("engine", "min_new_tokens"),
        performance_sample_count=log.integer("effective_performance_sample_count"),
        first_token_mismatch=violations.get("first_token_mismatch", 0) if run.session else None,
        extra_eos=violations.get("extra_eos", 0) if run.eos_token_ids else None,
    )


def _versions(run: Evidence) -> dict[str, str | None]:
    """The software that the run recorded, with LoadGen's and the engine's own words for theirs."""
    system = run.system or SystemRecord()
    versions = system.software | {"git_revision": system.git_revision}
    if loadgen := run.detail.text("loadgen_version"):
        versions["loadgen"] = loadgen
    engine = run.ran.engine
    if engine is not None and engine.version:
        versions[f"engine {engine.name}"] = engine.version
    return versions
