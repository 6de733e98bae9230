"""Groups of options that become a command line again, for a command that is started by another."""

from __future__ import annotations

import pytest

from harness.cli.benchmark import CampaignSetup
from harness.cli.cluster_plans import ClusterSetup
from harness.cli.options import RunSetup, Setup


@pytest.mark.parametrize("group", [Setup, RunSetup, CampaignSetup, ClusterSetup])
def test_only_what_was_given_is_typed_again(group: type[Setup]) -> None:
    assert group().arguments() == [] and group().flags() == {}
    given = group(engine="null", workers=2, settings=["a=1", "b=2"])
    assert given.arguments() == ["--engine", "null", "--workers", "2", "--set", "a=1", "--set", "b=2"]
    assert given.flags() == {"engine": {"name": "null"}, "workers": {"count": 2}}
