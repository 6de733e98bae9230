"""All scorers give the same four decimals; sentences are split as NLTK's own model splits them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from harness.accuracy import scorers
from harness.accuracy.scorers import SCORERS, scorer
from harness.accuracy.sentences import split_lines
from harness.rundir.scores import METRICS
from mlperf_llama_base.errors import EnvironmentFault, UserError

ROUGE_SCRIPT = '''
import datasets
import evaluate
from rouge_score import rouge_scorer


class Rouge(evaluate.Metric):
    """The part of the hub's rouge metric that the reference uses."""

    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="", citation="", features=datasets.Features({"predictions": text, "references": text})
        )

    def _compute(self, predictions, references, use_stemmer=False, use_aggregator=True):
        assert not use_aggregator
        names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
        scorer = rouge_scorer.RougeScorer(names, use_stemmer=use_stemmer)
        scores = [scorer.score(r, p) for r, p in zip(references, predictions)]
        return {name: [score[name].fmeasure for score in scores] for name in names}
'''
WORDS = [
    "the",
    "a",
    "Rivers",
    "rising",
    "flooded",
    "towns",
    "quickly",
    "on",
    "Tuesday",
    "after",
    "heavy",
    "rains;",
    "Dr.",
    "Lee's",
    "3.5",
    "studies",
    "weren't",
    "é",
    "漢字",
    "said",
]


def pairs(count: int) -> tuple[list[str], list[str]]:
    rng = random.Random(11)

    def text() -> str:
        lines = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(rng.randint(0, 4))]
        return "\n".join(lines)

    return [text() for _ in range(count)], [text() for _ in range(count)]


@pytest.fixture
def offline_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``evaluate.load("rouge")`` finds a script on disk instead of the hub's."""
    import evaluate

    script = tmp_path / "rouge" / "rouge.py"
    script.parent.mkdir()
    script.write_text(ROUGE_SCRIPT)
    load = evaluate.load
    monkeypatch.setattr(evaluate, "load", lambda name: load(str(script), cache_dir=str(tmp_path / "cache")))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.mark.usefixtures("offline_evaluate")
def test_all_scorers_agree_to_the_last_bit() -> None:
    predictions, references = pairs(300)
    results = {name: compute(predictions, references) for name, compute in SCORERS.items()}
    assert set(results) == {"fast", "rouge-score", "evaluate"}
    for metric in METRICS:
        for name, result in results.items():
            assert result[metric].shape == (300,)
            np.testing.assert_array_equal(result[metric], results["fast"][metric], err_msg=f"{name} {metric}")
        assert 0 < results["fast"][metric].mean() < 1


def test_scores_of_known_texts() -> None:
    scores = scorers.fast(["police arrested the man", "", "nothing alike"], ["the police arrested a man", "some", "x"])
    assert scores["rouge1"].tolist() == pytest.approx([8 / 9, 0.0, 0.0])
    assert scores["rouge2"].tolist() == pytest.approx([2 / 7, 0.0, 0.0])


def test_the_stemmer_is_on() -> None:
    assert scorers.fast(["floods rising"], ["flooded rise"])["rouge1"][0] == 1.0


def test_evaluate_without_the_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    def load(name: str) -> None:
        raise ConnectionError(f"cannot reach the hub\nfor {name}")

    monkeypatch.setattr(evaluate, "load", load)
    with pytest.raises(EnvironmentFault, match="use --scorer fast") as caught:
        scorer("evaluate")(["a"], ["a"])
    assert "\n" not in str(caught.value)


def test_an_unknown_scorer_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'rouge-score'"):
        scorer("rouge-scor")


def test_sentences_keep_abbreviations_together() -> None:
    text = 'Mr. Hall met Dr. Ito at 9 a.m. on Monday. "It went well," he said. Was it? The U.S. team left.'
    assert split_lines(text).splitlines() == [
        "Mr. Hall met Dr. Ito at 9 a.m. on Monday.",
        '"It went well," he said.',
        "Was it?",
        "The U.S. team left.",
    ]
    assert split_lines("") == ""
