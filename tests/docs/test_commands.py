"""A document's command is one that works: it parses, its profile, settings, files, extras and modules are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import InvalidRequirement, Requirement

from harness.cli import COMMANDS, program
from harness.config import build, load_profile, parse_set
from tests.helpers.documents import DOCUMENTS, ROOT, Command, commands
from tests.test_packaging import setup_arguments

ALL = list(commands(*DOCUMENTS))
OURS = [one for one in ALL if one.words[0] == "mlperf-llama"]
PIP = [one for one in ALL if one.words[0] in ("pip", "uv", "pipx")]
PYTHON = [one for one in ALL if one.words[0].startswith("python")]
SCRIPTS = [one for one in ALL if one.words[0].startswith("scripts/")]
MADE_THERE = {"rehearsal.yaml", "echo_engine"}  # files that the document itself shows
FOREIGN = {"submission_checker", "venv", "pytest", "pip"}  # MLCommons' checker, run in its own folder


def parsed(words: tuple[str, ...]) -> dict[str, Any]:
    """The command's options, or click's error."""
    assert words and words[0] in COMMANDS, f"no command {words[:1]}"
    command, rest = program(words[0]), list(words[1:])
    while subcommands := getattr(command, "commands", None):
        assert rest and rest[0] in subcommands, f"no command {rest[:1]} of {words[0]}"
        command = subcommands[rest.pop(0)]
    return dict(command.make_context(" ".join(words[:2]), rest).params)


def test_there_are_commands() -> None:
    assert len(OURS) > 40 and PIP and PYTHON and SCRIPTS
    found = {one.words[1] for one in OURS if len(one.words) > 1}
    assert {"run", "tune", "benchmark", "submission", "report", "preflight", "calibrate"} <= found


@pytest.mark.parametrize("one", OURS, ids=str)
def test_it_parses_and_its_settings_exist(one: Command) -> None:
    words = one.words[1:]
    if words in (("--help",), ("--version",)) or words[:1] == ("--install-completion",):
        return
    assert not [word for word in words if word in ("…", "...") or word.startswith("[")], "a command to be completed"
    options = parsed(words)
    if "settings" not in options:
        return
    scenario = str(options.get("scenario") or "") or None
    profile = options.get("profile")
    tree = load_profile(profile, scenario) if profile and profile not in MADE_THERE else {}
    build(tree, {"output": "x"}, parse_set(options["settings"] or []))


@pytest.mark.parametrize("one", PIP, ids=str)
def test_what_pip_is_given_is_a_requirement(one: Command) -> None:
    extras = set(setup_arguments()["extras_require"])
    words = iter(one.words[1:])
    for word in words:
        if word in ("-c", "-r", "--constraint", "--requirement"):
            name = next(words)
            assert (ROOT / name).is_file(), f"{name} is not there"
        elif word.startswith("-") or word in ("install", "sync", "pip", "tool", "venv", "run", "inject"):
            continue
        elif word.startswith("."):
            if found := re.fullmatch(r"\.\[([\w,-]+)\]", word):
                assert set(found[1].split(",")) <= extras
            else:
                assert word == "." or word.startswith(".venv")
        else:
            try:
                Requirement(word)
            except InvalidRequirement as error:
                raise AssertionError(f"{word!r} is no requirement") from error


@pytest.mark.parametrize("one", PYTHON, ids=str)
def test_modules_are_there(one: Command) -> None:
    words = one.words
    if "-m" in words:
        module = words[words.index("-m") + 1]
        known = module.partition(".")[0] in FOREIGN or importlib.util.find_spec(module)
        assert known, f"there is no module {module}"


@pytest.mark.parametrize("one", SCRIPTS, ids=str)
def test_scripts_are_there(one: Command) -> None:
    path = ROOT / one.words[0]
    assert path.is_file() and path.stat().st_mode & 0o111


def test_links_lead_somewhere() -> None:
    wrong = []
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not (path.parent / target).exists():
                wrong.append(f"{path.relative_to(ROOT)}: {target}")
    assert not wrong


def test_files_that_the_text_names_are_there() -> None:
    wrong = []
    for path in DOCUMENTS:
        for name in re.findall(r"`((?:docs|scripts|deploy|harness|sut|qsl|tests)/[\w./-]+)`", path.read_text()):
            if "/test_" not in name and not (ROOT / Path(name)).exists():
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert not wrong
