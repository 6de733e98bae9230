"""The environment is made once and then reused. A made-up Python stands for the real one: nothing is downloaded."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.scripts.conftest import ROOT, executable, run

# The index of CPU builds answers if INDEX=0; pip fails if PIP=1
PYTHON = r"""#!/bin/bash
echo "$*" >>"$CALLS"
case "$*" in
    "-m venv"*)
        mkdir -p "${@: -1}/bin"
        cp "$0" "${@: -1}/bin/python"
        printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >"${@: -1}/bin/mlperf-llama"
        chmod +x "${@: -1}/bin/mlperf-llama" ;;
    "-m pip --version") ;;
    "-m pip"*) sleep 0.2; [ "${PIP:-0}" = 0 ] || echo "no such package"; exit "${PIP:-0}" ;;
    "-c import torch"*) exit 1 ;;
    *urllib*) exit "${INDEX:-1}" ;;
    -V) echo "Python 3.12.0" ;;
esac
"""


class Project:
    """A copy of the scripts and of what decides the installation, with a made-up Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = root / "calls"
        shutil.copytree(ROOT / "scripts", root / "scripts")
        for name in ("setup.py", "pyproject.toml", *(path.name for path in ROOT.glob("constraints*.txt"))):
            shutil.copy(ROOT / name, root)
        self.python = executable(root / "fake" / "python", PYTHON)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        script = self.root / "scripts" / "summarize_results.sh"
        given = {"PYTHON": str(self.python), "CALLS": str(self.calls), "TORCH": "cpu"} | environment
        return run(script, *(arguments or ("x",)), cwd=self.root, **given)

    def installs(self) -> list[str]:
        """The arguments of each call of pip install since the last time asked."""
        found = [line.split("install ", 1)[1] for line in self.calls.read_text().splitlines() if " install " in line]
        self.calls.write_text("")
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a project")


def test_installs_once(project: Project) -> None:
    done = project.run("runs/x")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["summarize", "runs/x"]
    torch, itself = project.installs()
    assert torch.endswith(" torch==2.13.0")
    assert itself.endswith(f"--constraint {project.root}/constraints.txt -e {project.root}")
    assert project.run().returncode == 0
    assert project.installs() == []


def test_torch_comes_from_its_own_index_if_that_answers(project: Project) -> None:
    assert project.run(INDEX="0").returncode == 0
    assert "--index-url https://download.pytorch.org/whl/cpu torch==2.13.0" in project.installs()[0]


def test_the_versions_fit_the_environment(project: Project) -> None:
    assert project.run(TORCH="cuda", EXTRAS="vllm").returncode == 0
    assert f"--constraint {project.root}/constraints-vllm.txt " in project.installs()[0]
    assert project.run(TORCH="cuda", CONSTRAINTS="").returncode == 0
    assert "--constraint" not in project.installs()[0]


@pytest.mark.parametrize("name", ["setup.py", "constraints.txt"])
def test_changed_requirements_install_again(project: Project, name: str) -> None:
    project.run(EXTRAS="report")
    project.installs()
    with (project.root / name).open("a") as file:
        file.write("# changed\n")
    assert project.run().returncode == 0
    assert project.installs()[-1].endswith("[report]")


def test_with_a_gpu_torch_is_left_to_the_requirements(project: Project) -> None:
    assert project.run(TORCH="cuda").returncode == 0
    assert len(project.installs()) == 1


def test_extras_add_up(project: Project) -> None:
    project.run()
    project.installs()
    assert project.run(EXTRAS="ray,report").returncode == 0
    assert project.installs()[-1].endswith("[ray,report]")
    assert project.run(EXTRAS="ray").returncode == 0
    assert project.run().returncode == 0
    assert project.installs() == []


def test_a_failure_is_told_and_not_remembered(project: Project) -> None:
    done = project.run(PIP="1")
    assert done.returncode == 3
    assert "no such package" in done.stderr
    assert "install.venv.log" in done.stderr
    assert done.stdout == ""
    project.installs()
    assert project.run().returncode == 0
    assert len(project.installs()) == 2


def test_an_environment_whose_python_is_gone_is_made_anew(project: Project) -> None:
    project.run()
    project.installs()
    (project.root / ".venv" / "bin" / "python").unlink()
    assert project.run().returncode == 0
    assert len(project.installs()) == 2


def test_two_at_once_install_once(project: Project) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: project.run(), range(2)))
    assert [d.returncode for d in done] == [0, 0]
    assert len(project.installs()) == 2


@pytest.mark.parametrize(
    ("environment", "code", "message"),
    [
        ({"PYTHON": "/nowhere/python"}, 2, "PYTHON=/nowhere/python"),
        ({"TORCH": "rocm"}, 2, "TORCH=rocm"),
        ({"CONSTRAINTS": "/nowhere/versions.txt"}, 2, "CONSTRAINTS=/nowhere/versions.txt"),
    ],
)
def test_wrong_variables(project: Project, environment: dict[str, str], code: int, message: str) -> None:
    done = project.run(**environment)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stdout == ""
