"""Real submissions are judged rightly: no false alarm, and what is wrong with them is said with its own rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.submission.check import Severity, check_submission
from mlperf_llama_base.errors import UserError
from tests.harness.submission.real_logs import lay, unpack
from tests.helpers.results import build_result

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
LOGS = ("test06.logs", NOTE)  # none of them has TEST06's own logs
VARIANTS: dict[str, set[tuple[str, Severity]]] = {
    "accuracy-log-crlf-truncated": set(),
    "calibration-two-files": set(),
    "loadgen-built-without-git": {("validity.no-git", NOTE)},
    "measurements-list": set(),
    "src-with-gitignore": {("structure.hidden", WARNING)},
    "src-with-placeholder-key": set(),
    "submitter-with-a-space": set(),
    "test06-129-tokens-bos-first": {("outputs.length", ERROR)},
    "test06-129-tokens-eos-second": {("outputs.length", ERROR), ("outputs.end-token", WARNING)},
    "test06-empty-log": {("test06.outputs", ERROR)},
    "test06-int64": set(),
    "user-conf-of-another-run": {("user-conf.same", ERROR)},
    "user-conf-performance-sample-count": {("user-conf.ignored", NOTE)},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("real"))


def found(tree: Path) -> set[tuple[str, Severity]]:
    return {(finding.rule, finding.severity) for finding in check_submission(tree)}


def test_a_good_tree_of_somebody_else(real: Path) -> None:
    assert found(real / "base") == {LOGS}


def test_an_edge_tree_with_a_model_name_of_its_own_and_int64_outputs(real: Path) -> None:
    """Its accuracy run began while its performance run went on, by LoadGen's own times."""
    assert found(real / "base-edge") == {("test06.edge", WARNING), ("consistency.turns", WARNING)}


def test_every_variant_is_judged(real: Path) -> None:
    assert {path.name for path in (real / "variants").iterdir()} == VARIANTS.keys()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_judged_rightly(name: str, real: Path, tmp_path: Path) -> None:
    tree = lay(real / "variants" / name, real / "base", tmp_path / "tree")
    assert found(tree) == VARIANTS[name] | {LOGS}


@pytest.mark.parametrize("test", ["performance/run_1", "accuracy"])
@pytest.mark.parametrize("name", ["Offline", "Server", "Interactive"])
def test_a_foreign_run_has_loadgen_s_verdict_and_its_own_scenario(name: str, test: str, real: Path) -> None:
    """And nothing is asked of it that only our own runs have."""
    run = next((real / "base").glob(f"closed/*/results/*/*/{name}/{test}"))
    result = build_result(run)
    assert (result["valid"], result["scenario"], result["benchmark"]) == (True, name.lower(), "datacenter")
    (reason,) = result["not_submittable_reasons"]
    assert reason.startswith("only LoadGen's logs are here, of another harness")


@pytest.mark.parametrize("name", ["Offline", "SingleStream"])
def test_a_foreign_edge_run(name: str, real: Path) -> None:
    run = next((real / "base-edge").glob(f"closed/*/results/*/*/{name}/performance/run_1"))
    result = build_result(run)
    assert (result["valid"], result["scenario"], result["benchmark"]) == (True, name.lower(), "edge")


def test_a_scenario_that_this_benchmark_lacks_is_named(real: Path) -> None:
    log = next((real / "foreign-multistream").rglob("mlperf_log_detail.txt"))
    with pytest.raises(UserError, match="LoadGen ran MultiStream, which this benchmark does not have"):
        build_result(log.parent)
