"""Score an accuracy log exactly as the public reference does, and write down what was scored.

Steps of mlcommons/inference, language/llama3.1-8b/evaluation.py: first entry of each sample, decode without special
tokens, strip, one sentence a line, ROUGE f-measures with stemmer, mean x 100 rounded to 4 decimals, ``gen_len`` in
characters.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from harness.accuracy.decode import Decode
from harness.accuracy.scorers import Scores, scorer
from harness.accuracy.sentences import split_lines
from harness.loadgen.accuracy_log import AccuracyLog
from harness.rundir.names import ACCURACY_JSON, ACCURACY_SAMPLES, ACCURACY_TEXT
from harness.rundir.scores import Accuracy
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import write_whole


class HasReferences(Protocol):
    """What scoring needs of a data set."""

    @property
    def count(self) -> int: ...

    def references(self, indices: Sequence[int]) -> list[str]: ...


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores by sample. ``qsl_idx``, ``n_tokens``, ``chars``: shape [n]; ``scores``: f-measures 0..1, shape [n]
    each.
    """

    qsl_idx: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    chars: npt.NDArray[np.int32]
    scores: Scores

    def mean(self, metric: str) -> float:
        """The reference's rounding: mean of the f-measures x 100, four decimals."""
        return float(round(np.mean(self.scores[metric]) * 100, 4))


def score(
    log: AccuracyLog,
    dataset: HasReferences,
    decode: Decode,
    *,
    scorer_name: str,
    on_step: Callable[[str], None] = lambda step: None,
) -> Scored:
    """Score ``log`` against ``dataset``. Raises ``UserError`` if the log is empty or is not of this data set."""
    if not log.tokens:
        raise UserError(
            "the accuracy log holds no samples: it is of a performance run; score a run with --mode accuracy"
        )
    largest = int(log.qsl_idx.max())
    if largest >= dataset.count or int(log.qsl_idx.min()) < 0:
        raise UserError(
            f"the accuracy log holds sample {largest}, but the data set has {dataset.count:,}: the log is of another "
            "data set; give the one that ran with --dataset"
        )
    compute = scorer(scorer_name)
    on_step("decoding")
    predictions = [split_lines(text.strip()) for text in decode(log.tokens)]
    references = [split_lines(text.strip()) for text in dataset.references(log.qsl_idx.tolist())]
    on_step("scoring")
    return Scored(
        qsl_idx=log.qsl_idx,
        n_tokens=np.array([len(ids) for ids in log.tokens], dtype=np.int32),
        chars=np.array([len(text) for text in predictions], dtype=np.int32),
        scores=compute(predictions, references),
    )


def what_is_partial(*, scored: int, expected: int, official: int, is_official: bool) -> str | None:
    """Say why ``scored`` samples are not the benchmark's accuracy, or None. ``official``: the benchmark's sample
    count.
    """
    if scored < expected:
        return f"{scored} of {expected} samples; the benchmark has {official}"
    if scored != official or not is_official:
        return f"a data set of {scored} samples, not the benchmark's {official}"
    return None


def save_scores(run_dir: Path, accuracy: Accuracy, scored: Scored) -> None:
    """Write accuracy.txt, accuracy.json and accuracy_samples.parquet (qsl_idx, four f-measures, n_tokens, chars)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"qsl_idx": scored.qsl_idx, **scored.scores, "n_tokens": scored.n_tokens, "chars": scored.chars}
    table = io.BytesIO()
    pq.write_table(pa.table(columns), table)
    write_whole(run_dir / ACCURACY_SAMPLES, table.getvalue())
    write_whole(run_dir / ACCURACY_TEXT, accuracy.text().encode())
    write_whole(run_dir / ACCURACY_JSON, msgspec.json.format(msgspec.json.encode(accuracy)) + b"\n")
