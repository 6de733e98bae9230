"""point.yaml: that it says what the rules ask for, and nothing that the run was not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.endpoints.check.files import Point
from harness.endpoints.check.sources import CHECKER, RULES, SUBMISSION
from harness.endpoints.point_yaml import Seeds
from harness.endpoints.regions import Region
from harness.loadgen.rules import Weight
from harness.rounds import ENDPOINTS
from harness.submission.check.base import Checks, Problem

NEEDED = (
    "division",
    "max_supported_concurrency",
    "model_name",
    "model_precision",
    "link_to_model",
    "dataset_name",
    "dataset_type",
    "dataset_link",
    "shared_src",
    "shared_docs",
    "seed_set",
    "target_cohort",
    "region",
    "dataset",
)
LONGEST_WARMUP_S = 86_400
STATUSES = ("windowable", "insufficient_duration", "insufficient_passes", "partial_dataset")

point_rules: Checks[Point] = Checks()


@point_rules.rule("point.disclosed", source=f"{RULES}, 8.3")
def all_fields_are_there(point: Point) -> Iterator[Problem]:
    if point.config and (missing := [name for name in NEEDED if not getattr(point.config, name)]):
        yield point.point_path, f"{', '.join(missing)} missing"
    if point.config and point.path.name != f"r{point.config.concurrency}":
        yield point.point_path, f"lies in {point.path.name}, concurrency is {point.config.concurrency}"


@point_rules.rule("point.names", source=f"{CHECKER} (model-name-valid, min-query-count)")
def names_are_those_of_the_checker(point: Point) -> Iterator[Problem]:
    """Another spelling of the data set makes the official checker skip the test of its size."""
    if not point.config:
        return
    if (name := point.config.model_name) and (name != ENDPOINTS.model_name or name != point.path.parent.name):
        yield (
            point.point_path,
            f"model_name is {name!r} in {point.path.parent.name}/: both must be {ENDPOINTS.model_name}",
        )
    if (dataset := point.config.dataset) and dataset != ENDPOINTS.dataset:
        yield point.point_path, f"dataset is {dataset!r}: write {ENDPOINTS.dataset}"


@point_rules.rule("point.pattern", source=f"{RULES}, 6.1 and 5.7")
def pattern_is_allowed(point: Point) -> Iterator[Problem]:
    config = point.config
    if config is None:
        return
    pattern = config.runtime_settings.load_pattern
    if not config.dedicated and pattern != "concurrency":
        yield point.point_path, f"load_pattern is {pattern!r}: points are measured at a fixed concurrency"
    if config.offline not in (None, "none", "dedicated", "elected"):
        yield point.point_path, f"offline is {config.offline!r}: dedicated, elected or none"
    if config.dedicated and config.concurrency != ENDPOINTS.samples:
        yield point.point_path, f"a dedicated Offline run has concurrency {ENDPOINTS.samples}, not {config.concurrency}"
    asked = config.runtime_settings.min_duration_ms
    if asked is None or asked < ENDPOINTS.duration_ms(config.concurrency):
        yield (
            point.point_path,
            f"min_duration_ms is {asked}, a point here has {ENDPOINTS.duration_ms(config.concurrency)}",
        )


@point_rules.rule("point.region-name", source=f"{RULES}, 5.4 and 8.3")
def region_has_a_name(point: Point) -> Iterator[Problem]:
    region = point.config.region if point.config else None
    if region and region not in list(Region):
        yield point.point_path, f"region {region!r} is none of {', '.join(Region)}"


@point_rules.rule("point.seeds-declared", source=f"{SUBMISSION}, 4.6")
def seeds_are_the_cohort_s(point: Point) -> Iterator[Problem]:
    config = point.config
    if config is None or config.target_cohort is None:
        return
    wanted = ENDPOINTS.seeds_of(config.target_cohort)
    if wanted is None:
        known = ", ".join(ENDPOINTS.cohorts)
        yield point.point_path, f"no seeds are known for cohort {config.target_cohort} (known: {known})"
        return
    if config.seed_set != wanted.name:
        yield point.point_path, f"seed_set is {config.seed_set!r}, cohort {config.target_cohort} has {wanted.name}"
    expected, found = Seeds.of(wanted), config.runtime_settings.runtime
    for name in Seeds.__struct_fields__:
        if getattr(found, name) != getattr(expected, name):
            yield point.point_path, f"{name} is {getattr(found, name)}, set {wanted.name} has {getattr(expected, name)}"


@point_rules.rule("point.warmup", source=f"{RULES}, 6.3")
def warmup_is_declared(point: Point) -> Iterator[Problem]:
    if point.config is None:
        return
    path, warmup = point.point_path, point.config.warmup
    if point.config.runtime_settings.warmup.salt:
        yield path, "runtime_settings.warmup.salt is true: measured requests must not be salted"
    if warmup is None:
        yield path, "warmup is missing: declare zeros where there was none"
        return
    missing = [
        name
        for name in ("duration_s", "requests_issued", "requests_completed", "data_source")
        if getattr(warmup, name) is None
    ]
    if missing:
        yield path, f"warmup.{', warmup.'.join(missing)} missing"
        return
    issued, completed = warmup.requests_issued or 0, warmup.requests_completed or 0
    if not 0 <= (warmup.duration_s or 0) <= LONGEST_WARMUP_S:
        yield path, f"warmup.duration_s is {warmup.duration_s}: 0 to {LONGEST_WARMUP_S}"
    if not 0 <= completed <= issued:
        yield path, f"warmup: {completed} requests completed of {issued}"
    if issued and not warmup.concurrency:
        yield path, "warmup.concurrency is missing"
    if issued and not warmup.logs_retained:
        yield path, "warmup.logs_retained is not true: the logs of a warm-up must be kept (6.3.2)"


@point_rules.rule("point.steady-state", source=f"{RULES}, 4.4")
def steady_state_is_consistent(point: Point) -> Iterator[Problem]:
    steady, path = point.config.steady_state if point.config else None, point.point_path
    if steady is None:
        return
    if steady.status not in STATUSES:
        yield path, f"steady_state.status is {steady.status!r}: one of {', '.join(STATUSES)}"
    if steady.status != "windowable":
        return
    window = steady.window
    if window.passes is None or window.passes < ENDPOINTS.min_passes:
        yield path, f"a window of {window.passes} passes is declared; it needs {ENDPOINTS.min_passes}"
    if window.super_pass_size not in (None, ENDPOINTS.samples):
        yield path, f"super_pass_size is {window.super_pass_size}, a pass has {ENDPOINTS.samples:,}"
    if steady.verdict != "STEADY STATE":
        yield path, f"verdict is {steady.verdict!r}: what drifts is no figure of a point, run it longer"
    if drifting := [name for name, state in steady.state.items() if state != "Plateau"]:
        yield path, f"{', '.join(drifting)} drifts in a window that is declared steady"


@point_rules.rule("point.steady-state-basis", source=f"{RULES}, 4.4", weight=Weight.EXPLAIN)
def steady_state_is_declared(point: Point) -> Iterator[Problem]:
    """The whole run counts where no window is declared; the pinned client detects none."""
    config = point.config
    if config and not config.dedicated and (config.steady_state is None or config.steady_state.status != "windowable"):
        yield point.point_path, "declares no steady window: the whole run counts, ramp included"


@point_rules.rule("point.speculation", source=f"{RULES}, 2.9.4: no drafter is approved for this model")
def no_speculative_decoding(point: Point) -> Iterator[Problem]:
    if point.config and point.config.speculative_decoding:
        yield point.point_path, "declares speculative decoding, which this model may not use"


@point_rules.rule("point.shared", source=f"{RULES}, 8.1")
def shared_paths_are_there(point: Point) -> Iterator[Problem]:
    """``shared_src`` and ``shared_docs`` are relative to the submission's directory."""
    root = next((parent.parent for parent in point.path.parents if parent.name == "results"), None)
    if point.config is None or root is None:
        return
    for name in ("shared_src", "shared_docs"):
        given = getattr(point.config, name)
        if given and (Path(given).is_absolute() or ".." in Path(given).parts or not (root / given).is_dir()):
            yield point.point_path, f"{name} {given!r} is no directory of the submission"
