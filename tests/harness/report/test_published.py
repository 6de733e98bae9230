"""The published table, and a run's place in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import Scenario
from harness.report.document import Text
from harness.report.load import load
from harness.report.published import accelerator_of, published, standing
from harness.report.sections import published as published_sections
from tests.harness.fake_run import write_run


def test_the_table_is_consistent() -> None:
    rows = published()
    assert len(rows) > 100
    assert {row.scenario for row in rows} == {"Offline", "Server", "Interactive"}
    for row in rows:
        assert row.source.startswith("https://github.com/mlcommons/")
        ratio = row.tokens_per_s / (row.per_accelerator * row.count)
        assert 127.5 < ratio < 129.5, row  # the tokens that a submission's SUT counts for a sample


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-SXM-80GB"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H200", "H200-SXM-141GB"),
        ("NVIDIA H200 NVL", "H200-NVL"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GB200", None),
        ("NVIDIA A100-SXM4-80GB", None),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"),
    ],
)
def test_accelerators(name: str, known: str | None) -> None:
    assert accelerator_of(name) == known


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
    assert [(row.submitter, row.per_accelerator) for row in found.same] == [("Red Hat", 45.13)]
    assert found.not_comparable == []


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
    shown = [
        text
        for section in published_sections.sections(run)
        for block in section.blocks
        if isinstance(block, Text)
        for text in [block.text]
    ]
    assert shown[0].startswith("NOT comparable with published results.")


def test_no_place_without_a_rate_or_a_published_scenario(tmp_path: Path) -> None:
    run = load(write_run(tmp_path / "a", samples=500, result={"samples_per_second": None}))
    assert standing(run) is None
    run = load(write_run(tmp_path / "b", samples=500, scenario=Scenario.SINGLESTREAM))
    assert standing(run) is None
