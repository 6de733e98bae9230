"""The report says what the files say, escapes what came from outside, and needs nothing but itself."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import Scenario
from harness.report import build_document, html, markdown, write_report
from harness.report.document import Cards, Chart, Charts, Document, Folded, Items, Part, Section, Table, Text
from harness.report.load import load
from harness.rundir.files import write_record
from harness.rundir.tuning import Probe, TuneRecord
from mlperf_llama_base.errors import UserError
from tests.harness.fake_run import write_run

EVIL = '<script>alert("x")</script> [link](http://evil.example) | `code` & <img src=x onerror=y>'


def section(document: Document, title: str, part: int = 0) -> Section:
    return next(s for s in document.parts[part].sections if s.title == title)


def table(found: Section, caption: str) -> dict[str, list[str]]:
    block = next(b for b in found.blocks if isinstance(b, Table) and b.caption.startswith(caption))
    return {str(row[0]): [cell if isinstance(cell, str) else cell.text for cell in row[1:]] for row in block.rows}


def charts(found: Section) -> list[Chart]:
    return [chart for block in found.blocks if isinstance(block, Charts) for chart in block.charts]


class Page(HTMLParser):
    """Collects what a page would fetch or run, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


def test_a_long_server_run(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=40104, workers=8)
    page, twin = write_report([run_dir])
    assert (page, twin) == (run_dir / "report.html", run_dir / "report.md")
    assert page.stat().st_size < 2_000_000
    result = json.loads((run_dir / "result.json").read_text())
    text, words = "".join(read(page.read_text()).text), twin.read_text()
    for expected in (
        f"{result['tokens_per_second']:,.1f}",
        f"{result['samples_per_second']:,.2f}",
        f"{result['ttft_ms']['p99']:,.1f} ms",
        f"{result['tpot_ms']['p99']:,.1f} ms",
        "VALID",
        f"{result['ttft_ms']['p99_9']:,.1f}",
    ):
        assert expected in text
        assert expected in words


def test_the_figures_are_those_of_the_files(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=3000, workers=3)
    run, document = load(run_dir), build_document([run_dir])
    assert run.events is not None
    workers = table(section(document, "Workers"), "Workers")
    for worker in json.loads((run_dir / "session.json").read_text())["workers"]:
        assert workers[str(worker["id"])][1:3] == [f"{worker['samples']:,}", f"{worker['tokens']:,}"]
    tokens = table(section(document, "Tokens"), "Tokens")
    assert tokens["output"][-1] == f"{run.events.output_tokens.sum():,}"
    over = int((1000 * run.events.ttft > 2000).sum())
    ttft = next(c for c in charts(section(document, "Latency")) if c.title == "Time to first token")
    assert f"{over:,} of 3,000 samples over it" in ttft.description
    energy = table(section(document, "Energy"), "Energy")
    seconds = run.session.wall_s or 0.0
    assert energy["together"][0] == f"{3 * 640 * seconds / 1000:,.1f} kJ"


def test_what_took_how_long_until_the_engine_was_ready(tmp_path: Path) -> None:
    engine = {"name": "vllm", "version": "0.33.0", "capacity": 1024, "weight_dtype": "fp8"}
    parts = {"import": 14.9, "configuration": 30.4, "compilation": 48.8, "rest": 0.5}
    run_dir = write_run(tmp_path / "run", result={"engine": {**engine, "facts": {"start_s": parts}}})
    found = table(section(build_document([run_dir]), "Workers"), "Start of the engine, 94.6 s")
    assert found == {name: [f"{seconds:.1f} s"] for name, seconds in parts.items()}


def test_offline_has_no_first_tokens(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", scenario=Scenario.OFFLINE, samples=2000, rate=200, workers=12)
    document = build_document([run_dir])
    assert [c.title for c in charts(section(document, "Over time"))] == ["Throughput", "Queue"]
    assert sorted(table(section(document, "Workers"), "Nodes")) == ["node0", "node1"]


def test_an_invalid_run_says_why_first(tmp_path: Path) -> None:
    reasons = ["TTFT p99 3,000 ms exceeds 2,000 ms", "ran 30 s, needs 600 s"]
    document = build_document([write_run(tmp_path / "run", result={"valid": False, "invalid_reasons": reasons})])
    first = document.parts[0].sections[0]
    cards, items = first.blocks[0], first.blocks[2]  # between them a line that says with what it ran
    assert isinstance(cards, Cards) and cards.cards[0].value == "INVALID"
    assert isinstance(items, Items) and [text for text, _ in items.items] == reasons


def test_nothing_comes_through_from_outside(tmp_path: Path) -> None:
    run_dir = write_run(
        tmp_path / "run",
        session={"error": EVIL, "violation_examples": [EVIL]},
        result={"valid": False, "invalid_reasons": [EVIL]},
        gpu=EVIL,
        config={"output": EVIL, EVIL: EVIL},
    )
    page, twin = write_report([run_dir])
    found = read(page.read_text())
    assert not [tag for tag, _ in found.tags if tag in ("script", "img", "iframe", "object", "embed", "form")]
    assert 'alert("x")' in "".join(found.text)
    assert "<script" not in twin.read_text() and "<img" not in twin.read_text()
    assert "[link](http" not in twin.read_text()


def test_the_page_fetches_nothing(tmp_path: Path) -> None:
    page, _ = write_report([write_run(tmp_path / "run")])
    text = page.read_text()
    for tag, attributes in read(text).tags:
        for name in ("src", "srcset", "href", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name) or ""
            if tag == "a" and value.startswith("https://github.com/mlcommons/"):
                continue  # a source that a reader may follow; nothing is fetched before
            assert not value or value.startswith(("#", "data:")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|@font-face", text)


def test_every_picture_has_words_and_units(tmp_path: Path) -> None:
    document = build_document([write_run(tmp_path / "run")])
    blocks = [b for s in document.parts[0].sections for b in s.blocks]
    blocks += [inner for b in blocks if isinstance(b, Folded) for inner in b.blocks]
    found = [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]
    assert len(found) > 12
    for chart in found:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', chart.svg)
        assert chart.svg.count('class="label"') == 2
        assert "nan" not in chart.svg and "inf" not in chart.svg
        assert len(chart.svg) < 40_000


def test_a_run_that_broke(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "session.json").write_text(json.dumps({"outcome": "failed", "error": "every worker is dead"}))
    page, _ = write_report([run_dir])
    text = page.read_text()
    assert "NO RESULT (failed)" in text and "every worker is dead" in text


@pytest.mark.parametrize("gone", ["events.parquet", "metrics.parquet", "session.json", "result.json", "config.yaml"])
def test_any_file_may_be_missing(tmp_path: Path, gone: str) -> None:
    run_dir = write_run(tmp_path / "run", samples=500)
    (run_dir / gone).unlink()
    assert write_report([run_dir])[0].stat().st_size > 5000


def test_null_fields_are_left_out(tmp_path: Path) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        (
            "tokens_per_second",
            "samples_per_second",
            "ttft_ms",
            "tpot_ms",
            "latency_ms",
            "workers",
            "versions",
            "rules",
            "accuracy",
            "compliance",
            "samples",
        )
    )
    run_dir = write_run(tmp_path / "run", samples=500, result=nothing)
    cards = build_document([run_dir]).parts[0].sections[0].blocks[0]
    assert isinstance(cards, Cards) and not {"Tokens/s", "TTFT p99"} & {card.label for card in cards.cards}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        build_document([tmp_path])
    with pytest.raises(UserError, match="not a directory"):
        build_document([tmp_path / "nowhere"])
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        build_document([tmp_path])
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "session.json").write_text('{"a": 1}')
    (tmp_path / "events.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"events\.parquet is damaged"):
        build_document([tmp_path])


def test_several_runs_are_compared(tmp_path: Path) -> None:
    dirs = [write_run(tmp_path / name, samples=2000, slower=slower) for name, slower in (("base", 1.0), ("slow", 1.4))]
    document = build_document(dirs)
    assert [part.title.split(":")[0] for part in document.parts] == ["Comparison", "base", "slow"]
    verdicts = table(section(document, "slow against base"), "Figures")
    assert verdicts["TPOT p50, ms"][-1] == "worse"
    anchors = re.findall(r' id="([^"]+)"', html.render(document))
    assert len(anchors) == len(set(anchors))


def test_what_needs_an_explanation_stands_with_the_verdict(tmp_path: Path) -> None:
    remark = {"rule": "record.retries", "text": "304 outputs could not be used", "source": "x", "breaks": "nothing"}
    run_dir = write_run(tmp_path / "run", samples=500, result={"remarks": [remark]})
    assert "304 outputs could not be used" in markdown.render(build_document([run_dir]))


def test_escape_sequences_of_others_do_nothing_in_a_document(tmp_path: Path) -> None:
    """An engine's message, a node's name, a user's file: whoever prints report.md must not have the screen cleared."""
    evil = "\x1b]0;owned\x07\x1b[2Jgone\x9b31m"
    run_dir = write_run(tmp_path / "run", samples=500, session={"error": evil, "outcome": "failed"})
    document = build_document([run_dir])
    for text in (html.render(document), markdown.render(document)):
        assert "gone" in text and not set(text) & set("\x1b\x07\x9b")


def test_the_tuning_curve(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=500)
    rest: dict[str, Any] = {
        "achieved_qps": 1,
        "samples_per_second": 40.0,
        "queries": 9,
        "ended": "full length",
        "whole": True,
    }
    rest |= dict.fromkeys(("duration_s", "window_s", "allowed", "allowed_share", "ttft_over", "tpot_over"), 1)
    probes = [
        Probe(
            target_qps=40.0, valid=True, reason="", ttft_p99_ms=900.0, tpot_p99_ms=25.0, early_stopping_met=True, **rest
        ),
        Probe(target_qps=50.0, valid=False, reason="queue grows", early_stopping_met=False, **rest),
    ]
    write_record(run_dir / "tune.json", TuneRecord(scenario="server", options={}, best_qps=44.5, probes=probes))
    document = build_document([run_dir])
    shown = table(section(document, "Search for the rate"), "Probes")
    assert shown["50"][0] == "no" and "queue grows" in shown["50"]


@pytest.mark.parametrize(
    ("record", "head", "said"),
    [
        (
            {"state": "done", "best_qps": 44.5, "confidence": "confirmed"},
            "FOUND 44.5 samples/s",
            "Rate to run at: 44.5",
        ),
        ({"state": "done", "target_latency_ms": 812.0}, "FOUND 812 ms", "Mean latency to give LoadGen: 812 ms"),
        ({"state": "done", "user_conf": "# found\n*.Server.x = 44.5"}, "NO VALID RATE FOUND", "*.Server.x = 44.5"),
        ({"state": "confirming", "knee_qps": 46.0}, "SEARCH NOT ENDED (confirming)", "Knee: 46 samples/s"),
    ],
)
def test_a_search_s_own_directory(tmp_path: Path, record: dict[str, Any], head: str, said: str) -> None:
    """It has no result of a run, and says what the search has found."""
    write_record(tmp_path / "tune.json", TuneRecord(scenario="server", options={}, **record))
    document = build_document([tmp_path])
    text = markdown.render(document)
    assert "NO RESULT" not in text and "search for the rate of server" in document.title
    assert head in text and markdown.escape(said) in text


def test_accuracy_against_the_targets(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    run_dir = write_run(tmp_path / "run", samples=500)
    scores = {"rouge1": 38.9, "rouge2": 15.0, "rougeL": 24.6, "rougeLsum": 35.9, "gen_len": 8_160_000, "gen_num": 13368}
    (run_dir / "accuracy.json").write_text(json.dumps(scores | {"expected": 13368}))
    metrics = {name: np.linspace(0, 1, 100) for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")}
    pq.write_table(pa.table({"qsl_idx": np.arange(100), **metrics}), run_dir / "accuracy_samples.parquet")
    rows = table(section(build_document([run_dir]), "Accuracy"), "Accuracy")
    assert [rows[name][-1] for name in ("rouge1", "rouge2", "rougeL", "gen_len")] == ["met", "NOT met", "met", "met"]


def test_the_same_files_give_the_same_report(tmp_path: Path) -> None:
    dirs = [write_run(tmp_path / name, samples=800, seed=seed) for name, seed in (("a", 1), ("b", 2))]
    assert html.render(build_document(dirs)) == html.render(build_document(dirs))


def test_markdown_tables_keep_their_columns() -> None:
    block = Table(caption="T", columns=["a", "b"], rows=[["x | y", "two\nlines"]])
    text = markdown.render(
        Document(
            title="D", parts=[Part(title="P", sections=[Section(title="S", blocks=[block, Text(text="*no* <b>")])])]
        )
    )
    assert r"| x \| y | two lines |" in text
    assert r"\*no\* &lt;b&gt;" in text
