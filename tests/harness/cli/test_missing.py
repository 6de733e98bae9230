"""What is not installed is named with the line that installs it, and what needs less works without."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from harness.cli import missing
from tests.helpers.rows import rows, write_rows
from tests.test_packaging import ROOT, setup_arguments

ABSENT = sorted({*missing.BASE, *missing.EXTRA} - {"jinja2", "pyarrow"})
LIGHT = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from importlib import util
found = util.find_spec
util.find_spec = lambda name, package=None: None if name.partition(".")[0] in {ABSENT!r} else found(name, package)
sys.argv[0] = "mlperf-llama"
from harness.cli import main
main()
"""


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command where nothing is installed that requirements-light.txt leaves out."""
    return subprocess.run(
        [sys.executable, "-c", LIGHT, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (("run", "--engine", "null"), "mlcommons-loadgen"),
        (("quickstart",), "mlcommons-loadgen"),
        (("tune", "--scenario", "server", "--engine", "null", "--output", "x"), "mlcommons-loadgen"),
        (("benchmark", "datacenter", "--engine", "null", "--output", "x"), "mlcommons-loadgen"),
        (("scaling", "--engine", "null", "--output", "x"), "mlcommons-loadgen"),
        (("bench", "overhead", "--output", "x"), "mlcommons-loadgen"),
    ],
)
def test_what_is_missing_is_named(arguments: tuple[str, ...], package: str) -> None:
    done = light(*arguments)
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"needs {package}, not installed here: pip install ." in line


def test_data_prepare_names_transformers(tmp_path: Path) -> None:
    source = ROOT / "qsl" / "samples" / "articles.jsonl"
    done = light("data", "prepare", "--source", source, "--tokenizer", tmp_path, "--output", tmp_path / "x.json")
    assert done.returncode in (2, 3) and "internal error" not in done.stderr, done.stderr


def test_the_light_commands_work(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "x.json", rows(5))
    for arguments in (
        ("--help",),
        ("run", "--help"),
        ("data", "inspect", data),
        ("data", "synthesize", "--count", 3, "--output", tmp_path / "y.parquet"),
        ("bench", "simulate", "--nodes", 1, "--seconds", 1),
        ("bench", "simulate", "--nodes", 1, "--seconds", 1, "--processes", 2),
    ):
        done = light(*arguments)
        assert done.returncode == 0, done.stderr


def test_an_extra_is_named() -> None:
    known = setup_arguments()["extras_require"]
    for module, extra in missing.EXTRA.items():
        assert extra in known
        assert f"pip install '.[{extra}]'" in str(missing.fault(f"{module}.part", "x"))
    assert missing.fault("somebody_elses", "x") is None


def test_the_light_list_is_a_part_of_the_whole() -> None:
    arguments = setup_arguments()
    whole = {str(Requirement(r)) for r in [*arguments["install_requires"], *arguments["extras_require"]["all"]]}
    lines = (ROOT / "requirements-light.txt").read_text().splitlines()
    light = {str(Requirement(line)) for line in lines if not line.startswith("#")}
    assert light <= whole, light - whole


def test_another_processor_is_told_before_anything_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(SystemExit, match=r"no wheel for \w+ on aarch64.*requirements-light.txt"):
        setup_arguments()
    monkeypatch.setenv("MLPERF_LLAMA_LIGHT", "1")
    assert setup_arguments()["version"]
