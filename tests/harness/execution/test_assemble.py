"""The record of runs that really were, and of what a broken one leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from harness.execution.assemble import assemble
from harness.execution.node import describe_node
from harness.report.over_time import of_result, throughput_chart
from harness.rundir.execution import Asked, ExecutionRecord, Infrastructure, Part, PartName
from harness.rundir.files import read_record, write_record
from harness.rundir.record import RunRecord
from harness.rundir.scaling import MemberOutcome
from harness.text import number
from mlperf_llama_base.node import node_name

pytestmark = pytest.mark.timeout(240)
PARTS: tuple[PartName, ...] = ("distributed", "coordinated")
NODES = [f"{node_name()}-share-{at}" for at in range(2)]


def assembled(root: Path, *, parts: tuple[PartName, ...] = PARTS) -> ExecutionRecord:
    return assemble(
        root,
        time="2026-11-26T18:00:00+00:00",
        parts=[Part(name=name, status="done", exit_code=0, duration_s=9.0, directory=name) for name in parts],
        nodes=[describe_node(name, f"192.0.2.{at}") for at, name in enumerate(NODES)],
        cluster="one machine",
        asked=Asked(parts=list(parts), nodes=NODES, samples_per_node=72),
        infrastructure=Infrastructure(),
    )


def test_the_figures_are_those_of_the_runs(ran: Path, tmp_path: Path) -> None:
    record = assembled(ran)
    assert [result.part for result in record.results] == ["coordinated", "distributed"]
    total = record.results[0]
    assert (total.nodes_active, total.nodes_asked) == (2, 2)
    assert (total.samples_asked, total.samples_completed, total.samples_lost) == (144, 144, 0)
    runs = [RunRecord(ran / "coordinated" / name) for name in NODES]
    rates = [run.result.tokens_per_second for run in runs if run.result]
    assert total.tokens_per_second is not None and total.tokens.both is not None and total.quality is not None
    assert total.tokens_per_second.value == pytest.approx(sum(rate or 0 for rate in rates), rel=0.1)
    assert total.tokens.both.total == sum(
        int((e.input_tokens + e.output_tokens).sum()) for run in runs if (e := run.events)
    )
    assert total.quality.finished == 144 and total.quality.at_limit == 0
    assert len(total.quality.answers) == 3 and all(len(a.token_ids) == 8 for a in total.quality.answers)
    assert len({answer.qsl_idx for answer in total.quality.answers}) >= 2
    assert [node.success_rate for node in total.nodes] == [1.0, 1.0]
    used = [run.ran.process for run in runs if run.ran.process]  # of the test alone, without what loading took
    assert len(used) == 2 and all(0 < (p.test_cpu_s or 0) < p.cpu_s for p in used)
    assert record.scaling is not None and record.scaling.points[-1].workers == 2
    assert record.environment.versions["mlperf-llama"] and record.environment.versions["loadgen"]
    assert {"shared-processors", "short-test"} <= {finding.rule for finding in record.findings}
    write_record(tmp_path / "execution.json", record)
    assert read_record(tmp_path / "execution.json", ExecutionRecord) == record


def test_a_requests_time_is_not_the_time_since_the_start(ran: Path) -> None:
    """Eight at a time, a step of 5 ms for each of 8 tokens: a request takes 40 ms and a little, however long the "
    "test."""
    result = assembled(ran).results[0]
    assert result.request_s is not None and result.seconds is not None
    assert 0.04 <= result.request_s.p50 < 0.5 * result.seconds
    assert result.request_s.waited_mean is not None and result.request_s.waited_mean > result.request_s.p50


def test_one_loadgen_over_two_nodes_is_told_by_node(ran: Path) -> None:
    result = assembled(ran).results[1]
    assert [node.node for node in result.nodes if node.workers] == ["node0", "node1"]
    assert [node.problem for node in result.nodes if not node.workers] == ["it took no part"] * 2  # the names asked for
    assert result.gpus == 16 and sum(node.samples_completed for node in result.nodes) == 800
    assert result.gpu_memory_used_bytes is None  # two nodes without figures: the sum of the others is not that of all
    assert result.nodes[2].use.gpu_pct is not None


def test_what_a_broken_member_leaves_is_in_the_record(ran: Path, tmp_path: Path) -> None:
    """Of a killed session there is no session.json: how it ended stands in scaling.json alone."""
    folder = tmp_path / "coordinated"
    shutil.copytree(ran / "coordinated", folder)
    for name in ("session.json", "events.parquet", "result.json"):
        (folder / NODES[1] / name).unlink()
    scaling = RunRecord(folder).scaling
    assert scaling is not None
    scaling.steps[-1].members[1] = MemberOutcome(
        name=NODES[1], status="broken", error="killed by SIGKILL", at_s=1.5, issued=72, completed=18, expected=72
    )
    write_record(folder / "scaling.json", scaling)
    record = assembled(tmp_path, parts=("coordinated",))
    (result,) = record.results
    assert (result.valid, result.samples_completed, result.samples_lost) == (False, 90, 54)
    (lost,) = [finding for finding in record.findings if finding.rule == "lost-samples"]
    assert f"{NODES[1]} answered 18 of the 72 samples" in lost.text and "killed by SIGKILL" in lost.text
    assert "It broke 1.5 s after the start" in lost.text


def test_a_damaged_file_of_one_part_does_not_take_the_others(ran: Path, tmp_path: Path) -> None:
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    (tmp_path / "distributed" / "events.parquet").write_bytes(b"PAR1 no more")
    record = assembled(tmp_path)
    assert [result.part for result in record.results] == ["coordinated"]
    part = record.part("distributed")
    assert part is not None and part.cause is not None and "events.parquet is damaged" in part.cause.first_error


def test_without_anything_there_is_a_record(tmp_path: Path) -> None:
    record = assembled(tmp_path)
    assert record.results == [] and record.scaling is None
    assert msgspec.json.decode(msgspec.json.encode(record), type=ExecutionRecord) == record
    assert record.conclusion.endswith("Nothing is known of scaling.")


def test_shares_of_one_machine_are_one_node(ran: Path) -> None:
    record = assemble(
        ran,
        time="2026-11-26T18:00:00+00:00",
        parts=[Part(name="coordinated", status="done", exit_code=0, directory="coordinated")],
        nodes=[describe_node("here", None)],
        cluster="one machine",
        asked=Asked(parts=["coordinated"], nodes=[]),
        infrastructure=Infrastructure(),
    )
    assert (record.results[0].nodes_active, record.results[0].nodes_asked) == (1, 1)


def test_the_chart_of_the_nodes_tells_the_rates_of_their_table(ran: Path) -> None:
    for result in assembled(ran).results:
        drawn = {lane.node: lane.mean for lane in of_result(ran, result)}
        rates = {node.node: node.tokens_per_second.value for node in result.nodes if node.tokens_per_second}
        assert drawn == pytest.approx(rates)
        chart = throughput_chart(of_result(ran, result), result.part)
        assert chart is not None and all(number(rate) in chart.description for rate in rates.values())
