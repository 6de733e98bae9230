"""The container's file, read without a container: what is pinned, in which order, and as whom it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.inventory import system
from tests.test_packaging import setup_arguments

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy" / "Containerfile"
TEXT = re.sub(r"(?m)^#.*\n", "", FILE.read_text()).replace("\\\n", " ")
STEPS = [line.partition(" ")[::2] for line in TEXT.splitlines() if line.strip()]


def copied() -> list[list[str]]:
    return [words.split() for name, words in STEPS if name == "COPY"]


def test_the_base_is_pinned_to_a_release() -> None:
    (base,) = (words for name, words in STEPS if name == "ARG" and words.startswith("BASE="))
    assert re.search(r":3\.1[123]\.\d+-", base), base


def test_the_dependencies_come_before_the_code_and_are_the_same(tmp_path: Path) -> None:
    """What is copied first is all that setup.py needs to say what must be installed."""
    *first, everything = copied()
    assert everything == [".", "."]
    for *sources, target in first:
        for source in sources:
            (tmp_path / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, tmp_path / target)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info"], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "mlperf_llama.egg-info" / "requires.txt").read_text()
    wanted = setup_arguments()
    for requirement in [*wanted["install_requires"], *wanted["extras_require"]["all"]]:
        assert requirement in said
    assert all((tmp_path / name).is_file() for name in re.findall(r"constraints[\w-]*\.txt", TEXT))


def test_the_extras_are_there_and_all_of_them() -> None:
    extras = set(re.findall(r'"\.\[([\w,]+)\]"', TEXT))
    known = setup_arguments()["extras_require"]
    assert extras == {"all", "all,vllm"} and {"all", "vllm"} <= set(known)


def test_it_runs_the_command_as_an_ordinary_user() -> None:
    last = dict(STEPS)
    assert last["USER"] == "1000:1000" and last["ENTRYPOINT"] == '["mlperf-llama"]'
    places = [name for name, _ in STEPS]
    assert places.index("USER") > max(i for i, name in enumerate(places) if name in ("RUN", "COPY"))


def test_the_revision_that_is_baked_in_is_the_one_that_results_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "ROOT", tmp_path)
    assert f"ENV {system.REVISION_VARIABLE}=${{REVISION}}" in TEXT
    monkeypatch.setenv(system.REVISION_VARIABLE, "")
    assert system.git_revision() is None
    monkeypatch.setenv(system.REVISION_VARIABLE, "0123abc")
    assert system.git_revision() == "0123abc"
