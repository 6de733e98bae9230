"""The published table, and a run's place in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from harness.config import Benchmark, RunConfig, Scenario
from harness.report.accelerators import accelerator_of
from harness.report.document import Table, Text
from harness.report.load import RunData, load
from harness.report.published import standing, table
from harness.report.sections import published as published_sections
from tests.harness.fake_run import write_run


def test_the_table_is_consistent() -> None:
    rows = table().results
    assert Counter(row.round for row in rows) == {"v5.1": 60, "v6.0": 71, "v6.1": 79}
    assert len(rows) == len({msgspec.json.encode(row) for row in rows})
    for row in rows:
        assert table().sources[row.round].startswith("https://github.com/mlcommons/")
        assert (row.latency_ms is None) == (row.scenario != "SingleStream") == (row.tokens_per_s is not None)
        assert row.estimated == (row.round == "v6.1" and row.scenario != "SingleStream")
        if row.tokens_per_s is not None:
            # the tokens that a submission's SUT counts for a sample, 128 or 129 of them where a log was read
            ratio = row.tokens_per_s / (row.per_accelerator * (row.count or 1))
            near = 128.5 if row.estimated else min((128.0, 129.0), key=lambda tokens: abs(tokens - ratio))
            assert ratio == pytest.approx(near, abs=0.1), row


def test_an_offline_log_s_rate_is_taken_and_not_guessed_from_tokens() -> None:
    """Of TensorRT's Offline logs 16 of 36 count 129 tokens, the others 128."""
    rows = [
        r for r in table().results if r.scenario == "Offline" and "TensorRT" in (r.software or "") and not r.estimated
    ]
    counted = Counter(round((r.tokens_per_s or 0) / (r.samples_per_s or 1)) for r in rows)
    assert counted == {128: 20, 129: 16}


def test_edge_availability_and_precision_are_kept() -> None:
    rows = table().results
    assert Counter((r.category, r.division) for r in rows)["edge", "open"] == 6
    assert {r.availability for r in rows if r.round != "v6.1"} == {"available", "preview"}
    assert {r.precision for r in rows if r.accelerator == "MI355X"} == {"fp8"}
    assert {r.availability for r in rows if r.submitter in ("an individual submitter", "Orrick")} == {"rdi"}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-SXM-80GB"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA H200", "H200-SXM-141GB"),
        ("NVIDIA H200 NVL", "H200-NVL-141GB"),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA GH200 144G HBM3e", None),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L40", None),
        ("NVIDIA B200", "B200-SXM-180GB"),
        ("NVIDIA GB200", None),
        ("NVIDIA B300 SXM6 AC", "B300-SXM-270GB"),
        ("NVIDIA GB300", None),
        ("NVIDIA A100-SXM4-80GB", None),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Server Edition"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", None),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", None),
        ("NVIDIA RTX PRO 4500 Blackwell", "RTX PRO 4500"),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA Thor", "Jetson AGX Thor"),
        ("AMD Instinct MI355X", "MI355X"),
        ("AMD Instinct MI300X", None),
        ("Intel(R) Arc(TM) Pro B60 Graphics", "Arc Pro B60"),
        ("Intel(R) Arc(TM) Pro B50 Graphics", "Arc Pro B50"),
        ("Intel Arc Pro B70", "Arc Pro B70"),
        ("Intel(R) Arc(TM) B580 Graphics", None),
    ],
)
def test_accelerators(name: str, known: str | None) -> None:
    assert accelerator_of(name) == known
    assert known is None or known in {row.accelerator for row in table().results}


def test_a_maker_s_table_is_read_at_the_run_s_length() -> None:
    rows = {row.accelerator: row for row in table().vendor_tables}
    assert rows["H100-SXM-80GB"].samples_per_s(764) == pytest.approx(65.3, abs=0.05)
    assert rows["H200-SXM-141GB"].samples_per_s(764) == pytest.approx(66.4, abs=0.05)
    assert rows["H100-SXM-80GB"].samples_per_s(128) == pytest.approx(28312 / 128)
    assert rows["H100-SXM-80GB"].samples_per_s(100) is None and rows["H100-SXM-80GB"].samples_per_s(2049) is None


def test_place_of_a_valid_run(tmp_path: Path) -> None:
    run = load(
        write_run(
            tmp_path / "run",
            scenario=Scenario.OFFLINE,
            samples=500,
            result={"valid": True, "submittable": True, "not_submittable_reasons": [], "samples_per_second": 100.0},
        )
    )
    found = standing(run)
    assert found is not None
    assert (found.accelerator, found.count, found.per_accelerator) == ("H100-SXM-80GB", 2, 50.0)
    (row,) = found.same
    assert row.submitter == "Red Hat" and row.per_accelerator == pytest.approx(45.13, abs=0.01)
    assert found.not_comparable == []
    assert 0.8 * 50 < found.low < 50 < found.high < 1.2 * 50


def shown(run: RunData) -> tuple[list[str], dict[str, Table]]:
    """The section's paragraphs, and its tables by caption."""
    blocks = [block for section in published_sections.sections(run) for block in section.blocks]
    return [b.text for b in blocks if isinstance(b, Text)], {b.caption: b for b in blocks if isinstance(b, Table)}


def valid_run(path: Path, rate: float, *, gpu: str) -> RunData:
    facts = {"valid": True, "submittable": True, "not_submittable_reasons": [], "samples_per_second": rate}
    tokens = {"tokens": {"input_mean": 764.0}}
    return load(write_run(path, scenario=Scenario.OFFLINE, samples=500, gpu=gpu, result={**facts, **tokens}))


def test_the_place_is_a_range_where_the_noise_of_the_run_decides(tmp_path: Path) -> None:
    texts, _ = shown(valid_run(tmp_path / "a", 2 * 45.2, gpu="NVIDIA H100 80GB HBM3"))
    assert "place 1 to 2 of 2 on H100-SXM-80GB" in texts[0] and "with 95 %" in texts[0]
    texts, _ = shown(valid_run(tmp_path / "b", 2 * 450.2, gpu="NVIDIA H100 80GB HBM3"))
    assert "place 1 of 2 on H100-SXM-80GB" in texts[0]


def test_the_open_division_is_shown_and_not_counted(tmp_path: Path) -> None:
    run = valid_run(tmp_path / "run", 2 * 100.0, gpu="NVIDIA B200")
    found = standing(run)
    assert found is not None
    assert {row.division for row in found.same} == {"closed", "open"}
    assert {row.division for row in found.rivals} == {"closed"}
    texts, tables = shown(run)
    assert f"of {len(found.rivals) + 1} on B200-SXM-180GB" in texts[0]
    rows = [str(row[0]) for row in tables["Published Offline results on B200-SXM-180GB"].rows]
    assert any("(open, rdi)" in row for row in rows)


def test_a_maker_s_table_is_said_to_be_no_mlperf_result(tmp_path: Path) -> None:
    texts, tables = shown(valid_run(tmp_path / "run", 2 * 62.5, gpu="NVIDIA H100 80GB HBM3"))
    (row,) = tables["The maker's own figures for H100-SXM-80GB"].rows
    assert "TensorRT-LLM 1.0" in str(row[0]) and row[2] == "95.7 %"
    assert any(text.startswith("Not MLPerf") for text in texts)


def test_an_edge_run_stands_among_edge_results(tmp_path: Path) -> None:
    config = RunConfig(scenario=Scenario.SINGLESTREAM, benchmark=Benchmark.EDGE).model_dump(mode="json")
    run = load(write_run(tmp_path / "run", scenario=Scenario.SINGLESTREAM, samples=500, config=config))
    found = standing(run)
    latency = run.percentile_ms("latency", "p90")
    assert found is not None and latency is not None
    assert found.per_accelerator == pytest.approx(1000 / latency / found.count)
    assert {row.category for row in found.peers} == {"edge"}
    assert found.low < found.per_accelerator < found.high


def test_why_a_run_is_not_comparable(tmp_path: Path) -> None:
    reasons = ["dummy weights", "data set: 64 samples"]
    run = load(
        write_run(
            tmp_path / "run",
            samples=500,
            gpu=None,
            result={"valid": False, "submittable": False, "not_submittable_reasons": reasons},
        )
    )
    found = standing(run)
    assert found is not None
    assert found.not_comparable == [
        "the run is not valid",
        *reasons,
        "no accelerator was seen; published CPU results are of whole systems",
    ]
    assert shown(run)[0][0].startswith("NOT comparable with published results.")


def test_no_place_without_a_rate_or_a_published_scenario(tmp_path: Path) -> None:
    run = load(write_run(tmp_path / "a", samples=500, result={"samples_per_second": None}))
    assert standing(run) is None
    run = load(write_run(tmp_path / "b", samples=500, scenario=Scenario.SINGLESTREAM))
    assert standing(run) is None
