"""Running the checks, the report, the command, and comparing nodes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from harness import config
from harness.preflight import Check, Context, Finding, Report, Status, compare_nodes, default_checks, run_preflight
from harness.preflight.base import combine, fail, passed, warn
from harness.rundir.files import read_record
from harness.rundir.preflight import PreflightRecord
from mlperf_llama_base.errors import UserError
from tests.harness.preflight.fakes import dataset_file, make
from tests.helpers.command import assert_refused, command


class Good(Check):
    name = "good"

    def run(self, context: Context) -> Finding:
        context.facts["seen"] = 1
        return passed("all well [sic]")


class Breaks(Check):
    name = "breaks"

    def run(self, context: Context) -> Finding:
        raise ZeroDivisionError("no such luck")


class Refuses(Check):
    name = "refuses"

    def run(self, context: Context) -> Finding:
        raise UserError("the file is gone; look for it")


class StartBreaks(Good):
    name = "start breaks"

    def start(self, context: Context) -> None:
        raise OSError("no process")


def test_a_check_that_breaks_is_a_failed_finding() -> None:
    report = run_preflight(make().config, checks=[Breaks(), StartBreaks(), Refuses(), Good()])
    assert [f.status for f in report.findings] == [Status.FAIL, Status.FAIL, Status.FAIL, Status.PASS]
    assert [f.check for f in report.findings] == ["breaks", "start breaks", "refuses", "good"]
    assert "ZeroDivisionError: no such luck" in report.findings[0].found
    assert report.findings[2].found == "the file is gone; look for it"
    assert (report.status, report.submittable, report.facts) == (Status.FAIL, False, {"seen": 1})


def test_the_worst_finding_speaks() -> None:
    found = combine([passed("a"), warn("b", "do b"), fail("c", "do c")], "fine")
    assert (found.status, found.found, found.advice) == (Status.FAIL, "c", "do c")
    assert found.details == ("warn: b → do b", "pass: a")
    assert combine([], "fine") == passed("fine")


def test_names_are_unique() -> None:
    names = [check.name for check in default_checks(smoke=True)]
    assert len(set(names)) == len(names)


def test_saved_and_shown(tmp_path: Path) -> None:
    report = run_preflight(make().config, checks=[Good()])
    report.save(tmp_path / "preflight.json")
    saved = json.loads((tmp_path / "preflight.json").read_text())
    assert (saved["status"], saved["submittable"], saved["schema_version"]) == ("pass", True, 1)
    assert saved["findings"][0]["check"] == "good"
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report.table())
    assert "all well [sic]" in console.export_text()


def test_the_command(tmp_path: Path) -> None:
    data = dataset_file(tmp_path / "data.json", [("", [1, 2, 3], "")])
    preflight = ("preflight", "--engine", "null", "--dataset")
    done = command(*preflight, data, "--smoke", "--json")
    saved = json.loads(done.out)
    # What it thinks of this machine is not asked here, only that it says the same with its exit code
    failed = {finding["check"] for finding in saved["findings"] if finding["status"] == "fail"}
    assert (done.code == 0) == (saved["status"] != "fail") == (not failed), done.out + done.err
    assert not failed & {"data set", "user.conf", "rules", "smoke test"}
    assert saved["facts"]["dataset"]["count"] == 1
    assert "smoke test" in {finding["check"] for finding in saved["findings"]}
    assert_refused(command(*preflight, tmp_path / "none.json"), "data set", codes=(2,))
    assert command(*preflight, data, "--set", "engine.nam=x").code == 2


NODE: dict[str, Any] = {
    "status": "pass",
    "findings": [],
    "facts": {
        "python": "3.12.4",
        "loadgen": "6.0.17",
        "torch_cuda": "13.0",
        "packages": {"torch": "2.13.0", "vllm": "0.33.0"},
        "model": {"fingerprint": "ab", "revision": "be67"},
        "dataset": {"sha256": "cd"},
        "clock": {"offset_s": 0.0001},
        "gpu": {"names": ["H100", "H100"], "count": 2, "driver": "580.1", "cuda": "13.0"},
    },
}


def nodes(path: str = "", value: Any = None, **more: Any) -> dict[str, PreflightRecord]:
    """Three equal reports, one fact of node b changed; ``more``: of node b's record."""
    reports = {name: copy.deepcopy(NODE) for name in ("a", "b", "c")}
    if path:
        *parents, last = path.split(".")
        place = reports["b"]
        for part in parents:
            place = place[part]
        place[last] = value
    reports["b"] |= more
    return msgspec.convert(reports, dict[str, PreflightRecord])


def test_equal_nodes_pass() -> None:
    assert {f.status for f in compare_nodes(nodes())} == {Status.PASS}
    assert {f.status for f in compare_nodes({"only": nodes()["a"]})} == {Status.PASS}


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("facts.python", "3.11.2", "warn"),
        ("facts.loadgen", "6.0.16", "fail"),
        ("facts.packages.vllm", "0.32.0", "fail"),
        ("facts.packages", {"torch": "2.13.0"}, "fail"),
        ("facts.torch_cuda", "12.8", "fail"),
        ("facts.model.fingerprint", "ff", "fail"),
        ("facts.model.revision", None, "warn"),
        ("facts.dataset.sha256", "ff", "fail"),
        ("facts.gpu.driver", "570.2", "warn"),
        ("facts.gpu.names", ["H100", "A100"], "warn"),
        ("facts.gpu.count", 1, "warn"),
        ("facts.gpu.cuda", "12.8", "warn"),
        ("facts.clock.offset_s", 0.2, "warn"),
        ("facts.clock.offset_s", -3.0, "fail"),
        ("facts.clock", {}, "warn"),
        ("facts.dataset", None, "fail"),
    ],
)
def test_the_node_that_differs_is_named(path: str, value: Any, status: str) -> None:
    different = [f for f in compare_nodes(nodes(path, value)) if f.status is not Status.PASS]
    assert [f.status for f in different] == [status]
    text = " ".join((different[0].found, *different[0].details))
    assert "b has" in text or "b is" in text or "on b" in text
    assert "a has" not in text


def test_a_node_that_failed_is_named() -> None:
    reports = nodes("status", "fail", findings=[{"check": "gpu", "status": "fail"}, {"check": "cpu", "status": "pass"}])
    [finding] = [f for f in compare_nodes(reports) if f.status is Status.FAIL]
    assert finding.found == "b failed its own pre-flight: gpu"


def test_real_reports_can_be_compared(tmp_path: Path) -> None:
    data = dataset_file(tmp_path / "data.json", [("", [1, 2, 3], "")])
    tree = {"engine": {"name": "null"}, "dataset": {"path": str(data)}}
    report: Report = run_preflight(config.build(tree))
    report.save(tmp_path / "preflight.json")
    saved = read_record(tmp_path / "preflight.json", PreflightRecord)
    assert saved
    saved.status = "pass"  # whatever this machine lacks
    found = compare_nodes({"a": saved, "b": copy.deepcopy(saved)})
    assert not [f for f in found if f.status is Status.FAIL]
