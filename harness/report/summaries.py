"""Texts of single samples, where data set, accuracy log and tokenizer are all still on this machine.

A report must never reach for the network: a tokenizer is used only if the run names a folder that exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.report.load import RunData
from mlperf_llama_base.errors import HarnessError

LONGEST = 4000


@dataclass(frozen=True, kw_only=True)
class Example:
    """Plain texts; ``article`` is empty where the data set holds token ids only."""

    index: int
    generated: str
    reference: str
    article: str


def examples(run: RunData, indices: Sequence[int]) -> list[Example]:
    """Return the texts of samples, or nothing if any of the files that they need is missing or does not fit."""
    from harness.loadgen.log import ACCURACY

    data = Path((run.session.dataset.path if run.session.dataset else None) or "")
    asked, ran = run.record.setting, run.session.model
    named = asked("model", "tokenizer") or (ran.path if ran else None) or asked("model", "path")
    tokenizer, log = Path(str(named or "")), run.directory / ACCURACY
    if not indices or not named or not (data.is_file() and tokenizer.exists() and log.is_file()):
        return []
    from harness.accuracy.decode import load_decoder
    from harness.loadgen.accuracy_log import read_accuracy_log
    from qsl.dataset import Dataset

    try:
        dataset, entries = Dataset.load(data), read_accuracy_log(log)
        if run.session.dataset is None or dataset.sha256 != run.session.dataset.sha256:
            return []
        position = {int(index): at for at, index in enumerate(entries.qsl_idx)}
        texts = load_decoder(str(tokenizer), None)([entries.tokens[position[index]] for index in indices])
        references, articles = dataset.references(indices), dataset.articles(indices)
    except (HarnessError, KeyError, IndexError):
        return []
    return [
        Example(index=index, generated=text.strip(), reference=reference, article=article[:LONGEST])
        for index, text, reference, article in zip(indices, texts, references, articles, strict=True)
    ]
