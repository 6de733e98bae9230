"""What every command's help and options have in common: a test over the whole tree of commands."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest
from rich.table import Table

from harness import terminal
from harness.cli import COMMANDS, program


def tree() -> Iterator[tuple[str, Any]]:
    """Every command with its path, those of a group as "GROUP COMMAND"."""
    for name in COMMANDS:
        command = program(name)
        below = getattr(command, "commands", None)
        yield from ([(f"{name} {one}", below[one]) for one in below] if below else [(name, command)])


def help_of(path: str, command: Any) -> str:
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit):
        command.main(["--help"], prog_name=path)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """What is printed goes to no terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
    return capsys


def test_a_piped_help_has_each_option_in_one_line(piped: pytest.CaptureFixture[str]) -> None:
    for path, command in tree():
        lines = help_of(path, command).splitlines()
        for option in command.params:
            if text := getattr(option, "help", None):
                assert [line for line in lines if text in line], f"{path}: {option.name} is broken over lines"


def test_json_is_the_same_everywhere() -> None:
    """A flag that prints JSON in place of what people read: never a file's name."""
    having = {path: option for path, command in tree() for option in command.params if "--json" in option.opts}
    assert {"preflight", "compare", "submission check"} <= set(having)
    for path, option in having.items():
        assert option.is_flag and option.help.startswith("Print ") and option.help.endswith(" as JSON."), path


def test_defaults_are_shown() -> None:
    for path, command in tree():
        for option in command.params:
            if option.param_type_name == "option" and option.default not in (None, False, [], ()):
                assert option.show_default, f"{path}: the default of {option.name} is not shown"


def test_many_options_are_in_groups() -> None:
    for path, command in tree():
        ungrouped = [o.name for o in command.params if getattr(o, "rich_help_panel", None) is None]
        assert len(ungrouped) <= 14, f"{path}: {ungrouped}"


def test_a_table_in_a_pipe_is_not_broken(piped: pytest.CaptureFixture[str]) -> None:
    table = Table("what", "why")
    table.add_row("x" * 90, "y" * 90)
    console = terminal.console()
    console.print(table)
    console.rule("one of three")
    out = piped.readouterr().out
    assert f"{'x' * 90} │ {'y' * 90}" in out and "\none of three\n" in out


def test_in_a_terminal_the_terminal_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert terminal.console().width == 70
