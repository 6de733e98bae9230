"""A few summaries beside their references, from the run's own files, and only from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.report import build_document, html
from harness.report.load import load
from harness.report.summaries import examples
from harness.rundir.scores import METRICS
from tests.harness.fake_run import write_run
from tests.helpers.rows import row, write_rows
from tests.helpers.tokenizers import write_words

COUNT = 12


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An accuracy run: sample i generated the words i and i + 1; references and articles carry markup."""
    words = [f"word{i}" for i in range(COUNT + 2)]
    write_words(tmp_path / "model", words, unknown="word0", unk_token="word0")
    rows = (row([1, 2], article=f"<b>article {i}</b>", summary=f"<script>reference {i}</script>") for i in range(COUNT))
    data = write_rows(tmp_path / "data.json", rows)
    run = write_run(
        tmp_path / "run",
        samples=100,
        session={
            "dataset": {"path": str(data), "sha256": hashlib.sha256(data.read_bytes()).hexdigest()},
            "model": {"path": str(tmp_path / "model")},
        },
    )
    log = [
        {"seq_id": i, "qsl_idx": i, "data": np.array([i, i + 1], "<i4").tobytes().hex().upper()}
        for i in reversed(range(COUNT))
    ]
    (run / "mlperf_log_accuracy.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in log) + "\n]\n")
    means = dict.fromkeys(METRICS, 38.9)
    (run / "accuracy.json").write_text(json.dumps(means | {"gen_len": 8_160_000, "gen_num": COUNT, "expected": COUNT}))
    scores = {name: np.arange(COUNT) / COUNT for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")}
    pq.write_table(pa.table({"qsl_idx": np.arange(COUNT), **scores}), run / "accuracy_samples.parquet")
    return run


def test_texts_belong_together(run_dir: Path) -> None:
    found = examples(load(run_dir), [7, 3])
    assert [(e.index, e.generated, e.reference, e.article) for e in found] == [
        (i, f"word{i} word{i + 1}", f"<script>reference {i}</script>", f"<b>article {i}</b>") for i in (7, 3)
    ]


def test_worst_and_best_are_shown_escaped(run_dir: Path) -> None:
    page = html.render(build_document([run_dir]))
    worst, best = page.index("Worst summaries"), page.index("Best summaries")
    assert worst < page.index("Sample 0, ROUGE-Lsum 0.0") < best < page.index("Sample 11, ROUGE-Lsum 91.7")
    assert "&lt;script&gt;reference 11&lt;/script&gt;" in page
    assert "<script>" not in page and "<b>article" not in page


@pytest.mark.parametrize("gone", ["data.json", "model", "run/mlperf_log_accuracy.json"])
def test_no_texts_without_the_files(run_dir: Path, gone: str) -> None:
    path = run_dir.parent / gone
    path.rename(path.with_name("elsewhere"))
    assert examples(load(run_dir), [1, 2]) == []


def test_no_texts_of_another_data_set(run_dir: Path) -> None:
    data = run_dir.parent / "data.json"
    data.write_text(data.read_text().replace("article 1<", "article one<"))
    assert examples(load(run_dir), [1, 2]) == []
