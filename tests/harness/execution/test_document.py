"""The document of a run that really was: every item that docs/report.md lists stands where it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.execution.assemble import concluded
from harness.report import build_document, write_report
from harness.report.document import Bar, Beside, Block, Cards, Charts, Folded, Items, Section, Table, Text
from harness.report.speed_up import Step, speed_up_chart
from harness.rundir.execution import Cause, Infrastructure, Link, NodeProbe, Part, PartRun
from harness.rundir.files import write_record
from harness.rundir.result import TOO_SHORT
from mlperf_llama_base.source import ROOT
from tests.harness.execution.made_up import first_report, healthy, result
from tests.harness.execution.test_assemble import assembled

pytestmark = pytest.mark.timeout(240)
ITEM = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.M)


@pytest.fixture(scope="module")
def root(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs, with a part that failed, ways that were measured, and something to say of every kind."""
    root = tmp_path_factory.mktemp("document") / "cluster"
    shutil.copytree(ran, root)
    record = assembled(root)
    failed = Part(
        name="datacenter",
        status="failed",
        exit_code=3,
        duration_s=0.3,
        analysis="It ended at once.",
        cause=Cause(first_error="no space left on <device>", node="node-1", log="logs/datacenter.log"),
    )
    record.parts.insert(0, failed)
    record.infrastructure = Infrastructure(
        probes=[NodeProbe(node=f"node-{i}", reachable=True, clock_offset_ms=0.1, clock_error_ms=0.02) for i in (0, 1)],
        links=[Link(source="node-0", target="node-1", rtt_ms=0.11, bandwidth_mb_s=900.0)],
    )
    record.results[0].nodes[0].use.gpu_pct = 41.0
    assert record.scaling is not None
    record.scaling.points[-1].efficiency = 1.025
    write_record(root / "execution.json", concluded(record))
    return root


def words(blocks: list[Block] | tuple[Block, ...]) -> Iterator[str]:
    """Every text of a section."""
    for block in blocks:
        match block:
            case Text():
                yield block.text
            case Items():
                yield from (text for text, _ in block.items)
            case Cards():
                yield from (f"{card.label} {card.value} {card.note}" for card in block.cards)
            case Table():
                yield block.caption
                yield from block.columns
                yield from (cell.text if isinstance(cell, Bar) else cell for row in block.rows for cell in row)
            case Charts():
                yield from (f"{chart.title}: {chart.description}" for chart in block.charts)
            case Beside():
                yield block.caption
            case Folded():
                yield block.summary
                yield from words(list(block.blocks))


def by_title(root: Path) -> dict[str, Section]:
    (part,) = build_document([root]).parts
    return {section.title: section for section in part.sections}


def test_every_item_stands_where_the_documentation_says(root: Path) -> None:
    items = ITEM.findall((ROOT / "docs" / "report.md").read_text())
    assert [int(number) for number, _, _ in items] == list(range(1, 35))
    sections = by_title(root)
    missing = [
        (number, section, label)
        for number, section, labels in items
        for label in re.findall(r"`([^`]+)`", labels)
        if not any(label in text for text in words(list(sections[section].blocks)))
    ]
    assert missing == []


def test_the_order_is_that_of_a_readers_questions(root: Path) -> None:
    assert list(by_title(root)) == [
        "Summary",
        "Environment",
        "Benchmarks",
        "All nodes together",
        "Each node",
        "Scaling",
        "Tokens",
        "Response quality",
        "Infrastructure",
        "Issues and bottlenecks",
        "Recommendations",
        "Conclusion",
    ]


def test_both_files_are_written_and_nothing_of_theirs_comes_through(root: Path) -> None:
    page, twin = write_report([root])
    assert (page, twin) == (root / "report.html", root / "report.md")
    html, text = page.read_text(), twin.read_text()
    assert "no space left on &lt;device&gt;" in html and "no space left on <device>" not in html
    assert "no space left on &lt;device&gt;" in text
    assert "Throughput of each node, coordinated" in html and "Who was busy, distributed" in html
    assert 'class="whisker s1"' in html or "interval unknown" in html
    write_report([root])  # what it wrote it replaces


def test_a_cause_is_told_with_its_node_and_log(root: Path) -> None:
    told = list(words(list(by_title(root)["Benchmarks"].blocks)))
    assert "datacenter, first error on node-1: no space left on <device> (log: logs/datacenter.log)" in told


def test_pictures_are_left_out_where_the_runs_are_gone(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "execution.json", tmp_path)
    assert not any(isinstance(block, Charts) for block in by_title(tmp_path)["Each node"].blocks)


def test_too_short_for_a_verdict_is_said_wherever_a_verdict_is(tmp_path: Path) -> None:
    record = healthy()
    for one in record.results:
        one.valid, one.too_short = False, True
    for part in record.parts:
        part.status = "not valid"
        part.runs = [PartRun(name="x", directory="x", valid=False, state=TOO_SHORT)]
    assert record.scaling is not None
    record.scaling.points[-1].valid, record.scaling.points[-1].too_short = False, True
    write_record(tmp_path / "execution.json", concluded(record))
    sections = by_title(tmp_path)
    for title in ("Summary", "Benchmarks", "All nodes together", "Scaling", "Conclusion"):
        told = list(words(list(sections[title].blocks)))
        assert any(TOO_SHORT in text for text in told) and "not valid" not in told, title


def test_the_verdict_of_a_benchmark_stands_beside_that_of_the_run_shown(tmp_path: Path) -> None:
    """The datacenter benchmark's figures are of one run, which may be valid though another is not."""
    record = healthy()
    one = result("datacenter")
    one.directories = ["datacenter/offline/performance"]
    record.parts[0].status = "not valid"
    record.results.append(one)
    write_record(tmp_path / "execution.json", concluded(record))
    (table,) = (b for b in by_title(tmp_path)["All nodes together"].blocks if isinstance(b, Table))
    found = {str(row[0]): row[-1] for row in table.rows}
    assert found["benchmark as a whole"] == "not valid" and found["verdict on that"] == "valid"
    assert found["figures from"] == "offline/performance"


def test_the_datacenter_benchmark_alone_is_told_in_detail(tmp_path: Path) -> None:
    record = healthy()
    assert [one.part for one in record.in_detail] == ["coordinated", "distributed"]
    record.results = [result("datacenter")]
    record.results[0].nodes[1].use.gpu_pct = 41.0
    write_record(tmp_path / "execution.json", concluded(record))
    sections = by_title(tmp_path)
    told = list(words(list(sections["Infrastructure"].blocks)))
    assert any("Use during datacenter" in text for text in told)
    assert any("busy 41 %" in text for text in words(list(sections["Issues and bottlenecks"].blocks)))


def test_the_first_report_can_be_written_at_all(tmp_path: Path) -> None:
    """Most of its figures are not known: they are shown as such."""
    write_record(tmp_path / "execution.json", concluded(first_report()))
    sections = by_title(tmp_path)
    assert any("25 % of all 20" in text for text in words(list(sections["Summary"].blocks)))
    write_report([tmp_path])


def test_two_benchmarks_with_as_many_workers_are_no_two_points_of_a_curve() -> None:
    steps = [Step(workers=2, speed_up=speed, ideal=2.0) for speed in (1.5, 1.9)]
    chart = speed_up_chart(steps)
    assert chart is not None and chart.description.startswith("1.90 times one worker with 2")
    assert speed_up_chart(steps[1:]) == chart
