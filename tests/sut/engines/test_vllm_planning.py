"""Which prompts a step reads, without vLLM."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pytest

from sut.engines.vllm_planning import late_last, padding, warming_up, whole_graph


@dataclass
class Waiting:
    arrival_time: float
    num_preemptions: int = 0


def test_prompts_that_are_late_wait_until_no_other_does() -> None:
    queue = deque(Waiting(t) for t in (1.0, 2.0, 5.0, 6.0))
    late_last(queue, before=3.0)
    assert [r.arrival_time for r in queue] == [5.0, 6.0, 1.0, 2.0]
    queue.append(Waiting(7.0))
    late_last(queue, before=5.5)
    assert [r.arrival_time for r in queue] == [6.0, 7.0, 1.0, 2.0, 5.0]  # whoever is late next does not overtake them
    late_last(queue, before=9.0)
    assert [r.arrival_time for r in queue] == [1.0, 2.0, 5.0, 6.0, 7.0]


def test_the_order_stays_where_all_are_late_or_none() -> None:
    for before in (0.0, 9.0):
        queue = deque(Waiting(t) for t in (1.0, 2.0))
        late_last(queue, before=before)
        assert [r.arrival_time for r in queue] == [1.0, 2.0]


def test_a_request_that_has_begun_to_answer_is_not_late() -> None:
    queue = deque([Waiting(1.0, num_preemptions=1), Waiting(2.0), Waiting(5.0)])
    late_last(queue, before=3.0)
    assert [r.arrival_time for r in queue] == [1.0, 5.0, 2.0]


@pytest.mark.parametrize(
    ("tokens", "fits"), [(1, 1), (63, 8), (64, 64), (127, 64), (128, 128), (129, 129), (4000, 4000)]
)
def test_a_held_step_fills_a_graph(tokens: int, fits: int) -> None:
    assert whole_graph(tokens, [1, 8, 64, 128]) == fits
    assert whole_graph(tokens, []) == tokens


@pytest.mark.parametrize(("tokens", "more"), [(1, 0), (9, 55), (64, 0), (65, 63), (129, 0)])
def test_a_step_is_padded_to_the_next_graph(tokens: int, more: int) -> None:
    assert padding(tokens, [1, 8, 64, 128]) == more
    assert padding(tokens, []) == 0


def test_warm_up_is_told_by_its_ids() -> None:
    assert warming_up({"-1": 16, "-2": 1})
    assert not warming_up({"12": 1})
