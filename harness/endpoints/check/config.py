"""The client's own configuration: the benchmark's, and the same that point.yaml declares.

The official checker asks only that the file is there. What it does not show is said, not counted as a breach.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.endpoints.check.files import Point
from harness.endpoints.check.sources import CHECKER, RULES, SUBMISSION
from harness.loadgen.rules import Weight
from harness.rounds import ENDPOINTS, ROUND
from harness.submission.check.base import Checks, Problem

FIXED = {  # rules, 2.9: set by the benchmark
    ("model_params", "temperature"): 0.0,
    ("model_params", "top_p"): 1.0,
    ("model_params", "max_new_tokens"): ROUND.max_new_tokens,
}
SEEDS = {  # the client's spelling
    ("settings", "runtime", "scheduler_random_seed"): "scheduler",
    ("settings", "runtime", "dataloader_random_seed"): "sample_index",
    ("model_params", "seed"): "model",
}
SAMPLES = ("settings", "runtime", "n_samples_to_issue")

config_rules: Checks[Point] = Checks()


@config_rules.rule("point.sampling", source=f"{RULES}, 2.9")
def sampled_as_the_benchmark_does(point: Point) -> Iterator[Problem]:
    for path, wanted in FIXED.items():
        found = point.asked(*path)
        if found is not None and found != wanted:
            yield point.config_path, f"{'.'.join(path)} is {found}; the benchmark has {wanted}"
    if (shortest := point.asked("model_params", "min_new_tokens")) not in (None, 0, 1):
        yield point.config_path, f"model_params.min_new_tokens is {shortest}: answers end where the model ends them"


@config_rules.rule("point.load", source=f"{RULES}, 6.1 and 6.2")
def loaded_as_declared(point: Point) -> Iterator[Problem]:
    streaming = point.asked("model_params", "streaming")
    pattern, target = (point.asked("settings", "load_pattern", key) for key in ("type", "target_concurrency"))
    wanted = "max_throughput" if point.dedicated else "concurrency"
    if pattern is not None and pattern != wanted:
        yield point.config_path, f"the load pattern is {pattern!r}, a point like this has {wanted!r}"
    if point.dedicated:
        return
    if streaming == "off":
        yield point.config_path, "streaming is off: a point's answers must stream"
    if target is not None and target != point.concurrency:
        yield point.config_path, f"target_concurrency is {target}, the point is declared at {point.concurrency}"
    cut = point.asked("settings", "runtime", "max_duration_ms")
    if cut:
        yield point.config_path, f"max_duration_ms is {cut}: it cuts a pass and abandons what is in flight"


@config_rules.rule("point.asked-seeds", source=f"{SUBMISSION}, 4.6")
def seeds_were_given_to_the_client(point: Point) -> Iterator[Problem]:
    declared = point.config.runtime_settings.runtime if point.config else None
    names = {"scheduler": "scheduler_rng_seed", "sample_index": "sample_index_rng_seed", "model": "model_seed"}
    for path, name in SEEDS.items():
        found = point.asked(*path)
        known = {getattr(seeds, name) for seeds in ENDPOINTS.seed_sets}
        wanted = getattr(declared, names[name]) if declared else None
        if found is None and point.expected:
            yield point.config_path, f"{'.'.join(path)} is missing: the client ran with a seed of its own"
        elif found is not None and (found not in known if wanted is None else found != wanted):
            yield (
                point.config_path,
                f"{'.'.join(path)} is {found}, not the {'declared' if wanted else 'published'} seed",
            )


@config_rules.rule("point.asked-data", source=f"{CHECKER} submissions/builder.py: the first data set tells the kind")
def data_set_is_the_benchmark_s(point: Point) -> Iterator[Problem]:
    found = point.asked("datasets")
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        return
    if found and found[0].get("type") != "performance":
        yield (
            point.config_path,
            "the first data set is not the performance one: the run would be taken for another kind",
        )
    if other := [str(entry.get("name")) for entry in found if entry.get("name") != ENDPOINTS.preset]:
        yield point.config_path, f"data set {other[0]} is not {ENDPOINTS.preset}"


@config_rules.rule("point.chunks", source=f"{RULES}, 6.6: as run")
def chunks_as_declared(point: Point) -> Iterator[Problem]:
    asked = point.asked("settings", "client", "stream_all_chunks")
    declared = point.config.runtime_settings.stream_all_chunks if point.config else None
    if asked is not None and declared is not None and asked != declared and not point.dedicated:
        yield point.point_path, f"stream_all_chunks is declared {declared}, the client ran with {asked}"


@config_rules.rule("point.warmup-asked", source=f"{RULES}, 6.3")
def warmup_as_declared(point: Point) -> Iterator[Problem]:
    enabled = point.asked("settings", "warmup", "enabled")
    declared = point.config.warmup.requests_issued if point.config and point.config.warmup else None
    if enabled is not None and declared is not None and bool(enabled) != bool(declared):
        yield point.config_path, f"warmup.enabled is {enabled}, but {declared} warm-up requests are declared"


@config_rules.rule("point.config-not-shown", source=f"{RULES}, 8.1", weight=Weight.EXPLAIN)
def what_the_configuration_does_not_tell(point: Point) -> Iterator[Problem]:
    if point.client and point.asked(*SAMPLES) is None:
        yield point.config_path, "is not the client's complete configuration: what was asked of it cannot be compared"


@config_rules.rule("point.client", source=f"{RULES}, 2.5: unmodified, at a commit that reviewers can reach")
def client_is_known(point: Point) -> Iterator[Problem]:
    sha = point.summary.git_sha if point.summary else None
    if point.expected and not point.expected.rehearsal and not (sha and ENDPOINTS.client_commit.startswith(sha)):
        yield point.summary_path, f"git_sha is {sha!r}: the client was not the one at {ENDPOINTS.client_commit[:12]}"
