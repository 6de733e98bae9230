"""Which client is installed: found and looked at, refused with the commands that install the right one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.endpoints import client
from harness.endpoints.client import find_client, require
from harness.endpoints.client_config import Target, client_settings, point_config
from harness.endpoints.plan import Offline, make_plan
from harness.rounds import ENDPOINTS
from mlperf_llama_base.errors import EnvironmentFault
from tests.harness.endpoints.conftest import make_client

INSTALL = f"checkout {ENDPOINTS.client_commit}"


def test_absent_it_says_how_to_install_the_pinned_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(client.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=INSTALL):
        find_client(None)
    with pytest.raises(EnvironmentFault, match="no executable file"):
        find_client(tmp_path / "nothing")


def test_it_is_found_by_option_variable_and_path(client_env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_client(client_env)
    assert found == find_client(client_env / "bin" / client.NAME)
    assert found.checkout == client_env.parent / "endpoints" and not found.changes
    monkeypatch.setenv(client.VARIABLE, str(client_env))
    assert find_client(None) == found
    monkeypatch.delenv(client.VARIABLE)
    monkeypatch.setenv("PATH", f"{client_env / 'bin'}:/usr/bin:/bin")
    assert find_client(None) == found


def test_another_version_is_refused(client_env: Path) -> None:
    found = find_client(client_env)
    with pytest.raises(EnvironmentFault, match=rf"is at {found.commit}, not at {ENDPOINTS.client_commit}.*{INSTALL}"):
        require(found, accuracy=False)


@pytest.mark.usefixtures("pinned")
def test_the_pinned_one_is_taken(client_env: Path) -> None:
    require(find_client(client_env), accuracy=True)


def test_a_changed_one_is_refused(tmp_path: Path) -> None:
    env = make_client(tmp_path)
    package = tmp_path / "endpoints" / "src" / "inference_endpoint"
    (package / "__init__.py").write_text("changed = True\n")
    (package / "more.py").write_text("")
    found = find_client(env)
    assert len(found.changes) == 2
    with pytest.raises(EnvironmentFault, match=r"has changes:  ?M src/inference_endpoint/__init__.py, \?\? src"):
        require(found, accuracy=False)


def test_one_that_does_not_lie_in_a_checkout_does_not_say_what_it_is(tmp_path: Path) -> None:
    env = make_client(tmp_path)
    shutil.rmtree(tmp_path / "endpoints" / ".git")
    with pytest.raises(EnvironmentFault, match="was not installed from a git checkout"):
        require(find_client(env), accuracy=False)
    shutil.rmtree(tmp_path / "endpoints" / "src")
    with pytest.raises(EnvironmentFault, match="has no package inference_endpoint"):
        find_client(env)
    (env / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(EnvironmentFault, match="cannot be asked"):
        find_client(env)


@pytest.mark.usefixtures("pinned")
def test_one_that_cannot_score_is_refused_with_what_it_lacks(client_env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "EXTRAS", ("nltk", "surely_not_installed"))
    found = find_client(client_env)
    require(found, accuracy=False)
    with pytest.raises(EnvironmentFault, match="pip install surely_not_installed"):
        require(found, accuracy=True)


def config_of(offline: Offline, number: int, tmp_path: Path) -> dict[str, object]:
    point = make_plan(c_max=4096, offline=offline)[number]
    target = Target(url="http://127.0.0.1:8000", tokenizer="/t", api_key="${KEY}")
    seeds = ENDPOINTS.seed_sets[0]
    made = point_config(point, samples=6 * 13368, target=target, seeds=seeds, report_dir=tmp_path)
    made.write(tmp_path / "client.yaml")
    found = yaml.safe_load((tmp_path / "client.yaml").read_text())
    assert isinstance(found, dict)
    return found


def test_the_yaml_says_everything_that_decides(tmp_path: Path) -> None:
    found = config_of(Offline.ELECTED, -1, tmp_path)
    assert found["type"] == "online"
    kinds = [entry["type"] for entry in found["datasets"]]  # type: ignore[attr-defined]
    assert kinds == ["performance", "accuracy"]  # the builder takes the kind of a run from the first
    settings: dict[str, dict[str, object]] = found["settings"]  # type: ignore[assignment]
    assert settings["load_pattern"] == {"type": "concurrency", "target_concurrency": 4096}
    assert settings["runtime"] == {
        "n_samples_to_issue": 80208,
        "scheduler_random_seed": 10487924139932647040,
        "dataloader_random_seed": 586478644936801402,
        "min_duration_ms": 0,
        "max_duration_ms": 0,
    }
    params: dict[str, object] = found["model_params"]  # type: ignore[assignment]
    assert (params["temperature"], params["max_new_tokens"], params["streaming"]) == (0.0, 128, "on")
    assert params["seed"] == 9315206023656308754


def test_a_dedicated_offline_run_issues_everything_at_once_without_streams(tmp_path: Path) -> None:
    found = config_of(Offline.DEDICATED, -1, tmp_path)
    assert found["type"] == "offline"
    settings: dict[str, object] = found["settings"]  # type: ignore[assignment]
    assert settings["load_pattern"] == {"type": "max_throughput"}


@pytest.mark.parametrize("concurrency", [1, 33, 512, 4096, 13368])
def test_no_request_waits_inside_the_client(concurrency: int) -> None:
    found = client_settings(concurrency)
    assert found.max_connections >= 1.25 * concurrency and 1 <= found.num_workers <= 8


def official() -> Path | None:
    """The real client at the pinned commit, where it is installed."""
    try:
        found = find_client(None)
        require(found, accuracy=True)
    except EnvironmentFault:
        return None
    return found.executable


@pytest.mark.parametrize("offline", Offline)
def test_the_official_client_takes_our_yaml(offline: Offline, tmp_path: Path) -> None:
    executable = official()
    if executable is None:
        pytest.skip(f"MLCommons' client is not installed ({client.VARIABLE} may name it)")
    config_of(offline, -1, tmp_path)
    command = [str(executable), "validate-yaml", "-c", str(tmp_path / "client.yaml")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"KEY": "k", "PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
