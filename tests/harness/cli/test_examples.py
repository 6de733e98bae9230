"""Every command's help ends with an example of it, and every example is one that parses."""

from __future__ import annotations

import shlex

import pytest

from harness.cli import COMMANDS, program
from harness.cli.examples import EXAMPLES
from tests.docs.test_commands import parsed


def commands() -> set[str]:
    """Every command, those of a group as "GROUP COMMAND"."""
    found = set()
    for name in COMMANDS:
        below = getattr(program(name), "commands", None)
        found |= {f"{name} {one}" for one in below} if below else {name}
    return found


def test_every_command_has_one() -> None:
    assert commands() == set(EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES)
def test_it_parses_and_stands_in_the_help(path: str) -> None:
    command = program(path.split()[0])
    for word in path.split()[1:]:
        command = command.commands[word]
    for example in EXAMPLES[path]:
        assert example.startswith(path)
        parsed(tuple(shlex.split(example)))
        shown = [line for line in command.epilog.split("\n\n") if not line.startswith("Example")]
        assert all(len(line) <= 77 for line in shown)  # a help at 80 columns does not break it
        assert f"mlperf-llama {example}" in " ".join(shown).replace(" \\ ", " ")


def test_options_stand_in_groups() -> None:
    panels = {option.name: option.rich_help_panel for option in program("run").params}
    assert (panels["model"], panels["target_qps"], panels["output"]) == ("Engine, model and data", "Test", None)
    (profile,) = (option for option in program("run").params if option.name == "profile")
    assert "h100-fp8" in profile.help
