"""accuracy.txt as everybody writes it: the scores, and the hash of the complete log.

The patterns are the official checker's (mlcommons/inference, submission_checker/constants.py, ACC_PATTERN): single
quotes, and gen_len as a bare number.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

ROUGE = {name: re.compile(rf".*'{name}':\s+'?([\d.]+)'?") for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")}
PATTERNS = ROUGE | {"gen_len": re.compile(r".*'gen_len':\s([\d.]+)")}
HASH = re.compile(r"^hash=(\w+)$", re.MULTILINE)


def read_scores(text: str) -> dict[str, list[float]]:
    """Every value of each metric, line by line, as the official checker's patterns find them; what is no number is left
    out.
    """
    scores: dict[str, list[float]] = {}
    for name, digits in _found(text):
        with contextlib.suppress(ValueError):
            scores.setdefault(name, []).append(float(digits))
    return {name: values for name, values in scores.items() if values}


def no_numbers(text: str) -> list[tuple[str, str]]:
    """Metrics with what stands for their value and is no number, like ``38.7.8``."""
    return [(name, digits) for name, digits in _found(text) if digits.count(".") > 1 or not digits.strip(".")]


def _found(text: str) -> Iterator[tuple[str, str]]:
    """A metric and its digits. Python has more ends of a line than a file has."""
    for line in text.split("\n"):
        for name, pattern in PATTERNS.items():
            if found := pattern.match(line):
                yield name, found[1]


def read_count(text: str) -> int | None:
    """``gen_num``: how many samples were scored."""
    found = re.search(r"'gen_num':\s*(\d+)", text)
    return int(found[1]) if found else None
