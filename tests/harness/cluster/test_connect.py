"""The connection to a Ray cluster, where there is no Ray."""

from __future__ import annotations

import sys

import pytest

from harness import cluster
from mlperf_llama_base.errors import EnvironmentFault


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault, match=r"a cluster needs Ray: pip install"):
        try:
            cluster.connect("auto")
        finally:
            cluster.disconnect()
