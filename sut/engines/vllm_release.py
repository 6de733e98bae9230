"""Which arguments a release of vLLM knows, without importing it: that takes ten seconds and wants a device.

The installed release is read from its source: the annotated fields of ``EngineArgs``, with those types that a value can
be held against. ``vllm_arguments.json`` lists what came or went between 0.26 and 0.33, with the first and the last
release that has it, so that an argument for another release can be told from a misspelt one.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mlperf_llama_base.errors import UserError
from sut.engines.facts import unknown_argument

PLAIN: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
OTHER_RELEASES = Path(__file__).with_name("vllm_arguments.json")


@cache
def installed_arguments() -> dict[str, tuple[type, ...]] | None:
    """Fields of the installed ``EngineArgs`` and the plain types that each takes (none: anything); None without vLLM
    or where its source is laid out in another way."""
    spec = importlib.util.find_spec("vllm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        source = Path(folder) / "engine" / "arg_utils.py"
        try:
            return read_arguments(source.read_text())
        except (OSError, SyntaxError, LookupError):
            continue
    return None


def read_arguments(source: str) -> dict[str, tuple[type, ...]]:
    """Fields of the class ``EngineArgs`` in ``source`` and their plain types. Raises ``LookupError`` without one."""
    found = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "EngineArgs"]
    if not found:
        raise LookupError("no class EngineArgs")
    fields = [n for n in found[0].body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return {ast.unparse(f.target): _plain_types(f.annotation) for f in fields}


def _plain_types(annotation: ast.expr) -> tuple[type, ...]:
    """Types of ``int | float | None`` and the like; empty as soon as another one is among them."""
    parts = [part.strip() for part in ast.unparse(annotation).split("|")]
    types = [PLAIN.get(part) for part in parts if part != "None"]
    return tuple(t for t in types if t) if all(types) else ()


def check(args: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], *, own: Iterable[str] = ()) -> dict[str, str]:
    """Hold ``args`` against the release that knows ``known``. Returns those that only other releases know, with what
    becomes of them; raises ``UserError`` for any other name, and for a value of the wrong plain type. ``own``: names
    that are not vLLM's, for the hint."""
    dropped = other_releases(set(args) - set(known), {*known, *own})
    for name, value in args.items():
        types = known.get(name, ())
        fits = type(value) in types or (float in types and type(value) is int)
        if types and value is not None and not fits:
            wanted = " or ".join(t.__name__ for t in types)
            raise UserError(f"engine.args.{name}: expected {wanted} (got {value!r})")
    return dropped


def other_releases(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Why each of ``names``, which the installed release does not know, is dropped. Raises ``UserError`` for one that
    no other release knows either: it is misspelt."""
    elsewhere: dict[str, list[str]] = json.loads(OTHER_RELEASES.read_text())
    dropped = {}
    for name in sorted(names):
        if name not in elsewhere:
            raise UserError(unknown_argument(name, sorted(known), "vllm"))
        first, last = elsewhere[name]
        span = f"vLLM {first}" if first == last else f"vLLM {first} to {last}"
        dropped[name] = f"engine.args.{name} is known to {span}, not to the installed release, and has no effect"
    return dropped
