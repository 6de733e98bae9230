"""docs/reference/ is what the code says, and the code says something about every key and option."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from harness import config
from harness.cli import reference
from harness.config import tree

AGAIN = "run: python -m harness.cli.reference"


def test_the_files_are_as_the_code_is() -> None:
    for name, text in reference.pages().items():
        assert (reference.FOLDER / name).read_text() == text, AGAIN


def test_every_key_is_there() -> None:
    text = reference.configuration()
    assert all(f"| `{key}` |" in text for key in config.all_keys())
    assert "| `workers.heartbeat_s` | number | 1 | s | ≥ 0.01, ≤ 60 |" in text
    assert "| `scenario` | `offline`, `server`, `interactive`, `singlestream` | `offline` |" in text


def test_the_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference.main(tmp_path / "new")
    names = ["commands.md", "configuration.md", "data.md"]
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == names
    assert len(capsys.readouterr().out.splitlines()) == len(names)


def test_a_key_without_a_description_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undescribed(tree.RunConfig):
        colour: str = Field("red")

    monkeypatch.setattr("harness.config.sources.RunConfig", Undescribed)
    with pytest.raises(ValueError, match="configuration key colour has no description"):
        reference.configuration()


def test_an_option_without_help_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(colour: str = "red") -> None:
        """Do something."""

    monkeypatch.setattr("harness.cli.watch.watch", silent)
    with pytest.raises(ValueError, match="mlperf-llama watch: `--colour` has no help text"):
        reference.commands()
