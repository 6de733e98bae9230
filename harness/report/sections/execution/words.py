"""One form of the figures of this document."""

from __future__ import annotations

from harness.report.document import Tone
from harness.rundir.execution import Part
from harness.rundir.result import TOO_SHORT
from harness.rundir.scaling import Rate
from harness.text import UNKNOWN, duration, number

SEVERITY: dict[str, Tone] = {"critical": "bad", "warning": "warn", "note": ""}
VERDICT: dict[str, Tone] = {
    "valid": "good",
    TOO_SHORT: "warn",
    "not valid": "bad",
    "failed": "bad",
    "not run": "warn",
    "interrupted": "warn",
}


def rate(value: Rate | None) -> str:
    """With its interval: ``7,050 ± 40``."""
    if value is None:
        return UNKNOWN
    half = f" ± {number(value.ci95)}" if value.ci95 is not None else ""
    return f"{number(value.value)}{half}"


def share(value: float | None, half: float | None = None) -> str:
    """A part of one in percent: ``99.3 % ± 0.7``."""
    if value is None:
        return UNKNOWN
    return f"{100 * value:.1f} %" + (f" ± {100 * half:.1f}" if half is not None else "")


def of(part: float | None, whole: float | None) -> str:
    """``15 of 20``."""
    return f"{number(part)} of {number(whole)}"


def gigabytes(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value / 1e9:,.1f} GB"


def ratio(part: float | None, whole: float | None) -> float | None:
    """None where one is not known, or nothing is there to be shared."""
    return part / whole if part is not None and whole else None


def seconds(value: float | None) -> str:
    """Of a request: milliseconds below one second; of a test: minutes from one on."""
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{number(1e3 * value)} ms"
    return f"{value:.2f} s" if value < 60 else duration(value)


def took(value: float | None) -> str:
    """Of a benchmark: tenths of a second below a minute."""
    return UNKNOWN if value is None else f"{value:.1f} s" if value < 60 else duration(value)


def lasted(part: Part) -> str:
    """The last attempt at a benchmark, and what was spent before it."""
    before = f", after {took(part.earlier_s)} of earlier attempts" if part.earlier_s else ""
    return took(part.duration_s) + before


def percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f} %"


def text(value: object) -> str:
    return UNKNOWN if value in (None, "") else str(value)
