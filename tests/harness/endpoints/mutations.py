"""One fault at a time in a good tree, with the rule that must refuse it. ``MISSED``: the official checker lets it pass,
or only warns of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from harness.endpoints.check.files import ACCURACY, CONFIG, DESCRIPTION, POINT, POWER, SUMMARY
from harness.rounds import ENDPOINTS

Change = Callable[[dict[str, Any]], object]
Mutation = Callable[[Path], object]
"""Of the directory ``results/<system>/<model>``."""
LOW, MEDIUM = "r4", "r182"
WARMED = {"requests_issued": 5, "requests_completed": 5, "concurrency": 1}
PARALLEL = ("tensor_parallel", "pipeline_parallel", "expert_parallel")


def edit(path: Path, change: Change) -> None:
    tree = yaml.safe_load(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree) if path.suffix == ".json" else yaml.safe_dump(tree, sort_keys=False))


def at(point: str, name: str, change: Change) -> Mutation:
    return lambda model: edit(model / point / name, change)


def everywhere(name: str, change: Change) -> Mutation:
    def mutate(model: Path) -> None:
        for path in model.glob(f"r*/{name}"):
            edit(path, change)

    return mutate


def score(change: Change) -> Mutation:
    return at("r1", ACCURACY, lambda tree: change(tree["accuracy_scores"][0]))


def power(change: Change) -> Mutation:
    return lambda model: edit(model.parent / POWER, change)


def steady(**window: Any) -> Change:
    found = {
        "super_pass_start": 1,
        "super_pass_end": 4,
        "super_pass_size": 13368,
        "n_samples": 53472,
        "duration_s": 1300.0,
    }
    block = {
        "status": "windowable",
        "verdict": "STEADY STATE",
        "window": found | window,
        "state": {"tpot_p90": "Plateau"},
    }
    return lambda tree: tree.update(steady_state=block)


def rename(model: Path) -> None:
    everywhere(POINT, lambda tree: tree.update(model_name="llama3.1-8b"))(model)
    model.rename(model.with_name("llama3.1-8b"))


def drop(*points: str) -> Mutation:
    def mutate(model: Path) -> None:
        for name in points:
            shutil.rmtree(model / name)

    return mutate


def components(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["node_sets"][0]["components"]
    return found


MUTATIONS: dict[str, tuple[str, Mutation]] = {
    "model with a dot": ("point.names", rename),
    "no config.yaml": ("curve.files-read", lambda model: (model / "r1" / CONFIG).unlink()),
    "no accuracy in a region": ("curve.accuracy-points", lambda model: (model / MEDIUM / ACCURACY).unlink()),
    "accuracy at a point of choice": (
        "curve.accuracy-points",
        lambda model: shutil.copy(model / "r1" / ACCURACY, model / LOW / ACCURACY),
    ),
    "rouge1 too low": ("point.scores", score(lambda entry: entry["score"].update(rouge1="38.38"))),
    "answers too short": ("point.scores", score(lambda entry: entry["score"].update(gen_len="7300000"))),
    "scored on 13367": ("point.scored-samples", score(lambda entry: entry.update(unit_samples=13367))),
    "poisson": ("point.pattern", at(LOW, POINT, lambda tree: tree["runtime_settings"].update(load_pattern="poisson"))),
    "a window of three passes": ("point.steady-state", at(MEDIUM, POINT, steady(super_pass_end=3))),
    "13367 completed": (
        "point.passes",
        at(MEDIUM, SUMMARY, lambda tree: tree.update(n_samples_issued=13367, n_samples_completed=13367)),
    ),
    "one failed": ("point.completed", at(MEDIUM, SUMMARY, lambda tree: tree.update(n_samples_failed=1))),
    "another seed": (
        "point.seeds-declared",
        at("r1", POINT, lambda tree: tree["runtime_settings"]["runtime"].update(scheduler_rng_seed=42)),
    ),
    "seeds in the client's spelling": (
        "point.seeds-declared",
        at("r1", POINT, lambda tree: tree["runtime_settings"].update(runtime={"scheduler_random_seed": 1})),
    ),
    "a cohort without seeds": (
        "point.seeds-declared",
        everywhere(POINT, lambda t: t.update(target_cohort="2026-12-C1")),
    ),
    "no warm-up block": ("point.warmup", at("r1", POINT, lambda tree: tree.pop("warmup"))),
    "nobody offline": ("curve.offline", everywhere(POINT, lambda tree: tree.pop("offline", None))),
    "unknown region": ("point.region-name", at(LOW, POINT, lambda tree: tree.update(region="low_throughput"))),
    "a region too few": ("curve.regions", drop("r4", "r9")),
    "no TPOT": ("point.figures", at("r1", SUMMARY, lambda tree: tree.update(tpot={}))),
    "tps_per_user made up": ("point.figures", at("r1", SUMMARY, lambda tree: tree.update(tps_per_user=5000.0))),
    "utilization made up": ("curve.utilization", at("r1", DESCRIPTION, lambda tree: tree.update(tps_utilization=0.9))),
    "another driver": ("curve.same", at("r1", DESCRIPTION, lambda tree: tree["node_types"][0].update(driver="1"))),
    "available nowhere": ("point.description", everywhere(DESCRIPTION, lambda tree: tree.pop("availability_url"))),
    "a long short name": (
        "point.description",
        everywhere(DESCRIPTION, lambda tree: tree.update(shortened_system_name="x" * 21)),
    ),
    "one of eight worked": ("point.engagement", everywhere(DESCRIPTION, lambda tree: tree.update(data_parallel=1))),
    "no power": ("curve.power", lambda model: (model.parent / POWER).unlink()),
    "no TDP": ("curve.power", power(lambda tree: components(tree)["accelerator"].pop("tdp_per_unit"))),
    "no source": (
        "curve.power",
        power(lambda tree: components(tree)["accelerator"]["tdp_per_unit"].update(source="data sheet")),
    ),
    "cooled otherwise": ("curve.power", power(lambda tree: tree.update(cooling="liquid"))),
    "src elsewhere": ("point.shared", everywhere(POINT, lambda tree: tree.update(shared_src="src/none"))),
    "no README": ("curve.layout", lambda model: (model.parents[2] / "src" / "mlperf-llama" / "README.md").unlink()),
    "speculation": (
        "point.speculation",
        everywhere(POINT, lambda tree: tree.update(speculative_decoding={"drafter": "x"})),
    ),
    "C_max 32": ("curve.regions", everywhere(DESCRIPTION, lambda tree: tree.update(max_supported_concurrency=32))),
    "above the margin": ("curve.regions", at(LOW, POINT, lambda tree: tree.update(concurrency=4700))),
    "a short run": ("point.duration", at(MEDIUM, SUMMARY, lambda tree: tree.update(duration_ns=int(1100e9)))),
    "CPU by default": ("curve.power", power(lambda tree: components(tree)["cpu"].pop("tdp_per_unit"))),
}
MISSED: dict[str, tuple[str, Mutation]] = {
    "a score missing": ("point.scores", score(lambda entry: entry["score"].pop("rougeLsum"))),
    "13369 requests": (
        "point.passes",
        at(MEDIUM, SUMMARY, lambda t: t.update(n_samples_issued=5 * 13368 + 1, n_samples_completed=5 * 13368 + 1)),
    ),
    "100 requests of another data set": (
        "point.names",
        lambda model: (
            everywhere(POINT, lambda tree: tree.update(dataset=ENDPOINTS.preset))(model),
            at(MEDIUM, SUMMARY, lambda tree: tree.update(n_samples_issued=100, n_samples_completed=100))(model),
        ),
    ),
    "streams that ended early": (
        "point.streams",
        at(MEDIUM, SUMMARY, lambda tree: tree["finish_reason_counts"].update(length=tree["n_samples_issued"] - 28)),
    ),
    "a run that was cut": ("point.completed", at(MEDIUM, SUMMARY, lambda tree: tree.update(complete=False))),
    "a short window": ("point.duration", at(MEDIUM, POINT, steady(duration_s=1100.0))),
    "a drift": (
        "point.steady-state",
        lambda model: (
            at(MEDIUM, POINT, steady())(model),
            at(MEDIUM, POINT, lambda tree: tree["steady_state"].update(verdict="drifting_up"))(model),
        ),
    ),
    "warm-up without logs": (
        "point.warmup",
        at(
            "r1",
            POINT,
            lambda t: t["warmup"].update(requests_issued=5, requests_completed=5, concurrency=1, logs_retained=False),
        ),
    ),
    "salted": ("point.warmup", at("r1", POINT, lambda t: t["runtime_settings"].update(warmup={"salt": True}))),
    "chunks not as run": (
        "point.chunks",
        everywhere(POINT, lambda tree: tree["runtime_settings"].update(stream_all_chunks=True)),
    ),
    "another region": ("curve.regions", at(LOW, POINT, lambda tree: tree.update(region="med_concurrency"))),
    "no parallelism": (
        "point.engagement",
        everywhere(DESCRIPTION, lambda tree: [tree.pop(name) for name in PARALLEL]),
    ),
    "sampled": ("point.sampling", at("r1", CONFIG, lambda tree: tree["model_params"].update(temperature=0.7))),
    "the client's seed": (
        "point.asked-seeds",
        at("r1", CONFIG, lambda t: t["settings"]["runtime"].update(scheduler_random_seed=42)),
    ),
    "accuracy first": ("point.asked-data", at("r1", CONFIG, lambda tree: tree["datasets"].reverse())),
    "another concurrency ran": (
        "point.load",
        at("r1", CONFIG, lambda tree: tree["settings"]["load_pattern"].update(target_concurrency=2)),
    ),
}
