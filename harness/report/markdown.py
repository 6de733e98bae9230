"""The report as Markdown: the same document, with each picture's description in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.report.document import Bar, Beside, Block, Cards, Cell, Charts, Document, Folded, Items, Table, Text
from harness.text import harmless

_MARKS = {"good": "✓ ", "bad": "✗ ", "warn": "! ", "": ""}


def render(document: Document) -> str:
    """Return the document. Texts are escaped: no HTML and no markup of theirs comes through."""
    lines = [f"# {escape(document.title)}", ""]
    for part in document.parts:
        several = len(document.parts) > 1
        if several:
            lines += [f"## {escape(part.title)}", ""]
        for section in part.sections:
            lines += [f"{'###' if several else '##'} {escape(section.title)}", ""]
            for block in section.blocks:
                lines += [*_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Return ``text`` as one line that Markdown shows as it is."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    line = harmless(re.sub(r"\s+", " ", text))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text():
            text = "".join(f"<{piece}>" if address else _escaped(piece) for piece, address in block.pieces)
            yield f"**{text.strip()}**" if block.tone else text.strip()
        case Items():
            yield from (f"- {_MARKS[tone]}{escape(text)}" for text, tone in block.items)
        case Cards():
            yield from _table(["", "", ""], [[c.label, c.value, c.note] for c in block.cards], frozenset())
        case Table():
            yield f"{escape(block.caption)}:"
            yield ""
            yield from _table(block.columns, block.rows, block.numeric)
        case Charts():
            yield from (f"- {escape(chart.title)}: {escape(chart.description)}" for chart in block.charts)
        case Beside():
            yield f"**{escape(block.caption)}**"
            for title, text in ((block.left_title, block.left), (block.right_title, block.right)):
                yield ""
                yield f"> {escape(title)}: {escape(text)}"
        case Folded():
            yield f"**{escape(block.summary)}**"
            for inner in block.blocks:
                yield ""
                yield from _block(inner)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], numeric: frozenset[int]) -> Iterator[str]:
    yield f"| {' | '.join(escape(name) for name in columns)} |"
    yield f"|{'|'.join('--:' if i in numeric else '---' for i in range(len(columns)))}|"
    for row in rows:
        strong = any(isinstance(cell, Bar) and cell.strong for cell in row)
        texts = [escape(cell.text if isinstance(cell, Bar) else cell) for cell in row]
        yield f"| {' | '.join(f'**{text}**' if strong and text else text for text in texts)} |"
