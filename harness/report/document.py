"""What a report says, before it is HTML or Markdown. Both are made from this, so they cannot disagree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

ADDRESS = re.compile(r"(https://[^\s();,]*[^\s();,.])")
Tone = Literal["", "good", "bad", "warn"]


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph. ``linked``: the addresses in it are ours and become links; never for a text from elsewhere."""

    kind: ClassVar[str] = "text"
    text: str
    tone: Tone = ""
    linked: bool = False

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """The text in parts, each with whether it is an address to link to."""
        if not self.linked:
            return [(self.text, False)]
        return [(part, at % 2 == 1) for at, part in enumerate(ADDRESS.split(self.text)) if part]


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list of sentences, each with its tone."""

    kind: ClassVar[str] = "items"
    items: Sequence[tuple[str, Tone]]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A headline figure."""

    label: str
    value: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Cards:
    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A table cell drawn as a bar. ``share``: 0 to 1. ``strong``: this is the row that one looks for."""

    text: str
    share: float
    strong: bool = False


Cell = str | Bar


@dataclass(frozen=True, kw_only=True)
class Table:
    """``numeric``: columns that are set to the right."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Chart:
    """``svg``: made by ``charts``, safe to embed. ``description``: says in words what the picture shows."""

    kind: ClassVar[str] = "chart"
    title: str
    svg: str
    description: str
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Charts that may stand beside each other."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Two texts to be compared, with what is known of the pair."""

    kind: ClassVar[str] = "beside"
    caption: str
    left_title: str
    left: str
    right_title: str
    right: str


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Blocks that most readers skip."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: Sequence[Block]


Block = Text | Items | Cards | Table | Charts | Beside | Folded


@dataclass(frozen=True, kw_only=True)
class Section:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The sections about one run, or about all of them."""

    title: str
    sections: Sequence[Section] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class Document:
    title: str
    parts: Sequence[Part]
