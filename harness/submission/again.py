"""Score a complete accuracy log again, to compare with what accuracy.txt says of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.accuracy.decode import Decode
    from qsl.dataset import Dataset


@dataclass(frozen=True)
class Scorer:
    """The data set (with its reference answers) and the tokenizer (folder or hub id) that the runs had."""

    dataset: Path
    tokenizer: str

    @cached_property
    def loaded(self) -> tuple[Dataset, Decode]:
        """Both, read once for all logs. Raises ``UserError`` or ``EnvironmentFault`` where they cannot be."""
        from harness.accuracy.decode import load_decoder
        from qsl.dataset import Dataset

        return Dataset.load(self.dataset), load_decoder(self.tokenizer, None)

    def scores(self, log: Path) -> dict[str, float]:
        """The figures of accuracy.txt. Raises ``UserError`` for a log that is damaged or of another data set."""
        from harness.accuracy.score import score
        from harness.loadgen.accuracy_log import read_accuracy_log
        from harness.rundir.scores import METRICS

        dataset, decode = self.loaded
        found = score(read_accuracy_log(log), dataset, decode, scorer_name="fast")
        scores = {name: found.mean(name) for name in METRICS}
        return scores | {"gen_len": float(found.chars.sum()), "gen_num": float(len(found.chars))}
