"""The client's working directory: the data set that its preset finds, and what scores without a hub."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pyarrow.parquet as pq
import pytest

from harness.demo import demo_model
from harness.endpoints.rehearsal import rehearsal_rows
from harness.endpoints.workspace import CACHE, articles_of, check_tokenizer, prepare, write_scorer
from mlperf_llama_base.errors import UserError


def test_a_data_set_of_another_size_is_refused(articles: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 20 rows; the benchmark has 13,368.*data prepare"):
        prepare(tmp_path, articles)
    assert prepare(tmp_path, articles, any_count=True) == 20
    table = pq.read_table(tmp_path / CACHE)
    assert table.column_names == ["article", "highlights"]
    assert table["article"][3].as_py() == "Article 3."


def test_a_data_set_without_a_row_is_refused_by_a_rehearsal_too(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match=r"empty\.jsonl has no row"):
        prepare(tmp_path, tmp_path / "empty.jsonl", any_count=True)


def test_mlcommons_json_has_articles_and_summaries_too(tmp_path: Path) -> None:
    rows = [
        {"instruction": "i", "input": f"Article {n}.", "tok_input": [1, 2], "output": f"Summary {n}."} for n in (0, 1)
    ]
    (tmp_path / "cnn_eval.json").write_text(json.dumps(rows))
    found = articles_of(tmp_path / "cnn_eval.json")
    assert found == {"article": ["Article 0.", "Article 1."], "highlights": ["Summary 0.", "Summary 1."]}


def test_what_has_no_articles_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,summary\na,b\n")
    with pytest.raises(UserError, match=r"a\.csv"):
        articles_of(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(UserError, match="is no Parquet file"):
        articles_of(tmp_path / "a.parquet")


def test_the_sentence_tables_are_those_of_our_own_scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NLTK reads them as the client does, and splits as our scorer does."""
    import nltk.data
    from nltk.tokenize.punkt import PunktTokenizer

    from harness.accuracy.sentences import split_lines

    write_scorer(tmp_path)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    text = "Mr. Smith went to the U.S. on Jan. 5. He paid $3.50. Was it, e.g., worth it? Yes."
    assert "\n".join(PunktTokenizer("english").tokenize(text)) == split_lines(text)
    assert "class Rouge" in (tmp_path / "rouge" / "rouge.py").read_text()


@pytest.mark.timeout(240)
def test_a_rehearsal_s_summaries_are_what_the_null_engine_answers() -> None:
    from qsl.prompt import render
    from qsl.tokenizer import load_tokenizer

    rows = rehearsal_rows(str(demo_model()), count=40)
    assert len(set(rows["article"])) == 40 and rows["article"][39].startswith("Report 39. ")
    tokenizer = load_tokenizer(str(demo_model()))
    assert tokenizer("x")["input_ids"][0] != tokenizer.bos_token_id  # MLPerf's template adds it all the same
    ids = [tokenizer.bos_token_id, *tokenizer(render(rows["article"][1]))["input_ids"]]
    assert rows["highlights"][1] == tokenizer.decode(ids[:127], skip_special_tokens=True)


def test_rouge_without_a_hub_is_the_package_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for texts that are equal, which are not scored one by one."""
    from rouge_score import rouge_scorer

    write_scorer(tmp_path)
    for name in ("datasets", "evaluate"):  # of the client's environment; the metric needs only their names here
        monkeypatch.setitem(sys.modules, name, MagicMock(Metric=object))
    metric = runpy.run_path(str(tmp_path / "rouge" / "rouge.py"))["Rouge"]()
    pairs = [
        ("A cat sat on the mat.", "The cat sat.\nIt ran."),
        ("Two words", "Two words"),
        ("one", "one"),
        ("...", "..."),
    ]
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    found = metric._compute([p for _, p in pairs], [r for r, _ in pairs], use_stemmer=True, use_aggregator=False)
    scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=True)
    assert found == {k: [scorer.score(r, p)[k].fmeasure for r, p in pairs] for k in kinds}


def test_a_tokenizer_is_a_folder_with_one_or_a_hub_s_name(tokenizer: Path, tmp_path: Path) -> None:
    assert check_tokenizer(str(tokenizer)) == str(tokenizer)
    assert check_tokenizer("meta-llama/Llama-3.1-8B-Instruct") == "meta-llama/Llama-3.1-8B-Instruct"
    with pytest.raises(UserError, match="holds no tokenizer"):
        check_tokenizer(str(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        check_tokenizer("./none")
