"""docs/reference/: every configuration key, every command and every column, written from the code.

``python -m harness.cli.reference`` writes the files again; a test sees to it that they are as the code is.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from harness import config
from harness.cli import COMMANDS, NAME, USAGE, program
from harness.cli.reference_data import data
from mlperf_llama_base.source import ROOT

FOLDER = ROOT / "docs" / "reference"
MADE_BY = "<!-- Written by `python -m harness.cli.reference`; do not edit. -->\n"
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
INTRODUCTION = """\
A run is described by one tree of keys. It is put together from the defaults, a profile (`--profile NAME`, or a YAML
file, in which the part `scenarios.NAME` of the scenario that runs wins over the rest, and which wins over the profile
that its key `base` names, if any), a command's own options and `--set key.path=value`, the later over the earlier.
`config.yaml` in a run's directory is the complete tree, and can be given back as `--profile`. An unknown key or a
value out of bounds ends a command with exit code 2."""


def configuration() -> str:
    """Every key of the configuration, section by section, as Markdown."""
    lines = [
        "# Configuration keys",
        "",
        MADE_BY,
        INTRODUCTION,
    ]
    section = None
    for key in sorted(config.all_keys(), key=lambda key: "." in key):
        if (part := key.rpartition(".")[0]) != section:
            section = part
            lines += ["", f"## `{part}`" if part else "## Top level", ""]
            lines += ["| key | type | default | unit | bounds | |", "|---|---|---|---|---|---|"]
        lines.append(_row(key, config.field_of(key)))
    return "\n".join(lines) + "\n"


def _row(key: str, field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"configuration key {key} has no description")
    default = _value(field.get_default(call_default_factory=True))
    cells = (f"`{key}`", _type(field.annotation), default, _unit(field), _bounds(field), _plain(field.description))
    return f"| {' | '.join(cells)} |"


def commands() -> str:
    """The help of every command, as Markdown."""
    lines = ["# Commands", "", MADE_BY, "```", USAGE.format(commands=_summary()).rstrip(), "```"]
    for name in COMMANDS:
        lines += _command(program(name), f"{NAME} {name}")
    return "\n".join(lines) + "\n"


def _summary() -> str:
    return "\n".join(f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())


def _command(command: Any, path: str, *, level: int = 2) -> Iterator[str]:
    below = getattr(command, "commands", {})
    yield from ("", f"{'#' * level} `{path}`", "", _plain(command.help))
    if below:
        for name, one in below.items():
            yield from _command(one, f"{path} {name}", level=level + 1)
        return
    yield from ("", "| | type | default | |", "|---|---|---|---|")
    kinds = inspect.signature(command.callback, eval_str=True).parameters
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            shown = f"`{parameter.metavar or parameter.name.upper()}`"
        else:
            shown = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
        if not parameter.help:
            raise ValueError(f"{path}: {shown} has no help text")
        default = "required" if parameter.required else _value(parameter.default)
        kind = "flag" if getattr(parameter, "is_flag", False) else _option_type(kinds[parameter.name].annotation)
        yield f"| {shown} | {kind} | {default} | {_plain(parameter.help)} |"


def _option_type(annotated: Any) -> str:
    """Of ``Annotated[TYPE, typer.Option(...)]``, with its bounds."""
    annotation, option = typing.get_args(annotated)[:2]
    kind = _type(annotation).removesuffix(" or none")
    bounds = [f"{sign} {_number(v)}" for sign, v in (("≥", option.min), ("≤", option.max)) if v is not None]
    return ", ".join((kind, *bounds))


def _type(annotation: Any) -> str:
    if annotation is types.NoneType:
        return "none"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " or ".join(_type(part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) is dict:
        return "mapping"
    if typing.get_origin(annotation) is list:
        return f"{_type(typing.get_args(annotation)[0])}, repeatable"
    return {Path: "path", str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _value(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"`{getattr(value, 'value', value)}`" if value != {} else "empty"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _bounds(field: FieldInfo) -> str:
    """Of the number itself, or of the values of a mapping."""
    kinds = typing.get_args(field.annotation)
    bounds = [*field.metadata, *getattr(kinds[-1] if kinds else None, "__metadata__", ())]
    each = [one for bound in bounds for one in (bound, *getattr(bound, "metadata", ()))]
    return ", ".join(
        f"{SIGNS[name]} {_number(getattr(one, name))}" for one in each for name in SIGNS if hasattr(one, name)
    )


def _plain(text: str) -> str:
    """On one line, and harmless in a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def pages() -> dict[str, str]:
    """The text of each file."""
    return {"configuration.md": configuration(), "commands.md": commands(), "data.md": data(MADE_BY)}


def main(folder: Path = FOLDER) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
        sys.stdout.write(f"{folder / name}\n")


if __name__ == "__main__":
    main()
