"""Many links to one process that stands in for their workers: every sample comes back over the real sockets."""

from __future__ import annotations

from harness.bench import shares
from harness.bench.links import measure


def test_every_sample_comes_back_over_many_links() -> None:
    cost = measure(links=20, answers=3, samples=2000)
    assert (cost.links, cost.samples) == (20, 2000)
    assert cost.hub_us > 0 and cost.other_us > 0 and cost.samples_per_second > 0


def test_every_sample_comes_back_over_dispatching_processes() -> None:
    cost = shares.measure(processes=2, links=20, answers=3, samples=4000)
    assert (cost.processes, cost.links, cost.samples) == (2, 20, 4000)
    assert 0 < cost.front_us < cost.loadgen_us and 0 < cost.hub_us < cost.share_us
    assert cost.samples_per_second > 0 and "2 processes" in shares.line(cost)
