"""``benchmark cluster`` on this machine: two LoadGens' worth of the null engine, a part that fails, and continuing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from harness.campaign.state import Fingerprints
from harness.cli.benchmark import CampaignSetup
from harness.cli.cluster_plans import ClusterSetup, plans
from harness.execution.nodes import Nodes
from harness.execution.outcome import cause
from harness.execution.runner import Execution
from harness.rundir.execution import Asked, Cause, ExecutionRecord, Infrastructure, Part
from harness.rundir.files import write_record
from harness.rundir.session import LostWorker, SessionRecord
from mlperf_llama_base.node import node_name
from tests.harness.scaling.test_scaling import NULL, call
from tests.helpers.waiting import until

pytestmark = pytest.mark.timeout(240)
SMALL = [*NULL, "--samples", "6", "--workers", "2", "--skip-preflight"]


def parts(out: Path) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in json.loads((out / "execution.json").read_text())["parts"]}


def kill_during(part: str, out: Path, *command: str) -> None:
    """Start the command and kill it (-9) as soon as this part runs."""
    process = subprocess.Popen([sys.executable, "-m", "harness", *command], stdout=subprocess.DEVNULL)
    try:
        until(
            lambda: (out / "execution.json").exists() and parts(out).get(part, {}).get("status") == "interrupted",
            seconds=120,
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_command_continues_and_what_is_done_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ("benchmark", "cluster", *SMALL, "--output", str(out), "--only")
    assert call(*command, "distributed,coordinated", "--dry-run") == 0 and not out.exists()
    kill_during("coordinated", out, *command, "distributed,coordinated")
    started = parts(out)["distributed"]["started"]
    left = json.loads((out / "execution.json").read_text())  # what is known then, and what is missing
    assert [result["part"] for result in left["results"]] == ["distributed"] and left["environment"]["nodes"]
    assert "no-result" in {finding["rule"] for finding in left["findings"]} and "1 of 2" in left["conclusion"]
    assert call(*command, "distributed,coordinated") == 0
    assert "distributed: valid, from before" in capsys.readouterr().out
    assert call(*command, "coordinated") == 0  # what is not asked for again stays in the document
    assert "coordinated: valid, from before" in capsys.readouterr().out
    found = parts(out)
    assert [(name, part["status"], part["exit_code"]) for name, part in found.items()] == [
        ("distributed", "done", 0),
        ("coordinated", "done", 0),
    ]
    assert found["distributed"]["started"] == started
    assert "12 of 12 samples on 1 node(s)" in found["distributed"]["analysis"]  # as many as the shares have together
    assert "2 LoadGen(s) at once: 12 of 12 samples" in found["coordinated"]["analysis"]
    assert "## Conclusion" in (out / "report.md").read_text() and (out / "report.html").is_file()
    rows = [row for row in pq.read_table(out / "samples.parquet").to_pylist() if "baseline" not in row["run"]]
    assert len(rows) == 12 + 12 and all(row["complete_s"] > row["dispatch_s"] > 1e9 for row in rows)
    here = node_name()  # one name in every run, though the shares have names of their own
    assert {row["node"] for row in rows} == {here}
    assert {row["run"] for row in rows if row["part"] == "coordinated"} == {f"{here}-share-{at}" for at in range(2)}


def test_a_part_that_fails_ends_no_other_and_its_cause_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    wrong = ("--set", "engine.args.fault=raise@3", "--set", "workers.max_attempts=1", "--set", "workers.max_restarts=0")
    only = ("--only", "distributed,coordinated")
    assert call("benchmark", "cluster", *only, *SMALL, *wrong, "--output", str(out)) == 4
    found = parts(out)
    assert [part["status"] for part in found.values()] == ["failed", "failed"]
    first = found["distributed"]["cause"]
    assert first["log"] == "distributed/session.log" and (out / first["log"]).is_file()
    assert first["first_error"] and first["first_error"] in found["distributed"]["analysis"]
    share = f"{node_name()}-share-0"
    second = found["coordinated"]["cause"]
    assert second["node"] == share and second["log"] == f"coordinated/{share}/session.log"
    assert (out / second["log"]).is_file()
    text = (out / "report.md").read_text()
    assert first["first_error"][:40] in text


def test_a_preflight_that_fails_leaves_a_document(tmp_path: Path) -> None:
    out = tmp_path / "out"
    rates = (part for name in ("offline", "server", "interactive") for part in ("--target-qps", f"{name}=9"))
    options = [option for option in SMALL if option != "--skip-preflight"]
    assert call("benchmark", "cluster", *options, *rates, "--output", str(out)) == 2  # nothing says which tokenizer
    for part in parts(out).values():
        assert (part["status"], part["exit_code"]) == ("not run", None)
        assert "tokenizer" in part["cause"]["first_error"] and part["cause"]["log"] == "preflight.json"
    assert "pre-flight failed: tokenizer" in (out / "report.md").read_text()


def test_an_unknown_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("benchmark", "cluster", "--only", "distributd", "--output", str(tmp_path / "o")) == 2
    assert "did you mean 'distributed'?" in capsys.readouterr().err
    assert call("benchmark", "cluster", "--only", ",", "--output", str(tmp_path / "o")) == 2
    assert "names no benchmark" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_a_demo_of_full_length_says_how_to_have_it_in_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("benchmark", "cluster", "--dry-run", "--only", "distributed", "--output", str(tmp_path / "o"))
    assert call(*command) == 0
    assert "--samples 10 takes minutes" in capsys.readouterr().out
    assert call(*command, "--samples", "10") == 0
    assert "takes minutes" not in capsys.readouterr().out


ALONE = Nodes(kind="one machine", nodes=[], infrastructure=Infrastructure(), names=[], shares=2)


def test_loadgens_on_one_machine_share_the_rate_and_each_has_the_samples() -> None:
    setup = ClusterSetup(engine="null", workers=2, target_qps=["offline=100"], samples=6)
    (together,) = plans(["coordinated"], setup, ALONE, Path("x"))
    assert together.config.loadgen.target_qps == 50 and "50" in together.arguments
    (one,) = plans(["distributed"], setup, ALONE, Path("x"))
    assert one.config.loadgen.target_qps == 100
    assert (together.config.loadgen.min_query_count, one.config.loadgen.min_query_count) == (6, 12)


def test_the_time_of_earlier_attempts_is_kept(tmp_path: Path) -> None:
    setup = ClusterSetup(engine="null", workers=2, samples=6)
    (plan,) = plans(["distributed"], setup, ALONE, tmp_path)
    (tmp_path / "distributed").mkdir()
    part = Part(
        name="distributed", status="interrupted", inputs=plan.inputs(Fingerprints()), duration_s=60, earlier_s=5
    )
    earlier = ExecutionRecord(time="2026-11-26T18:00:00+00:00", duration_s=100.0, parts=[part])
    write_record(tmp_path / "execution.json", earlier)
    asked, console = Asked(parts=["distributed"]), Console(quiet=True)
    again = Execution(directory=tmp_path, plans=[plan], nodes=ALONE, asked=asked, command="x", console=console)
    again.load()
    assert (again.parts["distributed"].earlier_s, again.parts["distributed"].status) == (65, "not run")
    record = again.save(brief=True)
    assert record.time == earlier.time and record.duration_s is not None and record.duration_s >= 100


def cause_of(lines: list[str], code: int, root: Path) -> Cause:
    log, nodes = root / "logs" / "x.log", ["node-a", "node-b"]
    return cause(lines, code=code, root=root, directory=root / "datacenter", log=log, nodes=nodes)


def test_what_went_wrong_is_the_run_s_own_message(tmp_path: Path) -> None:
    log = tmp_path / "datacenter" / "offline" / "performance" / "session.log"
    lines = [
        f"mlperf-llama: the worker on node-b was lost [{log}]",
        "mlperf-llama: offline/performance ended with 4, its message is above; the same command continues (x.log)",
    ]
    found = cause_of(lines, 4, tmp_path)
    assert found.first_error == "the worker on node-b was lost" and found.node == "node-b"
    assert found.log == "datacenter/offline/performance/session.log"
    silent = cause_of([], -9, tmp_path)
    assert "killed by SIGKILL" in silent.first_error and silent.log == "logs/x.log"


def test_a_node_that_was_lost_before_is_the_cause(tmp_path: Path) -> None:
    run = tmp_path / "datacenter" / "offline" / "accuracy"
    run.mkdir(parents=True)
    lost = LostWorker(worker=1, node="node-b", reason="its node is dead")
    write_record(run / "session.json", SessionRecord(outcome="completed", lost_workers=[lost]))
    found = cause_of(["mlperf-llama: the cluster has room for 1 worker(s)"], 3, tmp_path)
    assert found.node == "node-b"
    assert found.first_error == (
        "worker 1 on node-b was lost in offline/accuracy (its node is dead); then the cluster has room for 1 worker(s)"
    )


def test_options_are_given_on_as_they_were_typed() -> None:
    setup = CampaignSetup(profile="p", workers=2, settings=["a=1", "b=2"], target_qps=["offline=3"], no_smoke=True)
    assert setup.arguments() == [
        *("--profile", "p", "--workers", "2", "--set", "a=1", "--set", "b=2"),
        *("--target-qps", "offline=3", "--no-smoke"),
    ]
