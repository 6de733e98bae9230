"""The other form of submission: a server measured by MLCommons' endpoints tool, without LoadGen.

Its files are config.yaml, performance/result_summary.json and accuracy/accuracy_results.json
(tools/submission/submission_structure.md). They are held to the same numbers as LoadGen's logs, which is more than the
official checker does; what they do not show is said, and never counted as passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from harness.config import Scenario
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, PERFORMANCE_CHECK, RULES
from harness.rounds import ROUND
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory, read_mapping

STRUCTURE = "mlcommons/inference tools/submission/submission_structure.md"
ACCURACY_CHECK = f"{CHECKER}/checks/accuracy_check.py"
SEEDS = {  # constants.py, ENDPOINTS_MAPPINGS: the seed of the library has no counterpart
    "scheduler_random_seed": "effective_schedule_rng_seed",
    "dataloader_random_seed": "effective_sample_index_rng_seed",
}
METRIC = {Scenario.OFFLINE: "result_tokens_per_second"}  # constants.py, RESULT_FIELD_BENCHMARK_OVERWRITE
LOADS = {Scenario.OFFLINE: "max_throughput", Scenario.SERVER: "poisson", Scenario.INTERACTIVE: "poisson"}
TOLERANCE = 0.01
DRAIN = 0.1  # of the test, that its last answers take at most


@dataclass(frozen=True)
class EndpointsRun:
    """One scenario's files; what cannot be read is an empty mapping, which ``endpoints.files`` reports."""

    directory: ScenarioDirectory

    @property
    def config_path(self) -> Path:
        other = self.directory.path / "config.yml"
        return other if other.is_file() else self.directory.path / "config.yaml"

    @property
    def summary_path(self) -> Path:
        return self.directory.path / "performance" / "result_summary.json"

    @property
    def accuracy_path(self) -> Path:
        return self.directory.path / "accuracy" / "accuracy_results.json"

    @cached_property
    def config(self) -> dict[str, Any]:
        try:
            value = yaml.safe_load(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return {}
        return value if isinstance(value, dict) else {}

    @cached_property
    def summary(self) -> dict[str, Any]:
        return _mapping(read_mapping(self.summary_path))

    @cached_property
    def accuracy(self) -> list[dict[str, Any]]:
        """The results of the accuracy data sets."""
        found = _mapping(read_mapping(self.accuracy_path)).get("accuracy_scores")
        results = [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []
        return [r for r in results if r.get("dataset_type") in (None, "accuracy")]

    def measured(self, *path: str) -> float | None:
        """A number of the summary."""
        return _number(_at(self.summary, *path))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _at(tree: object, *path: str) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _number(value: object) -> float | None:
    """None for what is none, and for NaN and infinity, which Python writes into JSON."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)


endpoints_checks: Checks[EndpointsRun] = Checks()


@endpoints_checks.rule("endpoints.files", source=STRUCTURE)
def files_are_there(run: EndpointsRun) -> Iterator[Problem]:
    if not run.config:
        yield run.config_path, "is missing, empty or no YAML mapping"
    for path in (run.summary_path, run.accuracy_path):
        value = read_mapping(path)
        if not value or isinstance(value, str):
            yield path, value if isinstance(value, str) else "is missing or empty"


@endpoints_checks.rule("endpoints.not-shown", source=STRUCTURE, weight=Weight.NOTE)
def what_the_files_do_not_tell(run: EndpointsRun) -> Iterator[Problem]:
    yield (
        run.directory.path,
        "is an Endpoints submission, not made with LoadGen: its files do not show whether errors were logged, whether "
        "the tool was altered, and TEST06's properties",
    )


@endpoints_checks.rule(
    "endpoints.scenario",
    source=f"{PERFORMANCE_CHECK} (map_endpoints_scenario); {RULES}, Scenarios: Server's Poisson process",
)
def load_is_the_scenario_s(run: EndpointsRun) -> Iterator[Problem]:
    """The name of it, which the official checker reads, and the load itself, as asked for and as it ran."""
    kind = str(run.config.get("type", "")).lower()
    wanted = "offline" if run.directory.scenario is Scenario.OFFLINE else "online"
    if run.config and kind != wanted and kind != run.directory.name.lower():
        yield run.config_path, f"type is {kind!r}, {run.directory.name} is {wanted!r}"
    load = LOADS.get(run.directory.scenario) if run.directory.scenario else None
    for path, found in (
        (run.config_path, _at(run.config, "settings", "load_pattern", "type") if run.config else load),
        (run.summary_path, _at(run.summary, "run_config", "load_pattern", "type") or load),
    ):
        if load is not None and found != load:
            yield path, f"load_pattern is {found!r}, {run.directory.name} has {load!r}"


@endpoints_checks.rule("endpoints.complete", source=f"{RULES}, LoadGen Operation: every query is answered")
def everything_was_answered(run: EndpointsRun) -> Iterator[Problem]:
    if not run.summary:
        return
    issued, completed, failed = (run.measured(f"n_samples_{name}") for name in ("issued", "completed", "failed"))
    if run.summary.get("complete") is not True:
        yield run.summary_path, f"the test is not complete (state {run.summary.get('state')!r})"
    if failed is None or failed:
        yield run.summary_path, "n_samples_failed is missing" if failed is None else f"{failed:.0f} samples failed"
    if issued is None or issued != completed:
        yield run.summary_path, f"{completed or 0:.0f} of {issued or 0:.0f} samples were completed"


@endpoints_checks.rule("endpoints.samples", source=f"{RULES}, Scenarios")
def whole_data_set(run: EndpointsRun) -> Iterator[Problem]:
    issued, wanted = run.measured("n_samples_issued"), run.directory.rules.samples
    if run.summary and run.directory.closed and (issued is None or issued < wanted):
        yield run.summary_path, f"{issued or 0:.0f} samples were issued; the benchmark has {wanted}"


@endpoints_checks.rule("endpoints.duration", source=f"{PERFORMANCE_CHECK} (min_duration_check); {RULES}, Scenarios")
def long_enough(run: EndpointsRun) -> Iterator[Problem]:
    """Both what was asked for and what it took."""
    asked = _number(_at(run.config, "settings", "runtime", "min_duration_ms"))
    if run.config and (asked is None or asked < ROUND.min_duration_ms):
        yield run.config_path, f"min_duration_ms is {asked}; the rules ask for {ROUND.min_duration_ms}"
    took = run.measured("duration_ns")
    if run.summary and (took is None or took < ROUND.min_duration_ms * 1e6):
        found = "not recorded" if took is None else f"{took / 1e9:,.1f} s"
        yield run.summary_path, f"the duration is {found}; the rules ask for {ROUND.min_duration_ms / 1e3:.0f} s"


@endpoints_checks.rule("endpoints.seeds", source=f"{PERFORMANCE_CHECK} (seeds_check)")
def seeds(run: EndpointsRun) -> Iterator[Problem]:
    """In the configuration, where the official checker reads them, and in what the tool says that it ran."""
    asked = _mapping(_at(run.config, "settings", "runtime"))
    places = ((run.config_path, asked), (run.summary_path, _mapping(run.summary.get("run_config"))))
    for name, key in SEEDS.items():
        found = [(path, given[name]) for path, given in places if name in given]
        if name not in asked:
            yield run.config_path, f"{name} is missing; this round's is {ROUND.seeds[key]}"
        for path, value in found:
            if value != ROUND.seeds[key]:
                yield path, f"{name} is {value}; this round's is {ROUND.seeds[key]}"


@endpoints_checks.rule(
    "endpoints.latency", source=f"{PERFORMANCE_CHECK} (llm_check); {RULES}, Early Stopping Criterion"
)
def within_the_limits(run: EndpointsRun) -> Iterator[Problem]:
    """The 99th percentile, and the one that early stopping takes for a run of this length."""
    scenario = run.directory.scenario
    if scenario is None or scenario not in ROUND.limits_ns or not run.summary:
        return
    for name, limit in zip(("ttft", "tpot"), ROUND.limits_ns[scenario], strict=True):
        for kind in ("percentiles", "early_stopping_percentiles"):
            found = _p99(_at(run.summary, name, kind))
            if found is None or not 0 < found < limit:
                p99 = "not recorded" if found is None else f"{found / 1e6:,.1f} ms"
                what = "99th percentile" if kind == "percentiles" else "99th percentile by early stopping"
                yield run.summary_path, f"the {what} of {name.upper()} is {p99}; it must be below {limit / 1e6:g} ms"


def _p99(percentiles: object) -> float | None:
    keys = ("99.0", "99", "99.00")
    return next((value for key in keys if (value := _number(_at(percentiles, key))) is not None), None)


@endpoints_checks.rule("endpoints.metric", source=f"{PERFORMANCE_CHECK} (get_performance_metric_check)")
def has_a_result(run: EndpointsRun) -> Iterator[Problem]:
    """The official checker reads the client's own names, tps in Server and qps; each that is there is a number."""
    scenario = run.directory.scenario
    if not run.summary or scenario is Scenario.SINGLESTREAM:
        return
    key = METRIC.get(scenario, "result_completed_tokens_per_second") if scenario else ""
    for name in (key, "tps", "qps"):
        value = run.measured(name)
        if name in run.summary and (value is None or value <= 0):
            yield run.summary_path, f"has no result: {name} is {run.summary[name]!r}"
    if "tps" not in run.summary and (scenario is Scenario.SERVER or key not in run.summary):
        yield run.summary_path, "has no result: tps is missing"


@endpoints_checks.rule("endpoints.figures", source=STRUCTURE, weight=Weight.EXPLAIN)
def figures_agree(run: EndpointsRun) -> Iterator[Problem]:
    """The rates follow from the counts and the time."""
    window, took = run.measured("legacy_loadgen_window_duration_ns"), run.measured("duration_ns")
    if window and took and not window * (1 - TOLERANCE) <= took <= window * (1 + DRAIN):
        yield run.summary_path, f"duration_ns is {took:,.0f}, LoadGen's window in it {window:,.0f}"
    window = window or took
    counts = (("qps", "n_samples_completed"), ("tps", "output_sequence_lengths.total"))
    for rate, count in counts:
        said, counted = run.measured(rate), run.measured(*count.split("."))
        if window and said is not None and counted:
            computed = counted * 1e9 / window
            if abs(said / computed - 1) > TOLERANCE:
                yield run.summary_path, f"{rate} is {said:,.6g}, but {count} and the time make it {computed:,.6g}"


@endpoints_checks.rule("endpoints.lengths", source=f"{RULES}, Benchmarks: generation lengths of llama3.1-8b")
def generation_lengths(run: EndpointsRun) -> Iterator[Problem]:
    if not run.directory.closed:
        return
    for key, wanted in (("max_new_tokens", ROUND.max_new_tokens), ("min_new_tokens", ROUND.min_new_tokens)):
        found = _at(run.config, "model_params", key)
        if found is not None and found != wanted:
            yield run.config_path, f"{key} is {found}; the rules ask for {wanted}"
    longest = run.measured("output_sequence_lengths", "max")
    if longest is not None and longest > ROUND.max_new_tokens:
        yield run.summary_path, f"outputs have up to {longest:.0f} tokens, more than {ROUND.max_new_tokens}"


@endpoints_checks.rule("endpoints.accuracy", source=f"{ACCURACY_CHECK} (accuracy_result_check, dataset_check)")
def accuracy_is_met(run: EndpointsRun) -> Iterator[Problem]:
    """The official checker looks at the number of samples only."""
    path, wanted = run.accuracy_path, run.directory.rules.samples
    if run.accuracy_path.is_file() and not run.accuracy:
        yield path, "holds no scores of an accuracy data set"
    for result in run.accuracy:
        counts = _mapping(result.get("response_counts"))
        for name, count in (("total_samples", result.get("total_samples")), ("scored", counts.get("scored"))):
            if count != wanted:
                yield path, f"{name} is {count}; the benchmark has {wanted}"
        if result.get("complete") is not True or counts.get("empty") or counts.get("missing"):
            yield path, "the accuracy run is not complete: responses are empty or missing"
        yield from ((path, text) for text in _shortfalls(run, _mapping(result.get("score"))))


def _shortfalls(run: EndpointsRun, score: dict[str, Any]) -> Iterator[str]:
    rules = run.directory.rules
    missing = [name for name in rules.data.targets if name not in score]
    if missing:
        yield f"has no {', '.join(missing)}"
    elif run.directory.closed:
        yield from rules.data.shortfalls({name: float(score[name]) for name in rules.data.targets})
    if not missing and (found := int(float(score.get("gen_num", -1)))) != rules.samples:
        yield f"{found} samples were scored; the benchmark has {rules.samples}"
