"""Real queries, played with their own arrivals, tell the pace of the steps to a few tenths of a percent."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tune.correction import History, correct
from harness.tune.past import history, settled
from harness.tune.playback import Player, arrivals, play
from sut.policies import Sample
from sut.record import SampleRecord
from sut.steps import StepTimes
from tests.harness.tune.machine import SIZES, Card

H100 = StepTimes(a_ms=4.8, c_us=31, p_us=13.6)
EVERYONE = (0, 1 << 30)


def lived(card: Player, *, rate: float = 48.0, seconds: float = 25.0, seed: int = 0, worker: int = 0) -> History:
    """What queries have met on ``card``."""
    count = int(rate * seconds)
    sizes = SIZES[np.random.default_rng(seed).integers(0, len(SIZES), count)]
    at = arrivals(rate, count=count, seed=seed)
    found = play(card, arrival_ms=at, lengths=sizes)
    first = at + found.ttft_ms
    return History(
        ids=np.arange(count),
        issue_ms=at,
        lengths=sizes.astype(np.int64),
        outputs=np.full(count, 128),
        worker=np.full(count, worker),
        first_ms=first,
        done_ms=first + 127 * found.tpot_ms,
    )


@pytest.mark.parametrize("pace", [0.93, 1.0, 1.02, 1.1])
def test_the_pace_of_a_card_from_twenty_seconds(pace: float) -> None:
    """The 99th percentile of so few queries would be off by several percent."""
    past = lived(Card(times=H100, noise=0.03, pace=pace))
    found = correct(Player(times=H100), past, judged=EVERYONE, source="probe 1", rate=48)
    assert found is not None
    assert found.pace == pytest.approx(pace, rel=0.005)
    assert found.error < 0.004
    assert found.queries == len(past.ids)


def test_each_worker_has_its_own_pace() -> None:
    parts = [lived(Card(times=H100, pace=pace), seed=w, worker=w) for w, pace in enumerate((1.0, 1.06))]
    names = History.__dataclass_fields__
    both = History(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    found = correct(Player(times=H100), both, judged=EVERYONE, source="probe 1", rate=96)
    assert found is not None
    assert found.paces["0"] == pytest.approx(1.0, rel=0.003)
    assert found.paces["1"] == pytest.approx(1.06, rel=0.003)
    assert found.pace == pytest.approx(1.03, rel=0.005)


def test_what_a_first_token_takes_longer_than_its_step_is_found() -> None:
    past = lived(Player(times=H100))
    late = History(**{**{n: getattr(past, n) for n in History.__dataclass_fields__}, "first_ms": past.first_ms + 12})
    late.done_ms[:] += 12
    found = correct(Player(times=H100), late, judged=EVERYONE, source="probe 1", rate=48)
    assert found is not None
    assert found.ttft_ms == pytest.approx(12, abs=1)


def test_a_handful_of_queries_tells_nothing() -> None:
    past = lived(Player(times=H100), seconds=0.3)
    assert correct(Player(times=H100), past, judged=EVERYONE, source="probe 1", rate=48) is None


def test_queries_on_their_way_are_load_and_not_judged() -> None:
    record = SampleRecord()
    for i in range(3):
        sample = Sample(i, i, 700, 1_000_000 * i, first_ns=2_000_000 + i, worker=0)
        record.add([sample], [bytes(512)], 3_000_000 + i)
    under_way = [Sample(2, 2, 700, 2_000_000, worker=0), Sample(7, 7, 900, 9_000_000, worker=0), Sample(8, 8, 900, 1)]
    past = history([record], under_way, output_tokens=128)
    assert past.ids.tolist() == [0, 1, 2, 7]  # once each, and none that nobody has yet
    assert past.issue_ms.tolist() == [0, 1, 2, 9]
    assert np.isnan(past.done_ms).tolist() == [False, False, False, True]
    assert past.outputs.tolist() == [128] * 4
    assert settled(past) == (0, 3)
