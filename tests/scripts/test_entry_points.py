"""The scripts are thin: what they are given reaches mlperf-llama, from any directory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.command import settings
from tests.helpers.rows import row, write_rows
from tests.scripts.conftest import ROOT, SCRIPTS, run

RUNS = {
    "run_offline.sh": ("offline", "performance"),
    "run_server.sh": ("server", "performance"),
    "run_interactive.sh": ("interactive", "performance"),
    "run_singlestream.sh": ("singlestream", "performance"),
    "run_accuracy.sh": ("offline", "accuracy"),
}
SOURCED = {"common.sh", "scenario.sh"}
OTHERS = sorted({path.name for path in SCRIPTS.glob("*.sh")} - {*RUNS, *SOURCED})


def options(output: str) -> dict[str, str]:
    """The options of a recorded call; of one given twice, the last, as the command line takes it."""
    words = output.splitlines()
    return {word: words[i + 1] for i, word in enumerate(words[:-1]) if word.startswith("--")}


@pytest.mark.parametrize("script", sorted([*SCRIPTS.glob("*.sh"), ROOT / ".ci" / "run"]), ids=lambda p: p.name)
def test_syntax(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    assert "set -euo pipefail" in script.read_text()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck() -> None:
    done = subprocess.run(
        ["shellcheck", "-x", *sorted(SCRIPTS.glob("*.sh")), ROOT / "deploy" / "slurm" / "cluster.sbatch", ".ci/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", [*RUNS, *OTHERS])
def test_help_is_the_comment_at_the_top(name: str) -> None:
    done = run(SCRIPTS / name, "--help")
    assert done.returncode == 0
    assert f"Usage: scripts/{name}" in done.stdout
    assert "source" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", RUNS)
def test_help_names_every_variable(name: str) -> None:
    documented = set(re.findall(r"^  ([A-Z_]+) ", run(SCRIPTS / name, "--help").stdout, re.MULTILINE))
    read = set(re.findall(r"\$\{([A-Z_]+):[-+]", (SCRIPTS / "scenario.sh").read_text()))
    assert {"MODEL", "TARGET_QPS", "OUTPUT"} < read
    assert documented == read | ({"SCENARIO"} if "accuracy" in name else set())


@pytest.mark.parametrize("name", ["run_offline.sh", "summarize_results.sh"])
def test_works_through_a_symlink(name: str, recorder: Path, tmp_path: Path) -> None:
    link = tmp_path / "somewhere" / "mine"
    link.parent.mkdir()
    link.symlink_to(SCRIPTS / name)
    (tmp_path / "second").symlink_to(Path("somewhere") / "mine")
    done = run(tmp_path / "second", "a", cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "a"
    assert "Usage: scripts/" in run(tmp_path / "second", "--help").stdout


@pytest.mark.parametrize("name", RUNS)
def test_variables_become_options(name: str, recorder: Path, tmp_path: Path) -> None:
    given = {
        "PROFILE": "h100 one",
        "MODEL": "some/model",
        "DATASET": "a b.json",
        "ENGINE": "null",
        "WORKERS": "3",
        "TARGET_QPS": "7.5",
        "TARGET_LATENCY_MS": "90",
        "USER_CONF": "user.conf",
        "OUTPUT": "out dir",
    }
    done = run(SCRIPTS / name, "--overwrite", cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder), **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "run"
    assert done.stdout.splitlines()[-1] == "--overwrite"
    scenario, mode = RUNS[name]
    assert options(done.stdout) == {
        "--scenario": scenario,
        "--mode": mode,
        "--profile": "h100 one",
        "--model": "some/model",
        "--dataset": "a b.json",
        "--engine": "null",
        "--workers": "3",
        "--target-qps": "7.5",
        "--target-latency-ms": "90",
        "--user-conf": "user.conf",
        "--output": "out dir",
    }


def test_extra_arguments_pass_through_and_win(recorder: Path, tmp_path: Path) -> None:
    extra = ["--output", "there", "--set", "engine.args={a: 1, b: x y}"]
    done = run(SCRIPTS / "run_server.sh", *extra, cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder), OUTPUT="here")
    assert done.stdout.splitlines()[-4:] == extra
    assert options(done.stdout)["--output"] == "there"


def test_without_variables_the_command_chooses(recorder: Path, tmp_path: Path) -> None:
    done = run(SCRIPTS / "run_offline.sh", cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder))
    got = options(done.stdout)
    assert not {"--profile", "--model", "--dataset", "--engine"} & set(got)  # what that means, the command decides
    assert Path(got["--output"]).parent == ROOT / "runs"


def test_accuracy_takes_the_scenario(recorder: Path, tmp_path: Path) -> None:
    done = run(SCRIPTS / "run_accuracy.sh", cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder), SCENARIO="server")
    assert options(done.stdout)["--scenario"] == "server"


@pytest.mark.parametrize(
    ("name", "command"), [("score_accuracy.sh", "accuracy"), ("summarize_results.sh", "summarize")]
)
def test_post_processing(name: str, command: str, recorder: Path, tmp_path: Path) -> None:
    done = run(SCRIPTS / name, "a dir", "b", cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder))
    assert done.stdout.splitlines() == [command, "a dir", "b"]
    done = run(SCRIPTS / name, cwd=tmp_path, MLPERF_LLAMA_VENV=str(recorder))
    assert done.returncode == 2
    assert "RUN_DIR" in done.stderr


def test_environment_that_is_none(tmp_path: Path) -> None:
    done = run(SCRIPTS / "run_offline.sh", cwd=tmp_path, MLPERF_LLAMA_VENV=str(tmp_path))
    assert done.returncode == 3
    assert "MLPERF_LLAMA_VENV" in done.stderr


def test_a_run_from_another_directory(checkout: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "data.json", (row([1 + i, 2, 3], article="text", summary="text") for i in range(8)))
    smoke = [
        *settings(
            "loadgen.min_duration_ms=1",
            "loadgen.min_query_count=8",
        ),
        "--skip-preflight",
        "--set",
        "engine.args.step_ms=1",
    ]  # an answer takes 128 steps
    done = run(
        SCRIPTS / "run_offline.sh",
        *smoke,
        cwd=tmp_path,
        MLPERF_LLAMA_VENV=str(checkout),
        ENGINE="null",
        DATASET="data.json",
        OUTPUT="out",
        TARGET_QPS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["valid"] is True
    assert result["samples"]["completed"] >= 8
    assert result["submittable"] is False
    done = run(SCRIPTS / "summarize_results.sh", "out", cwd=tmp_path, MLPERF_LLAMA_VENV=str(checkout))
    assert done.returncode == 0, done.stderr
