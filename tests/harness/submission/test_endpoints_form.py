"""A v6.1 tree from runs of MLCommons' endpoints client, which both checkers take."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from harness.config import Scenario
from harness.submission.build import Order, Refused
from harness.submission.check import Severity, check_submission
from harness.submission.endpoints_form import build_endpoints, find_endpoints
from harness.submission.system_description import BLANK
from mlperf_llama_base.errors import UserError
from tests.harness.submission.real_logs import unpack
from tests.helpers.command import command

FILES = ("config.yaml", "performance/result_summary.json", "accuracy/accuracy_results.json")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Offline and Server as a published submission's client left them; fields that its authors added are taken out."""
    source = unpack(tmp_path / "real") / "endpoints" / "good" / "closed" / "ACME" / "results" / "sys1" / "llama3.1-8b"
    for scenario in ("Offline", "Server"):
        for name in FILES:
            target = tmp_path / "runs" / scenario / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / scenario / name, target)
        summary = tmp_path / "runs" / scenario / FILES[1]
        tree = json.loads(summary.read_text())
        for added in ("result", "result_tokens_per_second", "result_completed_tokens_per_second"):
            tree.pop(added, None)
        summary.write_text(json.dumps(tree))
    return tmp_path / "runs"


def order_of(tmp_path: Path, **over: object) -> Order:
    given = {"submitter": "ACME", "division": "closed", "system_id": "sys1", "system_yaml": tmp_path / "sys1.yaml"}
    given |= {"tree": tmp_path / "tree", "backup": tmp_path / "logs"} | over
    return Order(**given)  # type: ignore[arg-type]


def fill(path: Path, **answers: str) -> None:
    tree = yaml.safe_load(path.read_text())
    for name, value in tree.items():
        if BLANK in str(value):
            tree[name] = answers.get(name, "x")
    path.write_text(yaml.safe_dump(tree))


def built(runs: Path, tmp_path: Path, **over: object) -> Path:
    """The tree, with both YAML files written and filled in on the way."""
    order, weights = order_of(tmp_path, **over), tmp_path / "weights.yaml"
    found = find_endpoints([runs])
    with pytest.raises(UserError, match=r"wrote .*sys1\.yaml: fill in its blanks"):
        build_endpoints(found, order, measurements=weights)
    fill(order.system_yaml, status="available", number_of_nodes="1", accelerators_per_node="8")
    with pytest.raises(UserError, match=r"wrote .*weights\.yaml: say what the weights are"):
        build_endpoints(found, order, measurements=weights)
    with pytest.raises(UserError, match="fill in weight_data_types, weight_transformations"):
        build_endpoints(found, order, measurements=weights)
    fill(weights, weight_data_types="fp8", weight_transformations="quantised to fp8")
    build_endpoints(found, order, measurements=weights)
    return order.tree


def test_runs_of_the_client_become_a_tree_without_an_error(runs: Path, tmp_path: Path) -> None:
    tree = built(runs, tmp_path)
    errors = [f for f in check_submission(tree) if f.severity is Severity.ERROR]
    assert not errors, errors
    model = tree / "closed" / "ACME" / "results" / "sys1" / "llama3.1-8b"
    for scenario in ("Offline", "Server"):
        assert (model / scenario / FILES[1]).read_bytes() == (runs / scenario / FILES[1]).read_bytes()
    assert "fp8" in (tree / "closed" / "ACME" / "documentation" / "calibration.md").read_text()
    done = command("submission", "check", tree)
    assert done.code == 0 and " 0 errors" in done.out


def test_a_run_that_breaks_a_rule_makes_no_tree(runs: Path, tmp_path: Path) -> None:
    summary = runs / "Server" / FILES[1]
    summary.write_text(summary.read_text().replace('"n_samples_failed": 0', '"n_samples_failed": 3'))
    with pytest.raises(Refused) as caught:
        built(runs, tmp_path)
    assert any("3 samples failed" in reason for reason in caught.value.reasons)
    assert not list((tmp_path / "tree").glob("closed/*"))


def test_the_load_tells_the_scenario(runs: Path, tmp_path: Path) -> None:
    assert {s: p.name for s, p in find_endpoints([runs]).items()} == {
        Scenario.OFFLINE: "Offline",
        Scenario.SERVER: "Server",
    }
    shutil.copytree(runs / "Server", runs / "interactive")
    assert set(find_endpoints([runs])) == {Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE}
    shutil.copytree(runs / "Server", tmp_path / "again")
    with pytest.raises(UserError, match="two server runs"):
        find_endpoints([runs, tmp_path / "again"])
    config = yaml.safe_load((runs / "Server" / FILES[0]).read_text())
    config["settings"]["load_pattern"] = {"type": "concurrency", "target_concurrency": 64}
    (runs / "Server" / FILES[0]).write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="'concurrency': a scenario of MLPerf Inference is measured with"):
        find_endpoints([runs])
    assert not find_endpoints([tmp_path / "nothing"])


def test_a_run_without_accuracy_is_named(runs: Path, tmp_path: Path) -> None:
    (runs / "Offline" / FILES[2]).unlink()
    with pytest.raises(UserError, match=r"accuracy_results\.json is missing: run the client with --mode both"):
        built(runs, tmp_path)


def test_the_command_builds_and_checks(runs: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--output", tmp_path / "tree", "--submitter", "ACME", "--system-id", "sys1"]
    options += ["--system", tmp_path / "sys1.yaml", "--measurements", tmp_path / "weights.yaml"]
    done = command("submission", "build", runs, *options)
    assert done.code == 2 and "fill in its blanks" in done.err
    fill(tmp_path / "sys1.yaml", status="available", number_of_nodes="1", accelerators_per_node="8")
    assert "say what the weights are" in command("submission", "build", runs, *options).err
    fill(tmp_path / "weights.yaml", weight_data_types="fp8")
    done = command("submission", "build", runs, *options)
    assert done.code == 0 and "rules checked: 0 errors" in done.out, done.out + done.err
