"""Only who sleeps is woken, and whoever sleeps is."""

from __future__ import annotations

import os
import select
import threading

from sut.mailbox import Mailbox


def woken(box: Mailbox[int]) -> bool:
    return bool(select.select([box.fd], [], [], 0)[0])


def test_who_is_at_work_is_not_woken() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    assert not woken(box)
    assert not box.may_sleep()  # it is there already
    box.awake(woken(box))
    assert list(box.take()) == [1] and len(box) == 0


def test_who_sleeps_is_woken_once() -> None:
    box: Mailbox[int] = Mailbox()
    assert box.may_sleep()
    box.put(1)
    box.put(2)
    assert woken(box) and os.eventfd_read(box.fd) == 1
    box.awake(False)
    assert list(box.take()) == [1, 2]


def test_nothing_stays_in_the_box_while_its_owner_sleeps() -> None:
    box: Mailbox[int] = Mailbox()
    got: list[int] = []
    count = 20_000

    def fill() -> None:
        for number in range(count):
            box.put(number)

    threads = [threading.Thread(target=fill) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(got) < 2 * count:
        ready = select.select([box.fd], [], [], 20 if box.may_sleep() else 0)[0]
        box.awake(bool(ready))
        taken = list(box.take())
        assert ready or taken, "slept although something had come"
        got += taken
    assert sorted(got) == sorted([*range(count)] * 2)
