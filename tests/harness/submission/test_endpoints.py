"""Submissions made with MLCommons' endpoints tool are held to the same numbers as LoadGen's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.submission.check import Severity, check_submission
from harness.submission.check.endpoints import endpoints_checks
from tests.harness.submission.real_logs import lay, unpack

SERVER = "closed/ACME/results/sys1/llama3.1-8b/Server"
NOTE = {("endpoints.not-shown", Severity.NOTE)}
VARIANTS = {
    "ttft": "endpoints.latency",
    "empty": "endpoints.files",
    "noreadme": "measurements.readme",
    "nomeas": "measurements.file",
    "noacc": "endpoints.files",
    "nosummary": "endpoints.files",
    "acc100": "endpoints.accuracy",
    "wrongseed": "endpoints.seeds",
    "shortdur": "endpoints.duration",
    "accuracy": "endpoints.accuracy",
    "short": "endpoints.samples",
}
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("real")) / "endpoints"


def found(tree: Path) -> set[tuple[str, Severity]]:
    return {(finding.rule, finding.severity) for finding in check_submission(tree)}


def test_a_good_one_has_only_the_note_of_what_is_not_shown(real: Path) -> None:
    assert found(real / "good") == NOTE


@pytest.mark.parametrize("name", VARIANTS)
def test_what_the_official_checker_refuses_or_overlooks(name: str, real: Path, tmp_path: Path) -> None:
    tree = lay(real / name, real / "good", tmp_path / "tree")
    assert (VARIANTS[name], Severity.ERROR) in found(tree)


def summary(change: Change) -> tuple[str, Change]:
    return "performance/result_summary.json", change


def accuracy(change: Change) -> tuple[str, Change]:
    return "accuracy/accuracy_results.json", lambda tree: change(tree["accuracy_scores"][0])


def config(change: Change) -> tuple[str, Change]:
    return "config.yaml", change


MUTATIONS: dict[str, tuple[str, tuple[str, Change]]] = {
    "failed samples": ("endpoints.complete", summary(lambda s: s.update(n_samples_failed=4000))),
    "failures not counted": ("endpoints.complete", summary(lambda s: s.pop("n_samples_failed"))),
    "not all completed": ("endpoints.complete", summary(lambda s: s.update(n_samples_completed=40000))),
    "interrupted": ("endpoints.complete", summary(lambda s: s.update(complete=False, state="aborted"))),
    "599 s": ("endpoints.duration", summary(lambda s: s.update(duration_ns=599e9))),
    "no duration": ("endpoints.duration", summary(lambda s: s.pop("duration_ns"))),
    "no seeds": ("endpoints.seeds", summary(lambda s: s["run_config"].update(dataloader_random_seed=1))),
    "a seed in the summary only": (
        "endpoints.seeds",
        config(lambda c: c["settings"]["runtime"].pop("scheduler_random_seed")),
    ),
    "TPOT at the limit": ("endpoints.latency", summary(lambda s: s["tpot"]["percentiles"].update({"99.0": 1e8}))),
    "no TPOT": ("endpoints.latency", summary(lambda s: s.pop("tpot"))),
    "early stopping": (
        "endpoints.latency",
        summary(lambda s: s["ttft"]["early_stopping_percentiles"].update({"99.0": 2.1e9})),
    ),
    "no metric": ("endpoints.metric", summary(lambda s: s.update(result_completed_tokens_per_second=0))),
    "no number": ("endpoints.metric", summary(lambda s: s.update(tps=float("nan")))),
    "another duration than the window's": ("endpoints.figures", summary(lambda s: s.update(duration_ns=9e11))),
    "all queries at once": ("endpoints.scenario", config(lambda c: c["settings"]["load_pattern"].update(type="burst"))),
    "another load than asked for": (
        "endpoints.scenario",
        summary(lambda s: s["run_config"]["load_pattern"].update(type="max_throughput")),
    ),
    "no tps": ("endpoints.metric", summary(lambda s: s.pop("tps"))),
    "qps is text": ("endpoints.metric", summary(lambda s: s.update(qps="57.6"))),
    "tokens/s made up": ("endpoints.figures", summary(lambda s: s.update(tps=11_064.9))),
    "long outputs": ("endpoints.lengths", summary(lambda s: s["output_sequence_lengths"].update(max=256))),
    "longer outputs asked for": ("endpoints.lengths", config(lambda c: c["model_params"].update(max_new_tokens=256))),
    "Offline's load": ("endpoints.scenario", config(lambda c: c.update(type="offline"))),
    "responses are missing": ("endpoints.accuracy", accuracy(lambda r: r["response_counts"].update(missing=3))),
    "a score is missing": ("endpoints.accuracy", accuracy(lambda r: r["score"].pop("rouge2"))),
    "a score is text": ("endpoints.accuracy", accuracy(lambda r: r["score"].update(rouge2="high"))),
    "no accuracy data set": ("endpoints.accuracy", accuracy(lambda r: r.update(dataset_type="performance"))),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found(name: str, real: Path, tmp_path: Path) -> None:
    rule, (file, change) = MUTATIONS[name]
    tree = lay(real / "good", real / "good", tmp_path / "tree")
    path = tree / SERVER / file
    content = yaml.safe_load(path.read_text())  # JSON is YAML
    change(content)
    path.write_text(json.dumps(content))
    assert rule in {finding.rule for finding in check_submission(tree)}


def test_every_rule_is_shown_to_work() -> None:
    shown = {*VARIANTS.values(), *(rule for rule, _ in MUTATIONS.values()), "endpoints.not-shown"}
    assert {rule.id for rule in endpoints_checks} <= shown
