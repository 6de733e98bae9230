"""Our gate: a good tree passes, and every fault of it is refused, also those that the official checker lets pass."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.endpoints import official
from harness.endpoints.check import Severity, check_tree, rules
from harness.endpoints.check.files import SUMMARY
from harness.endpoints.plan import Offline
from mlperf_llama_base.errors import EnvironmentFault, UserError
from tests.harness.endpoints.mutations import MISSED, MUTATIONS, at
from tests.helpers.command import command

EXPLAINED = {"point.steady-state-basis"}


def model_of(tree: Path) -> Path:
    return next(tree.glob("results/*/llama3_1-8b"))


def errors(tree: Path) -> set[str]:
    return {finding.rule for finding in check_tree(tree) if finding.severity is Severity.ERROR}


@pytest.fixture
def tree(trees: dict[Offline, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trees[Offline.ELECTED], tmp_path / "tree"))


@pytest.mark.parametrize("form", Offline)
def test_a_good_tree_has_no_error_and_says_that_no_window_is_declared(
    form: Offline, trees: dict[Offline, Path]
) -> None:
    found = check_tree(trees[form])
    assert {(f.rule, f.severity) for f in found} == {(rule, Severity.WARNING) for rule in EXPLAINED}
    assert check_tree(trees[form].parent) == found  # the organization's directory will do


@pytest.mark.parametrize("name", [*MUTATIONS, *MISSED])
def test_every_fault_is_refused(name: str, tree: Path) -> None:
    rule, mutate = (MUTATIONS | MISSED)[name]
    mutate(model_of(tree))
    assert rule in errors(tree)


def test_a_dedicated_offline_run_must_not_be_slower_than_c_max(trees: dict[Offline, Path], tmp_path: Path) -> None:
    tree = Path(shutil.copytree(trees[Offline.DEDICATED], tmp_path / "tree"))
    slower = at("r13368", SUMMARY, lambda found: found["output_sequence_lengths"].update(total=1_000_000))
    slower(model_of(tree))
    assert "curve.offline" in errors(tree)


def test_each_rule_has_an_id_of_its_own_and_a_public_source() -> None:
    found = rules()
    assert len({rule.id for rule in found}) == len(found) > 25
    assert all("mlcommons/" in rule.source or "endpoints-submission-cli" in rule.source for rule in found)


def test_damaged_and_foreign_files_are_named(tree: Path) -> None:
    model = model_of(tree)
    (model / "r1" / "result_summary.json").write_text('{"n_samples_issued": "many"}')
    (model / "r4" / "point.yaml").write_text("- a list")
    (model / "notes.txt").write_text("mine")
    found = {(f.rule, f.path.rpartition("/")[2]) for f in check_tree(tree)}
    assert {("curve.files-read", "result_summary.json"), ("curve.files-read", "point.yaml")} <= found
    assert ("curve.strangers", "notes.txt") in found


def test_no_submission_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no Endpoints submission"):
        check_tree(tmp_path)
    with pytest.raises(UserError, match="not a directory"):
        check_tree(tmp_path / "none")


@pytest.fixture(scope="module")
def checker() -> Path:
    found = os.environ.get(official.VARIABLE) or shutil.which(official.NAME)
    if not found:
        pytest.skip(f"{official.NAME} is not installed ({official.VARIABLE} may name it)")
    executable = official.find_checker(Path(found))
    assert executable is not None
    return executable


@pytest.mark.parametrize("form", Offline)
def test_the_official_checker_agrees(form: Offline, checker: Path, trees: dict[Offline, Path], tmp_path: Path) -> None:
    """It passes the good tree, and says how many errors a broken one has."""
    verdict = official.check(checker, trees[form])
    assert verdict.passed, verdict.found
    broken = Path(shutil.copytree(trees[form], tmp_path / "broken"))
    MUTATIONS["one failed"][1](model_of(broken))
    refused = official.check(checker, broken)
    assert not refused.passed and "NOT PASSED" in str(refused) and refused.count("error") == 1


@pytest.mark.timeout(600)  # fifty calls of the official checker
def test_the_official_checker_refuses_and_misses_what_is_recorded_of_it(
    checker: Path, trees: dict[Offline, Path], tmp_path: Path
) -> None:
    def passes(name: str) -> bool:
        broken = Path(shutil.copytree(trees[Offline.ELECTED], tmp_path / name.replace(" ", "-")))
        (MUTATIONS | MISSED)[name][1](model_of(broken))
        return official.check(checker, broken).passed

    with ThreadPoolExecutor(max_workers=4) as pool:
        names = [*MUTATIONS, *MISSED]
        assert {name for name, missed in zip(names, pool.map(passes, names), strict=True) if missed} == set(MISSED)


def test_an_absent_checker_is_none_and_a_named_one_that_is_not_there_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(official.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert official.find_checker(None) is None
    with pytest.raises(EnvironmentFault, match="pip install endpoints-submission-cli=="):
        official.find_checker(tmp_path / "checker")
    broken = tmp_path / official.NAME
    broken.write_text("#!/bin/sh\necho no json\n")
    broken.chmod(0o755)
    with pytest.raises(EnvironmentFault, match="cannot check"):
        official.check(broken, tmp_path)


def test_submission_check_knows_which_kind_of_tree_it_has(tree: Path) -> None:
    done = command("submission", "check", tree)
    assert done.code == 0 and "0 errors, 9 warnings" in done.out
    MISSED["a score missing"][1](model_of(tree))
    done = command("submission", "check", tree.parent)
    assert done.code == 1 and "rougeLsum is missing" in done.out and "[point.scores:" in done.out
