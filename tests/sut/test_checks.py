"""What is wrong with an answer is found among many as it is alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sut.checks import examine

EOS = 9


def ids(*numbers: int) -> bytes:
    return np.array(numbers, "<i4").tobytes()


KINDS = {
    "": [ids(5, EOS), ids(5, 6, EOS), ids(*[5] * 8)],
    "empty": [b"", b"abc", ids(5, 6)[:-1]],
    "out_of_vocabulary": [ids(100, EOS), ids(5, -1, EOS), ids(100)],
    "too_short": [ids(EOS), ids(5)],
    "too_long": [ids(*[5] * 9), ids(*[5] * 8, EOS)],
    "cut_short": [ids(5, 6)],
    "extra_eos": [ids(5, EOS, EOS), ids(*[5] * 6, EOS, EOS)],
}


def found(answers: list[bytes]) -> list[str] | None:
    return examine(answers, vocab_size=100, max_new_tokens=8, eos_token_ids={EOS})


@pytest.mark.parametrize("kind", KINDS)
def test_alone(kind: str) -> None:
    for answer in KINDS[kind]:
        assert found([answer]) == ([kind] if kind else None)


@pytest.mark.parametrize("kinds", [[k for k in KINDS if k != "empty"], list(KINDS)])
def test_among_others(kinds: list[str]) -> None:
    """Neighbours lie side by side in one array: the last of one is before the first of the next."""
    chance = random.Random(0)
    for _ in range(200):
        expected = chance.choices(kinds, k=chance.randrange(1, 12))
        answers = [chance.choice(KINDS[kind]) for kind in expected]
        assert found(answers) == (expected if any(expected) else None)


def test_what_is_not_known_is_not_examined() -> None:
    answers = [ids(5, 6), ids(10**6, 7), ids(EOS, EOS)]
    assert examine(answers, vocab_size=None, max_new_tokens=8, eos_token_ids=()) is None
