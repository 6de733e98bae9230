"""Text for people: one form of a number and of a duration, and foreign text that does nothing where it is shown."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

UNKNOWN = "–"
# Control characters but tab and line end, those that turn the direction of text around, and half characters of UTF-16,
# which JSON may escape and no file can hold
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_DISPLAY = re.compile("(\x1b\\[[0-9;]*m|\r)")


def number(value: float | None) -> str:
    """Return a figure: three significant digits below 100, whole numbers with thousands separated above.

    ``–`` for None.
    """
    if value is None:
        return UNKNOWN
    if math.isfinite(value) and (isinstance(value, int) or abs(value) >= 100):
        return f"{round(value):,}"
    return f"{value:.3g}"


def duration(seconds: float | None, *, rough: bool = False) -> str:
    """Return seconds as ``1 h 02 min``, ``3 min 05 s`` or ``7 s``; ``–`` if unknown or not finite.

    ``rough``: an estimate, whose seconds would mean nothing from 90 s on (``11 min``).
    """
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if rough and seconds < 90:
        return f"{max(round(seconds), 0)} s"
    whole = max(60 * round(seconds / 60) if rough else round(seconds), 0)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    if not minutes:
        return f"{left} s"
    return f"{minutes} min" if rough else f"{minutes} min {left:02d} s"


def date(value: str) -> str:
    """Return a time in ISO 8601 as ``2026-11-26 18:00 UTC``; as it is where it is no time."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return value


def harmless(text: str, *, display: bool = False) -> str:
    """``text`` from elsewhere (a server, an engine, a file), for a terminal or a document.

    Control characters become ``�``, so that an escape sequence is seen and does nothing. ``display``: keep colours, and
    the carriage return of progress bars.
    """
    if not _UNSAFE.search(text):
        return text
    if not display:
        return _UNSAFE.sub("\ufffd", text)
    parts = _DISPLAY.split(text)
    return "".join(part if number % 2 else _UNSAFE.sub("\ufffd", part) for number, part in enumerate(parts))
