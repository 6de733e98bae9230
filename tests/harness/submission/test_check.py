"""Our checker: silent on a good tree, and every mutation is found by the rule that is about it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.submission.again import Scorer
from harness.submission.check import Severity, check_submission, rules
from harness.submission.check.endpoints import endpoints_checks
from mlperf_llama_base.errors import UserError
from tests.harness.submission.mutations import MUTATIONS, Mutation
from tests.harness.submission.spoil import Spoiler

TABLE = Path(__file__).resolve().parents[3] / "docs" / "submission.md"


def found(directory: Path) -> set[tuple[str, str]]:
    findings = check_submission(directory / "tree", backup=directory / "backup")
    return {(finding.rule, finding.severity) for finding in findings}


def test_a_good_tree_has_no_finding(both: Path) -> None:
    assert check_submission(both / "tree", backup=both / "backup") == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_is_found(mutation: Mutation, spoilt: Path) -> None:
    mutation.apply(Spoiler(spoilt))
    findings = check_submission(spoilt / "tree", backup=spoilt / "backup")
    assert mutation.rule in {finding.rule for finding in findings}, findings
    assert all(finding.path and finding.message and finding.source for finding in findings)


def test_there_are_enough_mutations_and_each_has_its_own_name() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) > 40


def test_the_documented_table_is_that_of_the_mutations() -> None:
    """With the official checker's verdict on each; what it refuses or stumbles over is an error here."""
    rows = re.findall(r"^\| (.+?: .+) \| (.+?) \| (\w+), `([\w.-]+)` \|$", TABLE.read_text(), re.MULTILINE)
    assert {name: rule for name, _, _, rule in rows} == {mutation.name: mutation.rule for mutation in MUTATIONS}
    weights = {rule.id: rule.weight for rule in rules()}
    for name, official, ours, rule in rows:
        assert (ours == "error") == weights[rule].spoils, name
        assert official == "accepts" or ours == "error", name


def test_every_rule_names_its_source() -> None:
    checked = rules()
    assert len(checked) > 60
    assert all(check.source for check in checked)


def test_almost_every_rule_is_shown_to_work() -> None:
    """Rules that no mutation is about have a test of their own below, or cannot fail a tree."""
    shown = {mutation.rule for mutation in MUTATIONS}
    elsewhere = {
        "structure.root",
        "structure.results",
        "structure.benchmarks",
        "structure.other-benchmark",
        "structure.model-mapping",  # test_open.py
        "system.network-name",
        "power.contents",
        "system.power",
        "system.rehearsal",
        "accuracy.same-loadgen",
        "accuracy.again",  # test_references.py
        "accuracy.not-again",
        "performance.open",  # test_open.py
        "test06.logs",
        "validity.no-git",
    }
    endpoints = {rule.id for rule in endpoints_checks}  # test_endpoints.py
    assert {rule.id for rule in rules()} - shown - endpoints == elsewhere


def test_a_tree_without_submissions(tmp_path: Path) -> None:
    (finding,) = check_submission(tmp_path)
    assert finding.rule == "structure.root" and finding.severity is Severity.ERROR


def test_a_missing_directory_is_the_user_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds closed/ or open/"):
        check_submission(tmp_path / "nothing")


def test_an_empty_submitter(tmp_path: Path) -> None:
    (tmp_path / "closed" / "ACME" / "results" / "box").mkdir(parents=True)
    rules_found = {finding.rule for finding in check_submission(tmp_path)}
    assert {"structure.root", "structure.src", "structure.benchmarks", "system.file"} <= rules_found
    (tmp_path / "closed" / "Initech").mkdir()
    assert "structure.results" in {finding.rule for finding in check_submission(tmp_path)}


def test_other_benchmarks_are_left_to_the_official_checker(spoilt: Path) -> None:
    (Spoiler(spoilt).benchmark.parent / "llama2-70b-99.9" / "Offline").mkdir(parents=True)
    assert found(spoilt) == {("structure.other-benchmark", Severity.NOTE)}


def test_an_endpoints_submission_is_judged_by_its_own_files(spoilt: Path) -> None:
    scenario = Spoiler(spoilt).scenario("Interactive")
    for name in ("performance/run_1/mlperf_log_detail.txt", "accuracy/mlperf_log_detail.txt"):
        (scenario / name).unlink()
    (scenario / "config.yaml").write_text("type: online\n")
    assert {("endpoints.not-shown", Severity.NOTE), ("endpoints.files", Severity.ERROR)} <= found(spoilt)


def test_power_results_ask_for_mlcommons_own_checker(spoilt: Path) -> None:
    spoiler = Spoiler(spoilt)
    performance = spoiler.log().parents[1]
    for directory, names in (
        ("run_1", ["spl.txt"]),
        ("ranging", ["spl.txt", "mlperf_log_summary.txt", "mlperf_log_detail.txt"]),
        ("power", ["client.json", "client.log", "ptd_logs.txt", "server.json", "server.log"]),
    ):
        (performance / directory).mkdir(exist_ok=True)
        for name in names:
            (performance / directory / name).write_text("x")
    assert found(spoilt) == {("power.contents", Severity.NOTE), ("system.power", Severity.WARNING)}
    spoiler.describe({"system_power_capacity": "5600"})
    assert found(spoilt) == {("power.contents", Severity.NOTE)}


def test_what_cannot_be_scored_again_is_noted(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scorer, "loaded", None)
    findings = check_submission(both / "tree", scorer=Scorer(Path("data.json"), "tokenizer"))
    assert {(f.rule, f.severity) for f in findings} == {("accuracy.not-again", Severity.NOTE)}
    assert len(findings) == 5


def test_test06_without_its_own_logs_is_noted(spoilt: Path) -> None:
    (Spoiler(spoilt).test06() / "performance" / "run_1" / "mlperf_log_detail.txt").unlink()
    assert found(spoilt) == {("test06.logs", Severity.NOTE)}


def test_another_loadgen_in_the_accuracy_run_is_a_question(spoilt: Path) -> None:
    path = Spoiler(spoilt).accuracy() / "mlperf_log_detail.txt"
    path.write_text(path.read_text().replace("6.0.17 @", "6.0.18 @"))
    assert found(spoilt) == {("accuracy.same-loadgen", Severity.WARNING)}


def test_a_loadgen_built_without_git_is_noted(spoilt: Path) -> None:
    Spoiler(spoilt).set({"loadgen_git_status_message": "NA"})
    assert found(spoilt) == {("validity.no-git", Severity.NOTE)}


def test_edge_offline_may_be_inferred_from_singlestream(spoilt: Path) -> None:
    spoiler = Spoiler(spoilt)
    spoiler.move(spoiler.scenario("edge-SingleStream"), spoiler.scenario("edge-Offline"))
    assert check_submission(spoilt / "tree") == []


def test_open_asks_for_less(spoilt: Path) -> None:
    spoiler = Spoiler(spoilt)
    for name in ("acme_8x", "acme_edge"):
        spoiler.mapping(spoiler.submitter / "systems" / f"{name}.json", {"division": "open"})
    (spoilt / "tree" / "closed").rename(spoilt / "tree" / "open")
    opened = spoilt / "tree" / "open" / "ACME" / "results" / "acme_8x" / "llama3.1-8b"
    scores = opened / "Server" / "accuracy" / "accuracy.txt"
    scores.write_text(scores.read_text().replace("'rouge1': '38.8'", "'rouge1': '12.3'"))
    for name in ("Offline", "Interactive"):
        shutil.rmtree(opened / name)
    shutil.rmtree(opened / "Server" / "TEST06")
    opened.rename(opened.with_name("our-llama"))
    mapping = spoilt / "tree" / "open" / "ACME" / "model_mapping.json"
    mapping.write_text('{"our-llama": "llama3.1-8b"}')
    assert check_submission(spoilt / "tree") == []
    mapping.unlink()
    unknown = {"structure.other-benchmark", "structure.benchmark-name"}
    assert {finding.rule for finding in check_submission(spoilt / "tree")} == unknown


def test_the_network_division_wants_its_fields_and_name(spoilt: Path) -> None:
    spoiler = Spoiler(spoilt)
    spoiler.mapping(spoiler.system, {"division": "network", "is_network": "true"})
    (spoilt / "tree" / "closed").rename(spoilt / "tree" / "network")
    rules_found = {finding.rule for finding in check_submission(spoilt / "tree")}
    assert {"system.network", "system.network-name"} <= rules_found


def test_findings_can_be_told_apart(spoilt: Path) -> None:
    Spoiler(spoilt).set({"result_validity": "INVALID"})
    (finding,) = check_submission(spoilt / "tree")
    assert finding.path == "closed/ACME/results/acme_8x/llama3.1-8b/Server/performance/run_1/mlperf_log_detail.txt"
    assert finding.message == "LoadGen says INVALID: no reason given"
    json.dumps(finding.severity)


def test_open_may_report_another_metric_without_a_hash(spoilt: Path) -> None:
    """The official checker takes it; in closed both are errors."""
    path = Spoiler(spoilt).accuracy() / "accuracy.txt"
    path.write_text("{'bertscore': 0.91}\n")
    rules_of_closed = {rule for rule, _ in found(spoilt)}
    assert {"accuracy.hash", "accuracy.scores"} <= rules_of_closed
    (spoilt / "tree" / "closed").rename(spoilt / "tree" / "open")
    findings = check_submission(spoilt / "tree")
    assert not [f for f in findings if f.path.endswith("Server/accuracy/accuracy.txt")], findings
