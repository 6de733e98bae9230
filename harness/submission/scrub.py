"""Nothing private gets published: secrets and what identifies persons or machines are found and removed.

A submission is a public repository. Texts that this project writes or copies are scrubbed; LoadGen's own logs must not
be altered (mlcommons/policies submission_rules.adoc, Logging requirements), so there a find stops the build instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.submission.identities import Identity, identities
from harness.submission.secrets import secret_spans


@dataclass(frozen=True)
class Find:
    """Something private in a text: its ``kind``, the ``line`` it stands in (from 1) and the ``text`` itself."""

    kind: str
    line: int
    text: str

    @property
    def hint(self) -> str:
        """As much of a secret as may be shown to find it again: the beginning of a long one."""
        return f"{self.text[:4]}…" if len(self.text) >= 20 else "…"


class Scrubber:
    """Finds and removes what is private, given what is known of the machine."""

    def __init__(self, identity: Identity) -> None:
        self.words = identity.words()

    def finds(self, text: str) -> Iterator[Find]:
        """Yield everything private in ``text``, each place once."""
        for kind, start, end in self._places(text):
            yield Find(kind, text.count("\n", 0, start) + 1, text[start:end])

    def scrub(self, text: str) -> str:
        """Return ``text`` with everything private replaced by a word in angle brackets (``~`` for home directories)."""
        parts, position = [], 0
        for kind, start, end in self._places(text):
            parts += [text[position:start], "~" if kind == "home path" else f"<{kind.replace(' ', '-')}>"]
            position = end
        return "".join(parts) + text[position:]

    def _places(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Kind, start and end, in order; of those that overlap the one that begins first, and of these the longest."""
        position = 0
        for kind, start, end in sorted(self._spans(text), key=lambda span: (span[1], -span[2])):
            if start >= position:
                yield kind, start, end
                position = end

    def _spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        for start, end in secret_spans(text):
            yield "token", start, end
        yield from identities(text)
        for kind, word, pattern in self.words:
            if word in text:
                for match in pattern.finditer(text):
                    yield kind, *match.span()


def text_of_file(path: Path) -> str | None:
    """The text of a file, or None where it is no text (a zero byte in its first 8 KiB)."""
    data = path.read_bytes()
    return None if b"\0" in data[:8192] else data.decode("utf-8", errors="replace")
