"""The table of results is readable in every terminal, and in none is a figure cut off."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.cli.summarize import print_table

ROWS: list[tuple[str, ...]] = [
    ("run", "scenario", "tokens/s", "ROUGE-1"),
    ("offline-performance", "offline", "53,193.60", ""),
    ("server-performance", "server", "45,075.80", ""),
]


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_table(console, ROWS)
    assert console.width == width
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "heads"), [(80, ["run", "scenario", "tokens/s"]), (20, ["run", "scenario"])])
def test_a_row_a_run(width: int, heads: list[str]) -> None:
    lines = printed(width)
    assert all(head in lines[1] for head in heads)
    assert [line for line in lines if "offline-performance" in line and "53,193.60" in line]


def test_on_its_side_where_it_is_too_wide() -> None:
    short: list[tuple[str, ...]] = [
        ("run", "scenario", "mode", "tokens/s", "TTFT p99 ms"),
        ("a", "server", "performance", "45,075.80", "1"),
    ]
    console = Console(file=io.StringIO(), width=40)
    print_table(console, short)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert [line for line in lines if "tokens/s" in line and "45,075.80" in line]


@pytest.mark.parametrize("width", [20, 80])
def test_a_column_without_any_figure_is_left_out(width: int) -> None:
    assert "ROUGE-1" not in "\n".join(printed(width))
