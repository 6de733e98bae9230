"""Names of nodes where two call themselves the same."""

from __future__ import annotations

import pytest

pytest.importorskip("ray")
from harness.cluster.node import names_of

NODES = [{"NodeID": i, "NodeManagerAddress": f"10.0.0.{n}"} for n, i in enumerate("abc", 1)]


def test_each_has_a_name_of_its_own() -> None:
    assert names_of(NODES, {"a": "x", "b": "y", "c": "z"}) == {"a": "x", "b": "y", "c": "z"}
    assert names_of(NODES, {"a": "x", "b": "x", "c": "z"}) == {"a": "x-10.0.0.1", "b": "x-10.0.0.2", "c": "z"}
    assert names_of(NODES, {"a": "x", "b": "y"})["c"] == "10.0.0.3"  # it did not answer
