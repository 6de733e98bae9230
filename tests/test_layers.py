"""Imports go one way, LoadGen has its two places, and what is heavy is imported late or in an adapter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mlperf_llama_base", "qsl", "sut", "harness")
MAY_IMPORT = {
    "mlperf_llama_base": set(),
    "qsl": {"mlperf_llama_base"},
    "sut": {"mlperf_llama_base"},
    "harness": {"mlperf_llama_base", "qsl", "sut"},
}
LOADGEN = {"sut/completions.py", "harness/loadgen/driver.py"}
HEAVY = {
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "ray",
    "datasets",
    "pandas",
    "pyarrow",
    "matplotlib",
    "plotly",
    "evaluate",
    "nltk",
    "optuna",
    "aiohttp",
    "gguf",
    "llmcompressor",
    "mlperf_loadgen",
}
ADAPTERS = {  # modules that are imported only by those who need the library
    "harness/cluster/node.py": {"ray"},
    "harness/rundir/energy.py": {"pyarrow"},
    "harness/monitor/store.py": {"pyarrow"},
    "harness/rundir/metrics.py": {"pyarrow"},
    "harness/scaling/actor.py": {"ray"},
    "harness/serve/app.py": {"aiohttp"},
    "harness/serve/connections.py": {"aiohttp"},
    "harness/serve/server.py": {"aiohttp"},
    "harness/loadgen/driver.py": {"mlperf_loadgen"},
    "qsl/parquet_file.py": {"pyarrow"},
    "sut/completions.py": {"mlperf_loadgen"},
    "sut/engines/kv_slots.py": {"torch", "transformers"},
    "sut/engines/openai_client.py": {"aiohttp"},
    "sut/engines/transformers.py": {"torch", "transformers"},
    "sut/engines/transformers_load.py": {"torch", "transformers"},
    "sut/engines/vllm_gemm.py": {"torch", "vllm"},
    "sut/engines/vllm_last_layer.py": {"torch", "vllm"},
    "sut/engines/vllm_steps.py": {"vllm"},
    "sut/workers/ray.py": {"ray"},
    "sut/workers/ray_host.py": {"ray"},
}
# What must start at once, or on a machine that lacks some of the libraries
QUICK = (
    "harness/cli/*.py",
    "harness/run.py",
    "harness/config/*.py",
    "harness/verdict/result.py",
    "harness/verdict/*.py",
    "harness/preflight/*.py",
    "harness/progress.py",
    "harness/accuracy/*.py",
    "qsl/dataset.py",
    "qsl/library.py",
    "sut/workers/main.py",
    "sut/workers/local.py",
    "sut/hub.py",
    "sut/engines/__init__.py",
    "sut/engines/null.py",
)
# Rooms of the harness from the bottom up: packages and loose modules. A room may import those of the rows before it,
# never its own row's or a later one's. What starts runs of its own (the tuner, scaling, a campaign) stands above `run`.
ORDER = (
    {"__init__", "rounds", "text"},
    {"config", "demo", "inventory", "terminal"},
    {"loadgen"},
    {"rundir"},
    {"accuracy", "monitor", "progress", "workers"},
    {"cluster", "verdict"},
    {"preflight", "session"},
    {"run", "serve"},
    {"bench", "calibrate", "campaign", "quickstart", "report", "scaling", "submission", "tune"},
    {"endpoints", "execution"},
    {"cli"},
    {"__main__"},
)
LOOSE_MODULES = 8
LINES = 400
FILES = sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
KNOWN = frozenset(FILES)


@cache
def imports(path: str, *, late: bool) -> tuple[str, ...]:
    """Modules that a file imports: all of them, or only those when it is imported itself (``late=False``)."""
    return tuple(_imports(ast.parse((ROOT / path).read_text(), path), path, late=late))


def _imports(node: ast.AST, path: str, *, late: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{path}:{child.lineno}: a relative import"
            assert child.module
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif late or not _is_late(child):
            yield from _imports(child, path, late=late)


def _is_late(node: ast.AST) -> bool:
    function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    return function or (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))


def top(module: str) -> str:
    return module.partition(".")[0]


def test_there_is_something_to_look_at() -> None:
    assert {"harness/run.py", "sut/hub.py", "qsl/dataset.py", "mlperf_llama_base/errors.py"} <= set(FILES)
    assert "mlperf_loadgen" in set(imports("harness/loadgen/driver.py", late=False))
    assert "transformers" in set(imports("qsl/tokenizer.py", late=True)) - set(imports("qsl/tokenizer.py", late=False))
    assert ADAPTERS.keys() <= KNOWN


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    own = {package} | MAY_IMPORT[package]
    wrong = [
        f"{path} imports {module}"
        for path in FILES
        if path.startswith(f"{package}/")
        for module in imports(path, late=True)
        if top(module) in {*PACKAGES, "tests"} - own
    ]
    assert not wrong


def harness_room(module: str) -> str:
    """``harness.rundir.names`` and all else in it is ``rundir``; the package itself is ``__init__``."""
    parts = module.split(".")
    known = len(parts) > 1 and (f"harness/{parts[1]}.py" in KNOWN or f"harness/{parts[1]}/__init__.py" in KNOWN)
    return parts[1] if known else "__init__"


def test_every_room_of_the_harness_has_one_place_in_the_order() -> None:
    rooms = {harness_room(path.removesuffix(".py").replace("/", ".")) for path in FILES if path.startswith("harness/")}
    placed = [room for row in ORDER for room in row]
    assert len(placed) == len(set(placed))
    assert rooms <= set(placed), f"give {rooms - set(placed)} a place in ORDER"


def test_the_drawing_of_the_layers_is_true() -> None:
    drawing = (ROOT / "docs" / "architecture.md").read_text().partition("│ harness")[2].partition("├")[0]
    rows = [set(line.strip(" │").split()) for line in drawing.splitlines()]
    assert [row for row in rows if row] == [*reversed(ORDER)]


def test_rooms_of_the_harness_import_only_those_below() -> None:
    place = {room: number for number, row in enumerate(ORDER) for room in row}
    wrong = set()
    for path in FILES:
        if not path.startswith("harness/"):
            continue
        own = harness_room(path.removesuffix(".py").replace("/", "."))
        for module in imports(path, late=True):
            other = harness_room(module)
            if top(module) == "harness" and other != own and place[other] >= place[own]:
                wrong.add(f"{path} imports {module}")
    assert not wrong


def test_there_are_no_circles_between_rooms() -> None:
    """Rooms: the packages of the harness, and every module of the others."""
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        arrows.setdefault(room_of(path), set()).update(
            room_of(file) for module in imports(path, late=True) for file in files_of(module)
        )
    in_circles = {room for room in arrows if room in reached(arrows, room)}
    assert not in_circles


def room_of(path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    return "/".join(parts[:2]) if parts[0] == "harness" else "/".join(parts)


def files_of(module: str) -> Iterator[str]:
    name = module.replace(".", "/")
    yield from (file for file in (f"{name}.py", f"{name}/__init__.py") if file in KNOWN)


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    """Every room that an arrow or several lead to from ``start``; arrows of a room to itself do not count."""
    seen: set[str] = set()
    waiting = [room for room in arrows[start] if room != start]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += arrows.get(current, set()) - {current}
    return seen


def test_modules_are_small_and_few_are_loose() -> None:
    loose = [path for path in FILES if path.count("/") == 1 and path.startswith("harness/") and "__" not in path]
    assert len(loose) <= LOOSE_MODULES, loose
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in FILES}
    assert not {path: count for path, count in lines.items() if count > LINES}


def test_loadgen_is_imported_in_two_places() -> None:
    found = {path for path in FILES if "mlperf_loadgen" in set(map(top, imports(path, late=True)))}
    # the pre-flight asks a process of its own what LoadGen it has, for LoadGen keeps state for each process
    assert {path for path in found if not path.startswith("harness/preflight/")} == LOADGEN


def test_heavy_libraries_are_imported_late_or_in_their_adapters() -> None:
    wrong = {
        path: heavy
        for path in FILES
        if (heavy := {top(m) for m in imports(path, late=False)} & HEAVY - ADAPTERS.get(path, set()))
    }
    assert not wrong


@pytest.mark.parametrize("path", sorted(p.relative_to(ROOT).as_posix() for g in QUICK for p in ROOT.glob(g)))
def test_what_must_be_quick_imports_no_adapter_either(path: str) -> None:
    """Whatever it imports, and whatever that imports."""
    seen, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for module in imports(current, late=False):
            name = module.replace(".", "/")
            parts = [f"{name}.py", f"{name}/__init__.py"]
            if "/" in name:
                parts.append(f"{name.rpartition('/')[0]}/__init__.py")
            waiting += [part for part in parts if part in KNOWN and part not in seen]
    assert not seen & ADAPTERS.keys()
