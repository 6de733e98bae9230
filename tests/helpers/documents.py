"""The commands that the documents show: each line of a block of code that a reader would type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md"))),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
STARTS = re.compile(r"^(\$ |[A-Z_]+=\S+ +)*([\w./~-]*/)?(mlperf-llama|pip|pipx|uv|python3?|scripts/\w+\.sh)( |$)")
SEPARATORS = {"&&", "||", ";", "|", ">", ">>", "2>&1", "&"}


@dataclass(frozen=True)
class Command:
    """``words``: the program without its folder, and its arguments."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return self.place


def blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Blocks of code, fenced or indented, as numbered lines."""
    block: list[tuple[int, str]] = []
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            block.append((number, line if fenced else line[4:]))
            continue
        if block:
            yield block
            block = []
    if block:
        yield block


def commands(*paths: Path) -> Iterator[Command]:
    """Every command in the documents ``paths``, those of one line one by one."""
    for path in paths:
        for block in blocks(path):
            yield from _of_block(path, block)


def _of_block(path: Path, block: list[tuple[int, str]]) -> Iterator[Command]:
    lines = iter(block)
    for number, line in lines:
        text = line.strip()
        while text.endswith("\\"):
            text = text[:-1] + next(lines)[1].strip()
        if not STARTS.match(text):
            continue
        words: list[str] = []
        for word in [*shlex.split(text.removeprefix("$ "), comments=True), ";"]:
            if word.rstrip(";") in SEPARATORS or word == ";":
                if words:
                    yield _command(path, number, words)
                words = []
            else:
                words.append(word)


def _command(path: Path, number: int, words: list[str]) -> Command:
    while re.match(r"^[A-Z_]+=", words[0]):
        words = words[1:]
    program = words[0] if words[0].startswith("scripts/") else words[0].rpartition("/")[2]
    return Command(f"{path.relative_to(ROOT)}:{number}", (program, *words[1:]))
