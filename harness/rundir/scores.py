"""accuracy.json: the scores of an accuracy log, and what they are scores of."""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1
METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class RougeScores(msgspec.Struct, kw_only=True):
    """ROUGE x 100, ``gen_len`` in characters of ``gen_num`` samples.

    ``partial``: why these are no scores of the benchmark, or None.
    """

    rouge1: float
    rouge2: float
    rougeL: float
    rougeLsum: float
    gen_len: int
    gen_num: int
    partial: str | None = None


class Accuracy(RougeScores, kw_only=True):
    """The scores of one accuracy log and what they are scores of.

    ``expected``: samples that a complete log of this run has.
    """

    schema_version: int = SCHEMA_VERSION
    expected: int
    repeated: int = 0
    tokens_mean: float | None = None
    scorer: str | None = None
    dataset: str | None = None
    dataset_sha256: str | None = None
    tokenizer: str | None = None
    log_sha256: str | None = None

    @property
    def scores(self) -> dict[str, float]:
        """The five figures that have targets, by the names of accuracy.txt."""
        return {name: getattr(self, name) for name in (*METRICS, "gen_len")}

    def text(self) -> str:
        """accuracy.txt: one line that the submission checker's patterns accept, and a second one that says what is
        partial.
        """
        figures: dict[str, str | int] = {name: str(getattr(self, name)) for name in METRICS}
        figures |= {"gen_len": self.gen_len, "gen_num": self.gen_num}
        return f"{figures}\n" + (f"partial: {self.partial}\n" if self.partial else "")
