"""What this machine is called."""

from __future__ import annotations

import platform

import pytest

from mlperf_llama_base.node import IN_KUBERNETES, KUBERNETES_NODE, NODE_VARIABLE, name_this_node, node_name


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (NODE_VARIABLE, IN_KUBERNETES, *KUBERNETES_NODE):
        monkeypatch.delenv(name, raising=False)


def test_the_given_name_comes_before_kubernetes_and_that_before_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert node_name() == platform.node()
    monkeypatch.setenv("NODE_NAME", "worker-7")  # outside a pod that may be anything
    assert node_name() == platform.node()
    monkeypatch.setenv(IN_KUBERNETES, "10.0.0.1")
    assert node_name() == "worker-7"
    monkeypatch.setenv(NODE_VARIABLE, "rack-3")
    assert node_name() == "rack-3"
    name_this_node("rack-4")
    assert node_name() == "rack-4"
