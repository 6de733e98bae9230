"""Whatever lies in a tree that somebody sent: findings, or one line, never "internal error"."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli import INTERNAL
from tests.helpers.damage import DAMAGES, EXAMPLES, said, spoil


@pytest.mark.timeout(3600 if EXAMPLES else 240)
@settings(max_examples=EXAMPLES or 8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_a_damaged_tree(both: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    tree = tmp_path_factory.mktemp("copy") / "tree"
    shutil.copytree(both / "tree", tree)
    inside = sorted(path.relative_to(tree) for path in tree.rglob("*"))  # directories, too
    path, damage = data.draw(st.sampled_from(inside)), data.draw(st.sampled_from(DAMAGES))
    spoil(tree / path, damage)
    message, code = said("submission", "check", tree, "--backup", both / "backup", "--json")
    assert INTERNAL not in message, (path, damage, message)
    assert "\n" not in message, (path, damage, message)
    assert code in range(3)
    shutil.rmtree(tree.parent)


def test_a_name_that_is_no_text(both: Path, tmp_path: Path) -> None:
    shutil.copytree(both / "tree", tmp_path / "tree")
    (tmp_path / "tree" / "closed" / "ACME" / "results" / "\x1b[2J\udcff").mkdir()
    for options in ((), ("--json",)):
        message, code = said("submission", "check", tmp_path / "tree", *options)
        assert (message, code) == ("", 1)
