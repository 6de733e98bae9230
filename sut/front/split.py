"""How many of the waiting samples each share gets."""

from __future__ import annotations

from collections.abc import Sequence

SPARE = (64, 2048)  # samples that a share has beyond what its workers may hold, least and most
AT_ONCE = 4096  # given in a message: nobody waits until another is full


def portions(
    waiting: int, held: Sequence[int], rooms: Sequence[int], rates: Sequence[float], *, turn: int
) -> list[int]:
    """What each share is to be given now.

    ``rooms``: what its workers may hold, 0: it has none; ``rates``: samples/s for each of those, 0: not known. One that
    has enough until a later turn gets nothing: a message costs more than a sample.
    """
    spare = [max(SPARE[0], min(room // 4, SPARE[1])) if room else 0 for room in rooms]
    known = [rate for rate in rates if rate]
    usual = sum(known) / len(known) if known else 1.0
    weights = [room * (rate or usual) for room, rate in zip(rooms, rates, strict=True)]
    most = [room + more for room, more in zip(rooms, spare, strict=True)]
    given = split(waiting, held, weights, most, turn=turn)
    return [min(number, AT_ONCE) if held[i] <= rooms[i] + spare[i] // 2 else 0 for i, number in enumerate(given)]


def split(waiting: int, held: Sequence[int], weights: Sequence[float], most: Sequence[int], *, turn: int) -> list[int]:
    """Level what the shares hold, each in proportion to its weight, as far as ``waiting`` samples reach.

    ``held``: what each has now; ``most``: what it may have; a weight of 0 gets nothing. ``turn``: grows with each call,
    so that where all are equal it is not always the same one that comes first.

    This is credit's rule for workers, a level up: with much waiting all are filled up to ``most``; the last samples are
    spread by speed, and single ones go where there is least to do.
    """
    given = [0] * len(held)
    open_ = [i for i, weight in enumerate(weights) if weight > 0 and held[i] < most[i]]
    level = 0.0
    while open_:
        level = (waiting + sum(held[i] for i in open_)) / sum(weights[i] for i in open_)
        below = [i for i in open_ if held[i] < level * weights[i]]
        if len(below) == len(open_):
            break
        open_ = below
    wanted = {i: min(level * weights[i], most[i]) - held[i] for i in open_}
    left = waiting
    for i, number in wanted.items():
        given[i] = min(int(number), left)
        left -= given[i]
    first = turn % len(held) if held else 0
    for i in sorted(open_, key=lambda i: (given[i] - wanted[i], (i - first) % len(held))):
        if left and held[i] + given[i] < most[i]:
            given[i] += 1
            left -= 1
    return given
