"""Figures as a person reads them: one form of a number and of a duration, wherever they are shown."""

from __future__ import annotations

import math

UNKNOWN = "–"


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
