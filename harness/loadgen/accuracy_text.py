"""accuracy.txt as everybody writes it: the scores, and the hash of the complete log.

The patterns are the official checker's (mlcommons/inference, submission_checker/constants.py, ACC_PATTERN): single
quotes, and gen_len as a bare number.
"""

from __future__ import annotations

import re

ROUGE = {name: re.compile(rf".*'{name}':\s+'?([\d.]+)'?") for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")}
PATTERNS = ROUGE | {"gen_len": re.compile(r".*'gen_len':\s([\d.]+)")}
HASH = re.compile(r"^hash=(\w+)$", re.MULTILINE)


def read_scores(text: str) -> dict[str, list[float]]:
    """Every value of each metric, line by line, as the official checker's patterns find them."""
    scores: dict[str, list[float]] = {}
    for line in text.splitlines():
        for name, pattern in PATTERNS.items():
            if found := pattern.match(line):
                scores.setdefault(name, []).append(float(found[1].rstrip(".")))
    return scores


def read_count(text: str) -> int | None:
    """``gen_num``: how many samples were scored."""
    found = re.search(r"'gen_num':\s*(\d+)", text)
    return int(found[1]) if found else None
