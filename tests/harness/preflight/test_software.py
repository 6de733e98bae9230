"""Installed packages and LoadGen's embedded settings."""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.inventory.gpu import GpuInventory
from harness.preflight import loadgen_build, software
from harness.preflight.base import Status
from tests.harness.preflight.fakes import gpu, make, node


@pytest.mark.parametrize(
    ("version", "status"), [("3.10.9", "fail"), ("3.11.2", "pass"), ("3.13.1", "pass"), ("3.14.0", "warn")]
)
def test_python(version: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: version)
    assert software.PythonVersion().run(make()).status == status


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Pretend that these versions are installed (underscores for hyphens; None: not installed) and need nothing."""
    good = {
        "torch": "2.13.0+cpu",
        "transformers": "5.24.0",
        "numpy": "2.4.6",
        "pydantic": "2.14.4",
        "msgspec": "0.22.0",
        "pyzmq": "27.3.0",
        "mlcommons-loadgen": "6.0.17",
    }
    table = good | {name.replace("_", "-"): version for name, version in versions.items()}
    monkeypatch.setattr(software, "version_of", table.get)
    monkeypatch.setattr(loadgen_build, "version_of", table.get)
    monkeypatch.setattr(metadata, "requires", lambda name: [])


@pytest.mark.parametrize(
    ("versions", "status", "text"),
    [
        ({}, "pass", "torch 2.13.0+cpu"),
        ({"torch": "2.5.1"}, "fail", "torch 2.5.1 is older than 2.11"),
        ({"transformers": None}, "fail", "transformers is not installed"),
        ({"transformers": "6.1.0"}, "warn", "newer than 5.24"),
        ({"vllm": "0.6.3"}, "fail", "vllm 0.6.3 is older"),
    ],
)
def test_packages(versions: dict[str, str | None], status: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, **versions)
    context = make()
    finding = software.Packages().run(context)
    assert finding.status == status
    assert text in finding.found
    assert context.facts["packages"]["numpy"] == "2.4.6"


def test_packages_that_do_not_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, torchvision="0.20.0")
    needs = {"torchvision": ["torch==2.5.0", "numpy", 'pillow; extra == "image"', "numpy>=99; sys_platform == 'none'"]}
    monkeypatch.setattr(metadata, "requires", lambda name: needs.get(name))
    finding = software.Packages().run(make())
    assert finding.status is Status.FAIL
    assert "torchvision 0.20.0 needs torch==2.5.0" in finding.found
    assert finding.advice == "pip uninstall torchvision"
    assert finding.details == ()


@pytest.mark.parametrize(
    ("built", "machine", "tree", "status"),
    [
        (None, GpuInventory(problem="none"), {}, "pass"),
        (None, node(gpu()), {}, "fail"),
        (None, node(gpu()), {"engine__device": "cpu"}, "pass"),
        ("12.8", node(gpu()), {}, "pass"),
        ("14.0", node(gpu()), {}, "fail"),
        (None, node(gpu()), {"engine__name": "null"}, "pass"),
    ],
)
def test_torchs_build_against_the_gpu(
    built: str | None, machine: GpuInventory, tree: dict[str, str], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "torch_cuda", lambda: built)
    assert software.TorchBuild().run(make(machine, **tree)).status == status


@pytest.mark.parametrize(
    ("line", "cuda"), [("cuda: Optional[str] = '12.8'", "12.8"), ("cuda: Optional[str] = None", None)]
)
def test_torchs_cuda_is_read_without_importing_it(
    line: str, cuda: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\nhip: Optional[str] = None\n")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert software.torch_cuda() == cuda


@pytest.mark.parametrize(
    ("version", "status"),
    [("6.0.17", "pass"), ("6.0.16", "pass"), ("6.0.15", "fail"), ("5.1.2", "fail"), (None, "fail")],
)
def test_loadgens_version(version: str | None, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, mlcommons_loadgen=version)
    assert loadgen_build.LoadgenVersion().run(make()).status == status


def test_the_installed_loadgen_is_unmodified() -> None:
    assert loadgen_build.LoadgenEmbedded().run(make()).status is Status.PASS


def test_each_modified_setting_is_found() -> None:
    for place, ((model, scenario), special) in enumerate(loadgen_build.PUBLISHED.items()):
        for name in (*loadgen_build.COMMON, *special):
            answers = [(0, {**loadgen_build.COMMON, **s}) for s in loadgen_build.PUBLISHED.values()]
            answers[place][1][name] = 12345
            finding = loadgen_build.compare_answers(answers)
            assert finding.status is Status.FAIL
            assert f"{model} {scenario}: {name} is 12345" in finding.found


def test_a_loadgen_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadgen_build, "PROBE", "import no_such_module")
    finding = loadgen_build.LoadgenEmbedded().run(make())
    assert (finding.status, "no_such_module" in finding.found) == (Status.FAIL, True)
    answers = [(-2, dict(loadgen_build.COMMON)) for _ in loadgen_build.PUBLISHED]
    assert "FromConfig returned -2" in loadgen_build.compare_answers(answers).found
