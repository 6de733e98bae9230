"""Three ways to compute the same ROUGE f-measures; all give the reference's four decimals.

The reference calls ``evaluate``'s rouge with ``use_stemmer=True, use_aggregator=False`` (mlcommons/inference,
language/llama3.1-8b/evaluation.py), which wraps rouge-score; ``fast`` is a native port of rouge-score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.rundir.scores import METRICS
from mlperf_llama_base.errors import EnvironmentFault, UserError, nearest

Scores = dict[str, npt.NDArray[np.float64]]
Scorer = Callable[[Sequence[str], Sequence[str]], Scores]


def fast(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """rouge-score-rs, in one batch on all cores."""
    try:
        from rouge_score_rs.rouge_scorer import RougeScorer
    except ImportError as error:
        raise EnvironmentFault(
            "scorer 'fast' needs rouge-score-rs: pip install rouge-score-rs, or --scorer rouge-score"
        ) from error
    return _fmeasures(RougeScorer(list(METRICS), use_stemmer=True).score_batch(references, predictions))


def rouge_score(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """Google's rouge-score, pure Python."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise EnvironmentFault(
            "scorer 'rouge-score' needs rouge-score: pip install rouge-score, or --scorer fast"
        ) from error
    scorer = RougeScorer(list(METRICS), use_stemmer=True)
    return _fmeasures(
        [scorer.score(reference, prediction) for prediction, reference in zip(predictions, references, strict=True)]
    )


def evaluate(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """Hugging Face evaluate, as the reference does it; fetches its metric script from the hub."""
    try:
        import evaluate as library
    except ImportError as error:
        raise EnvironmentFault("scorer 'evaluate' needs evaluate: pip install evaluate, or --scorer fast") from error
    try:
        metric = library.load("rouge")
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        why = " ".join(str(error).split())[:160]
        raise EnvironmentFault(
            f"scorer 'evaluate' cannot load its rouge script from the Hugging Face hub ({why}): connect "
            "once so that it is cached, or use --scorer fast, which gives the same numbers offline"
        ) from error
    rows = metric.compute(predictions=predictions, references=references, use_stemmer=True, use_aggregator=False)
    return {name: np.asarray(rows[name], dtype=np.float64) for name in METRICS}


def _fmeasures(rows: Sequence[Mapping[str, Any]]) -> Scores:
    """Both libraries give a row a sample, with precision, recall and f-measure of each metric."""
    return {name: np.array([row[name].fmeasure for row in rows], dtype=np.float64) for name in METRICS}


SCORERS: dict[str, Scorer] = {"fast": fast, "rouge-score": rouge_score, "evaluate": evaluate}


def scorer(name: str) -> Scorer:
    """The scorer called ``name``. Raises ``UserError`` if there is none."""
    if name not in SCORERS:
        raise UserError(f"scorer {name!r} is not known{nearest(name, SCORERS)} (scorers: {', '.join(SCORERS)})")
    return SCORERS[name]
