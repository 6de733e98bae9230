"""Many links to one process that stands in for their workers: every sample comes back over the real sockets."""

from __future__ import annotations

from harness.bench.links import measure


def test_every_sample_comes_back_over_many_links() -> None:
    cost = measure(links=20, answers=3, samples=2000)
    assert (cost.links, cost.samples) == (20, 2000)
    assert cost.hub_us > 0 and cost.other_us > 0 and cost.samples_per_second > 0
