"""Figures as a person reads them."""

from __future__ import annotations

import pytest

from harness import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (7, "7"), (1_234_567, "1,234,567"), (0.01234, "0.0123"), (99.96, "100"), (1234.6, "1,235")],
)
def test_number(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_numbers_that_are_none_are_shown() -> None:
    assert text.number(float("inf")) == "inf"
    assert text.number(float("nan")) == "nan"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(7.2, "7 s"), (185, "3 min 05 s"), (3720, "1 h 02 min"), (-3, "0 s"), (None, "–"), (float("inf"), "–")],
)
def test_duration(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0 s"), (5, "5 s"), (60, "60 s"), (89, "89 s"), (668, "11 min"), (3720, "1 h 02 min"), (None, "–")],
)
def test_an_estimate_has_no_seconds_from_90_on(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds, rough=True) == shown


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain – and ümlauts\tand\nlines", "plain – and ümlauts\tand\nlines"),
        ("\x1b]0;title\x07", "�]0;title�"),
        ("\x1b[2J\x1b[31mred", "�[2J�[31mred"),
        ("\x9b2J", "�2J"),
        ("over\rwritten", "over�written"),
        ("abc\u202efdp.exe", "abc�fdp.exe"),
        ("half \ud800 a pair", "half � a pair"),
    ],
)
def test_foreign_text_does_nothing(foreign: str, shown: str) -> None:
    assert text.harmless(foreign) == shown


def test_a_display_keeps_its_colours() -> None:
    assert text.harmless("\x1b[1;31mred\x1b[0m\r\x1b[2J", display=True) == "\x1b[1;31mred\x1b[0m\r�[2J"
