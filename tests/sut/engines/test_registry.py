"""What the registry says of an engine before it is loaded, where it finds engines, and that nothing compares names."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import config
from harness.campaign.state import Fingerprints
from mlperf_llama_base.errors import EnvironmentFault, UserError
from sut import engines
from sut.engines.base import Engine
from sut.engines.facts import EngineFacts, ModelUse
from sut.messages import EngineSettings

ROOT = Path(__file__).resolve().parents[3]


def settings(name: str, **args: Any) -> EngineSettings:
    return EngineSettings(name=name, model="", args=args)


def names_compared(path: Path) -> Iterator[str]:
    """Comparisons with an engine's name, alone or in a tuple, list or set."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare):
            continue
        for part in (node.left, *node.comparators):
            for value in ast.walk(part):
                if isinstance(value, ast.Constant) and value.value in engines.ENGINES:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


def test_nothing_compares_the_names_of_engines() -> None:
    files = [path for package in ("harness", "qsl", "sut") for path in (ROOT / package).rglob("*.py")]
    outside = [path for path in files if path.parent != ROOT / "sut" / "engines"]
    assert not [found for path in outside for found in names_compared(path)]


def test_the_search_for_comparisons_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "a.py").write_text('x = name == "vllm" or name not in ("null", "other")\n')
    assert len(list(names_compared(tmp_path / "a.py"))) == 2


def test_facts_are_there_without_the_engines_libraries() -> None:
    code = (
        "import sys; from sut import engines\n"
        "for name in engines.names(): engines.find(name)\n"
        "print([m for m in ('torch', 'vllm', 'transformers', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "model", "gpu"),
    [
        ("null", ModelUse.NONE, False),
        ("transformers", ModelUse.LOADED, True),
        ("vllm", ModelUse.LOADED, True),
        ("openai", ModelUse.SERVED, False),
    ],
)
def test_the_facts_of_our_engines(name: str, model: ModelUse, gpu: bool) -> None:
    facts = engines.find(name)
    assert (facts.model, facts.uses_gpu) == (model, gpu)
    module, _, cls = facts.engine.partition(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    assert f"class {cls}(Engine):" in source


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (settings("null", max_num_seq=4), "max_num_seq is not known to engine 'null'; did you mean 'max_num_seqs'?"),
        (settings("null", step_ms="abc"), "engine.args.step_ms: input should be a valid number"),
        (settings("null", fault="rise@3"), "engine.args.fault: expected NAME@N with NAME of raise, hang"),
        (settings("null", fault="raise"), "engine.args.fault: expected NAME@N"),
        (settings("transformers", max_batches=4), "is not known to engine 'transformers'; did you mean 'max_batch'?"),
        (settings("transformers", threads=0), "engine.args.threads: input should be greater than or equal to 1"),
        (settings("transformers", dtype="fp4"), "engine.args.dtype: input should be 'auto', 'float32'"),
        (settings("openai", url="http://a:1", retrys=4), "is not known to engine 'openai'; did you mean 'retries'?"),
        (settings("openai", url="http://a:1", retries="x"), "engine.args.retries: input should be a valid integer"),
        (settings("openai"), "needs engine.args.url"),
        (settings("nul"), "engine 'nul' is not known; did you mean 'null'?"),
        (settings("no.such.module:Engine"), "there is no module 'no'"),
        (settings("sut.engines.null:NulEngine"), "has no 'NulEngine'; did you mean 'NullEngine'?"),
        (settings("sut.engines.null:NullArguments"), "is neither a subclass of sut.engines.base.Engine nor"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_started(given: EngineSettings, text: str) -> None:
    with pytest.raises(UserError) as caught:
        engines.check(given)
    assert text in str(caught.value)


def test_more_gpus_than_an_engine_can_use() -> None:
    two = EngineSettings(name="transformers", model="", tensor_parallel=2)
    with pytest.raises(UserError, match="one device per worker"):
        engines.check(two)
    assert engines.check(EngineSettings(name="null", model="", tensor_parallel=2)) == {}


PLUGIN = """
import {library}
from sut.engines.base import Engine
from sut.engines.facts import Arguments, EngineFacts

class Mine(Engine):
    facts = EngineFacts(uses_gpu=False)
    def load(self): ...
    def submit(self, requests): ...
    def poll(self, timeout_s): return []
    outstanding = 0

LIGHT = EngineFacts(engine="{module}:Mine", packages=("no_such_package",))
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that is installed as a package with two entry points is."""
    module = f"plugin_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{module}.py").write_text(PLUGIN.format(library="json", module=module))
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    entries = f"mine = {module}:Mine\nlight = {module}:LIGHT\nnull = {module}:Mine\n"
    (info / "entry_points.txt").write_text(f"[{engines.GROUP}]\n{entries}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return module


def test_an_engine_of_an_installed_package(plugin: str) -> None:
    assert {"mine", "light"} <= set(engines.names())
    assert engines.find("mine").engine == f"{plugin}:Mine"
    assert isinstance(engines.create(settings("mine")), Engine)
    assert engines.find("null").engine == "sut.engines.null:NullEngine"  # nobody takes our names
    with pytest.raises(UserError, match="did you mean 'mine'"):
        engines.find("mien")
    with pytest.raises(EnvironmentFault, match="needs no_such_package"):
        engines.check_installed("light")
    with pytest.raises(UserError, match=r"engine\.args\.x is not known to engine 'mine' \(it takes none\)"):
        engines.check(settings("mine", x=1))


def test_a_campaign_notices_that_an_engine_from_outside_has_changed(plugin: str, tmp_path: Path) -> None:
    assert engines.foreign_module("null") is None
    assert engines.foreign_module("mine") == tmp_path / f"{plugin}.py"
    mine = config.build({"engine": {"name": "mine"}, "output": "x"})
    before = Fingerprints(code="ours").of(mine)["code"]
    with (tmp_path / f"{plugin}.py").open("a") as file:
        file.write("# changed\n")
    assert Fingerprints(code="ours").of(mine)["code"] != before
    assert Fingerprints(code="ours").of(config.build({"engine": {"name": "null"}, "output": "x"}))["code"] == "ours"


def test_an_engine_by_its_class(plugin: str) -> None:
    name = f"{plugin}:Mine"
    assert engines.find(name) == EngineFacts(engine=name, uses_gpu=False)
    assert type(engines.create(settings(name))).__name__ == "Mine"


def test_a_module_whose_library_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacking.py").write_text(PLUGIN.format(library="no_such_library", module="lacking"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentFault, match="needs no_such_library, which is not installed"):
        engines.find("lacking:Mine")
