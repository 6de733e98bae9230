"""What a short demo breaks is said as the few causes that it has; and what else the first screen answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import Scenario
from harness.report import build_document
from harness.report.causes import causes
from harness.report.document import Cards, Folded, Items, Section, Text
from harness.report.flat import plain
from harness.report.html import render
from harness.report.load import load
from harness.report.markdown import render as markdown
from harness.report.sections.published import sections as published
from harness.report.sections.verdict import sections as first_screen
from harness.report.sections.verdict import with_what
from harness.rundir.files import write_record
from harness.rundir.result import Reason
from harness.rundir.status import Status
from harness.rundir.tuning import TuneRecord
from tests.harness.fake_run import write_run

DEMO = [  # a demo's, word for word but for the numbers of the model
    ("record.smoke", "smoke run: min_duration_ms set to 1000"),
    ("record.smoke", "smoke run: min_query_count set to 16"),
    ("record.data-set", "data set: 16 samples (demo); the benchmark has 13368"),
    (
        "record.model",
        "the model is not Llama-3.1-8B-Instruct: " + "; ".join(f"field_{i} is 1, not 2" for i in range(9)),
    ),
    ("record.preflight", "preflight model identity: not a Llama 3.1 8B"),
    ("record.preflight", "preflight data set: 16 rows"),
    ("record.preflight", "preflight prompts: 16 of 16 rows differ"),
    ("record.preflight", "preflight run length: shortened by the configuration"),
    ("record.preflight", "preflight storage: the disk is slow"),
    ("validity.duration", "the run lasted 52.9 s; the rules ask for 600 s"),
    ("validity.whole-rounds", "16 samples were issued; the benchmark has 13368"),
    ("performance.min-duration", "min_duration was 1,000 ms; the rules ask for 600,000 ms"),
]


def reasons() -> list[Reason]:
    return [Reason(rule=rule, text=text, source="", breaks="submission") for rule, text in DEMO]


def test_a_demos_reasons_are_three_causes_and_what_stands_alone() -> None:
    found = causes(reasons())
    assert [cause.said for cause in found] == [
        "Short run: the run lasted 52.9 s; the rules ask for 600 s",
        "Another data set: 16 samples (demo); the benchmark has 13368",
        "Another model: the model is not Llama-3.1-8B-Instruct: field_0 is 1, not 2 (and 8 more)",
        "preflight storage: the disk is slow",
    ]
    assert sum(1 + len(cause.others) for cause in found) == len(DEMO)  # none is lost


def test_what_preflight_says_in_the_words_of_a_rule_is_said_once() -> None:
    texts = {"preflight rules: no model runs": "record.preflight", "no model runs": "record.engine"}
    (only,) = causes([Reason(rule=rule, text=text, source="", breaks="submission") for text, rule in texts.items()])
    assert (only.said, only.rules) == ("no model runs", ["no model runs", "preflight rules: no model runs"])


def test_reasons_are_not_said_again_beside_published_results(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", gpu=None, result={"not_submittable_reasons": ["another model ran"]})
    (section,) = published(load(run))
    said = [block for block in section.blocks if isinstance(block, Text | Items)]
    assert isinstance(said[0], Text) and "What stands against a submission (under Verdict)" in said[0].text
    assert isinstance(said[1], Items) and "no accelerator was seen" in said[1].items[0][0]
    page = markdown(build_document([run]))
    assert page.count("another model ran") == 1


def test_one_reason_is_said_as_it_is() -> None:
    (only,) = causes([Reason(rule="validity.duration", text="too short", source="", breaks="submission")])
    assert only.said == "too short"


def of(directory: Path) -> dict[str, Section]:
    return {section.title: section for section in first_screen(load(directory))}


def test_the_report_says_each_cause_once_and_every_rule_behind_it(tmp_path: Path) -> None:
    demo = [{"rule": r.rule, "text": r.text, "source": r.source, "breaks": r.breaks} for r in reasons()]
    run = write_run(tmp_path / "run", result={"reasons": demo, "not_submittable_reasons": [text for _, text in DEMO]})
    blocks = of(run)["Verdict"].blocks
    (shown,) = [block for block in blocks if isinstance(block, Items)]
    assert len(shown.items) == 4
    (folded,) = [block for block in blocks if isinstance(block, Folded)]
    assert folded.summary == "What every rule says (12)"
    text = markdown(build_document([run]))
    assert all(reason.split(";")[0].replace("_", "\\_") in text for _, reason in DEMO)


def test_the_first_screen_says_with_what_it_ran(tmp_path: Path) -> None:
    said = with_what(load(write_run(tmp_path / "run")))
    assert said.startswith(
        "Meta-Llama-3.1-8B-Instruct; vllm 0.33.0 fp8; 2 x NVIDIA H100 80GB HBM3; 2025-06-15 15:06 UTC"
    )


def test_an_engine_without_weights_has_no_number_format(tmp_path: Path) -> None:
    engine = {"name": "null", "version": "1", "weight_dtype": "none"}
    assert "; null 1; " in with_what(load(write_run(tmp_path / "run", session={"engine": engine})))


def test_the_first_screen_of_a_search_has_its_date(tmp_path: Path) -> None:
    write_record(tmp_path / "tune.json", TuneRecord(scenario="server", options={}, best_qps=44.5))
    write_record(tmp_path / "status.json", Status(time=1_764_000_000.0, phase="finished"))
    assert "2025-11-24 16:00 UTC" in with_what(load(tmp_path))


def test_a_run_that_preflight_refused_is_called_that(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("result.json", "session.json", "status.json", "events.parquet"):
        (run / name).unlink()
    finding = '{"check": "model", "status": "fail", "found": "the folder is empty", "advice": "download it"}'
    (run / "preflight.json").write_text(f'{{"status": "fail", "findings": [{finding}], "facts": {{}}}}')
    cards, _, refused = of(run)["Verdict"].blocks
    assert isinstance(cards, Cards) and cards.cards[0].value == "REFUSED BY PRE-FLIGHT"
    assert isinstance(refused, Items) and refused.items == [("model: the folder is empty. download it.", "bad")]


def test_a_run_that_was_handed_out_at_once_has_no_drain(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", scenario=Scenario.OFFLINE, samples=16, rate=100.0)  # eight seconds a sample
    limited = of(run).get("What limited the run")
    texts = [
        text for block in (limited.blocks if limited else []) if isinstance(block, Items) for text, _ in block.items
    ]
    assert not any("drain" in text for text in texts)


@pytest.mark.parametrize(
    ("value", "text"), [(7350880.0, "7350880"), (0.25, "0.25"), (1e20, "1e+20"), (75.58749, "75.5875"), (1e-9, "1e-09")]
)
def test_large_numbers_have_no_exponent(value: float, text: str) -> None:
    assert plain(value) == text


def test_our_own_sources_are_links_and_others_addresses_are_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", session={"error": "see https://evil.example/x"})
    (section,) = published(load(run))
    (source,) = [block for block in section.blocks if isinstance(block, Text) and block.linked]
    assert sum(linked for _, linked in source.pieces) >= 2
    document = build_document([run])
    page, text = render(document), markdown(document)
    assert '<a href="https://github.com/mlcommons/inference_results_v5.1" rel="noreferrer">' in page
    assert "<https://github.com/mlcommons/inference_results_v5.1>" in text
    assert "https://evil.example/x" in page and 'href="https://evil' not in page and "<https://evil" not in text
