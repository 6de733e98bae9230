"""Stop strings: an answer ends before the first of them, wherever the borders of its tokens lie."""

from __future__ import annotations


class StopStrings:
    """Feed it an answer's text as it comes. What may be the beginning of a stop string is kept back until it is known.

    ``found``: the answer is over.
    """

    def __init__(self, stops: list[str]) -> None:
        self._stops = stops
        self._kept = ""
        self.found = False

    def feed(self, text: str, *, last: bool, armed: bool = True) -> str:
        """The text that may be shown now. ``armed``: false as long as the answer may not end yet."""
        if self.found:
            return ""
        text = self._kept + text
        at = min((i for stop in self._stops if (i := text.find(stop)) >= 0), default=-1) if armed else -1
        if at >= 0:
            self.found, self._kept = True, ""
            return text[:at]
        keep = 0 if last or not armed else self._possible(text)
        self._kept = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _possible(self, text: str) -> int:
        """Characters at the end of ``text`` that a stop string may begin with."""
        longest = max(map(len, self._stops)) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0
