"""``mlperf-llama submission``: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli import submission
from harness.cli.submission import app
from harness.submission.scrub import Find
from mlperf_llama_base.errors import UserError
from tests.harness.submission.conftest import SYSTEM
from tests.harness.submission.runs import copy
from tests.harness.submission.spoil import Spoiler


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_good_tree_ends_with_0(both: Path) -> None:
    done = call("check", both / "tree", "--backup", both / "backup")
    assert done.exit_code == 0
    assert done.output.endswith("rules checked: 0 errors, 0 warnings, 0 notes\n")


def test_an_error_ends_with_1_and_names_file_and_rule(spoilt: Path) -> None:
    Spoiler(spoilt).set({"result_validity": "INVALID"})
    done = call("check", spoilt / "tree")
    assert done.exit_code == 1
    first, second, third, _ = done.output.splitlines()
    assert first.startswith("ERROR   closed/ACME/results/acme_8x/llama3.1-8b/Server/performance/run_1/")
    assert second.strip() == "LoadGen says INVALID: no reason given"
    assert third.strip().startswith("[validity.verdict: mlcommons/inference loadgen/results.cc")


def test_warnings_alone_end_with_0(spoilt: Path) -> None:
    (Spoiler(spoilt).submitter / "notes").mkdir()
    done = call("check", spoilt / "tree")
    assert done.exit_code == 0 and "WARNING closed/ACME/notes" in done.output


def test_scoring_again_takes_a_data_set_and_a_tokenizer_that_are_there(both: Path, tmp_path: Path) -> None:
    done = call("check", both / "tree", "--dataset", tmp_path / "data.json")
    assert isinstance(done.exception, UserError) and "give the other one, too" in str(done.exception)
    done = call("check", both / "tree", "--dataset", tmp_path / "data.json", "--tokenizer", tmp_path)
    assert isinstance(done.exception, UserError) and "data.json" in str(done.exception)


def test_json_for_machines(spoilt: Path) -> None:
    Spoiler(spoilt).set({"result_validity": "INVALID"})
    (finding,) = json.loads(call("check", spoilt / "tree", "--json").output)
    assert set(finding) == {"severity", "weight", "rule", "path", "message", "source"}


def build(campaign: Path, directory: Path, *options: object) -> Result:
    system = directory / "system.yaml"
    system.write_text(SYSTEM)
    names = ("--submitter", "ACME", "--system-id", "acme_8x", "--system", system)
    return call("build", campaign, "--output", directory / "tree", *names, *options)


def test_build_checks_what_it_built(datacenter: Path, tmp_path: Path) -> None:
    done = build(datacenter, tmp_path)
    assert done.exit_code == 0, done.output
    assert "0 errors, 0 warnings" in done.output
    assert (tmp_path / "tree-accuracy-logs").is_dir()
    source = tmp_path / "tree" / "closed" / "ACME" / "src" / "llama3.1-8b" / "mlperf-llama"
    assert (source / "harness" / "run.py").is_file() and (source / "setup.py").is_file()
    assert not list(source.rglob("__pycache__"))


def test_refusals_are_listed_and_end_with_1(datacenter: Path, tmp_path: Path) -> None:
    campaign = copy(datacenter, tmp_path / "campaign")
    for mode in ("accuracy", "compliance"):
        (campaign / "offline" / mode / "result.json").unlink()
    done = build(campaign, tmp_path)
    assert done.exit_code == 1
    assert "  - no offline accuracy run\n  - no offline compliance run\n" in done.output


def test_a_wrong_division_is_a_usage_error(datacenter: Path, tmp_path: Path) -> None:
    assert build(datacenter, tmp_path, "--division", "public").exit_code == 2


def test_notes_that_cannot_be_read_are_a_users_error(datacenter: Path, tmp_path: Path) -> None:
    done = build(datacenter, tmp_path, "--calibration-notes", str(tmp_path / "none.md"))
    assert isinstance(done.exception, UserError) and "none.md cannot be read" in str(done.exception)


@pytest.mark.parametrize("command", ["build", "check"])
def test_help(command: str) -> None:
    assert call(command, "--help").exit_code == 0


def test_what_was_removed_is_told_by_kind_and_line() -> None:
    finds = [Find("token", 3, "a"), Find("home path", 5, "b"), Find("token", 9, "c"), Find("token", 9, "d")]
    assert submission._where(finds) == "token in lines 3, 9; home path in line 5"
