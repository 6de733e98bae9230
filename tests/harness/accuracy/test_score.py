"""A run's accuracy from end to end: LoadGen's real log, a real tokenizer, a data set with references."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from harness.accuracy.score import what_is_partial
from harness.accuracy.score_run import score_run
from harness.loadgen.log import ACCURACY
from mlperf_llama_base.errors import UserError
from tests.harness.loadgen.real_runs import run_loadgen
from tests.helpers.results import build_result
from tests.helpers.rows import row, write_rows
from tests.helpers.tokenizers import write_words

COUNT = 40
WORDS = [
    "<unk>",
    "<eos>",
    *[
        "storm",
        "hits",
        "the",
        "coast",
        ".",
        "Crews",
        "repair",
        "bridges",
        "in",
        "winter",
        ",",
        "they",
        "say",
        "Mayor",
        "thanks",
        "nurses",
    ],
]
CHECKER_PATTERNS = [  # mlcommons/inference submission_checker/constants.py
    *(rf".*'{name}':\s+'?([\d.]+)'?.*" for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")),
    r".*'gen_len':\s([\d.]+).*",
]


def words(index: int, length: int) -> list[int]:
    return [2 + (index * 7 + i * (1 + index % 3)) % (len(WORDS) - 2) for i in range(length)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    special = {"unk_token": "<unk>", "eos_token": "<eos>", "clean_up_tokenization_spaces": True}
    return write_words(tmp_path_factory.mktemp("tokenizer"), WORDS, unknown="<unk>", **special)


def text_of(index: int, length: int) -> str:
    """The words, tidied as a tokenizer with ``clean_up_tokenization_spaces`` does."""
    return " ".join(WORDS[token] for token in words(index, length)).replace(" .", ".").replace(" ,", ",")


def write_dataset(path: Path, count: int) -> Path:
    return write_rows(path, (row([2, 3, i + 4], article=f"article {i}", summary=text_of(i, 9)) for i in range(count)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    """An accuracy run directory as a session leaves it, not scored."""
    run = tmp_path_factory.mktemp("runs") / "run"
    data = write_dataset(run.parent / "data.json", COUNT)
    answers = {str(i): [*words(i, 6), 1] if i != 3 else [1, 1] for i in range(COUNT)}
    run_loadgen(run, mode="AccuracyOnly", count=COUNT, answers=answers)
    from qsl.dataset import Dataset

    settings: dict[str, Any] = {
        "scenario": "offline",
        "mode": "accuracy",
        "benchmark": "datacenter",
        "scorer": "fast",
        "model": {"path": str(tokenizer), "tokenizer": None, "revision": None},
        "dataset": {"path": str(data), "limit": None},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    session = {
        "outcome": "completed",
        "from_config_rc": 0,
        "model_name": "llama3_1-8b",
        "samples": {"issued": COUNT, "completed": COUNT, "lost": 0},
        "dataset": {"sha256": Dataset.load(data).sha256, "count": COUNT, "is_official_count": False, "path": str(data)},
    }
    (run / "session.json").write_text(json.dumps(session))
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_scores_are_the_references(run: Path) -> None:
    """Against the reference's steps written out (rouge1 and rougeL do not depend on the sentence split)."""
    from rouge_score.rouge_scorer import RougeScorer

    scores = score_run(run)
    rouge = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    texts = {i: text_of(i, 6) if i != 3 else "" for i in range(COUNT)}
    references = [text_of(i, 9) for i in range(COUNT)]
    values = [rouge.score(references[i], texts[i]) for i in range(COUNT)]
    for metric in ("rouge1", "rougeL"):
        mean = round(np.mean([value[metric].fmeasure for value in values]) * 100, 4)
        assert getattr(scores, metric) == pytest.approx(float(mean), abs=1e-4)
    assert scores.gen_num == COUNT
    assert scores.gen_len == sum(len(text.strip()) for text in texts.values())


def test_accuracy_txt_is_what_the_checker_reads(run: Path) -> None:
    scores = score_run(run)
    lines = (run / "accuracy.txt").read_text().splitlines()
    found = [[match[1] for line in lines if (match := re.match(pattern, line))] for pattern in CHECKER_PATTERNS]
    assert all(len(values) == 1 for values in found), "each score on one line only"
    assert [float(values[0]) for values in found] == list(scores.scores.values())
    assert lines[0].startswith("{'rouge1': '") and "int64" not in lines[0] and f"'gen_num': {COUNT}}}" in lines[0]


def test_a_partial_data_set_says_what_it_is(run: Path) -> None:
    scores = score_run(run)
    assert scores.partial == f"a data set of {COUNT} samples, not the benchmark's 13368"
    assert f"partial: {scores.partial}" in (run / "accuracy.txt").read_text()
    result = build_result(run)
    assert (result["valid"], result["submittable"]) == (True, False)
    assert result["accuracy"]["meets_targets"] is None
    assert any("accuracy is partial" in reason for reason in result["not_submittable_reasons"])


def test_what_is_partial() -> None:
    assert what_is_partial(scored=13368, expected=13368, official=13368, is_official=True) is None
    assert what_is_partial(scored=13000, expected=13368, official=13368, is_official=True) == (
        "13000 of 13368 samples; the benchmark has 13368"
    )
    assert what_is_partial(scored=13368, expected=13368, official=13368, is_official=False) is not None


def test_scores_by_sample(run: Path) -> None:
    scores = score_run(run)
    table = pq.read_table(run / "accuracy_samples.parquet").to_pydict()
    assert sorted(table["qsl_idx"]) == list(range(COUNT))
    assert sum(table["chars"]) == scores.gen_len
    assert round(float(np.mean(table["rouge2"])) * 100, 4) == scores.rouge2
    assert table["n_tokens"][table["qsl_idx"].index(3)] == 2


@pytest.mark.parametrize("name", ["rouge-score", "fast"])
def test_scorers_write_the_same_file(run: Path, name: str) -> None:
    score_run(run, scorer=name)
    text = (run / "accuracy.txt").read_text()
    score_run(run)
    assert (run / "accuracy.txt").read_text() == text


def test_another_harness_s_directory_stays_as_it_is(run: Path, tokenizer: Path, tmp_path: Path) -> None:
    """LoadGen's logs alone: the scores are printed, and written where --output says."""
    import typer

    from harness.cli.accuracy import accuracy

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for log in run.glob("mlperf_log_*"):
        shutil.copy(log, theirs)
    data = json.loads((run / "session.json").read_text())["dataset"]["path"]
    app = typer.Typer()
    app.command()(accuracy)
    before = {path: path.read_bytes() for path in theirs.iterdir()}
    arguments = [str(theirs), "--dataset", data, "--tokenizer", str(tokenizer)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "does not apply" in done.output and "accuracy.txt" not in done.output
    assert {path: path.read_bytes() for path in theirs.iterdir()} == before
    done = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "mine")], env={"COLUMNS": "300"})
    assert done.exit_code == 0 and f"{tmp_path / 'mine' / 'accuracy.txt'}: {COUNT}" in done.output
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        *("accuracy.json", "accuracy.txt", "accuracy_samples.parquet")
    ]
    assert {path: path.read_bytes() for path in theirs.iterdir()} == before
    done = CliRunner().invoke(app, [str(theirs)])
    assert isinstance(done.exception, UserError) and "give it with --dataset" in str(done.exception)


def test_a_log_of_a_larger_data_set_is_refused(run: Path, tmp_path: Path) -> None:
    session = json.loads((run / "session.json").read_text())
    del session["dataset"]["sha256"]
    (run / "session.json").write_text(json.dumps(session))
    small = write_dataset(tmp_path / "small.json", COUNT - 5)
    with pytest.raises(UserError, match=f"holds sample {COUNT - 1}, but the data set has {COUNT - 5}"):
        score_run(run, dataset=str(small))


def test_another_data_set_is_refused_by_its_digest(run: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other.json", COUNT + 1)
    with pytest.raises(UserError, match="is not the one that ran"):
        score_run(run, dataset=str(other))


def test_a_cut_log_is_refused(run: Path) -> None:
    text = (run / ACCURACY).read_text()
    (run / ACCURACY).write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match="cut off"):
        score_run(run)
    assert not (run / "accuracy.txt").exists()


def test_the_log_of_a_performance_run_is_refused(run: Path) -> None:
    (run / ACCURACY).write_text("[\n]\n")
    with pytest.raises(UserError, match="it is of a performance run"):
        score_run(run)


@pytest.mark.parametrize(("data", "token"), [("FF000000", 255), ("FFFFFFFF", -1)])
def test_ids_beyond_the_tokenizer_are_refused(run: Path, data: str, token: int) -> None:
    (run / ACCURACY).write_text(f'[\n{{ "seq_id" : 0, "qsl_idx" : 1, "data" : "{data}" }}\n]\n')
    with pytest.raises(UserError, match=rf"token id {token}, but the tokenizer .* has \d+ tokens"):
        score_run(run)


def test_a_folder_without_tokenizer_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="give --tokenizer"):
        score_run(run, tokenizer=str(tmp_path / "empty"))


def test_meta_s_tokenizer_model_scores(run: Path, tmp_path: Path) -> None:
    """The loader that made the data set is the scorer's; its pieces are bytes here."""
    pytest.importorskip("tiktoken")
    folder = tmp_path / "meta"
    folder.mkdir()
    pieces = (base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256))
    (folder / "tokenizer.model").write_bytes(b"".join(pieces))
    for name in (folder, folder / "tokenizer.model"):
        assert score_run(run, tokenizer=str(name)).gen_num == COUNT


def test_the_command_scores_and_updates_the_result(run: Path) -> None:
    import typer

    from harness.cli.accuracy import accuracy
    from harness.cli.summarize import summarize

    app = typer.Typer()
    app.command("accuracy")(accuracy)
    app.command("summarize")(summarize)
    done = CliRunner().invoke(app, ["accuracy", str(run)])
    assert done.exit_code == 0, done.output
    assert "does not apply" in done.output and "partial: " in done.output
    result = json.loads((run / "result.json").read_text())
    assert result == build_result(run)
    assert f"{result['accuracy']['rouge1']:,}" in done.output
    table = CliRunner().invoke(app, ["summarize", str(run.parent)], env={"COLUMNS": "200"})
    assert table.exit_code == 0
    assert f"{result['accuracy']['rouge1']:,.2f}" in table.output
