"""What other threads hand to one that owns a socket: it sleeps in a poll, and only then is it woken.

A wake-up costs a system call and a turn of the scheduler. A thread that is at work looks into its mailbox anyway.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """``put`` is for any thread, all else for the owner, who polls ``fd`` beside its socket::

    ready = dict(poller.poll(timeout if mailbox.may_sleep() else 0))
    mailbox.awake(mailbox.fd in ready)
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._items: deque[T] = deque()
        self._asleep = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        self._items.append(item)
        if self._asleep:  # looked at after the item is there, as the owner looks for items after it is set
            self.wake()

    def wake(self) -> None:
        """Let the owner's poll return; any thread may call."""
        self._asleep = False
        os.eventfd_write(self.fd, 1)

    def may_sleep(self) -> bool:
        """To be asked right before the poll. False: something is there already."""
        self._asleep = True
        return not self._items

    def awake(self, woken: bool) -> None:
        """To be called right after the poll. ``woken``: ``fd`` was ready."""
        self._asleep = False
        if woken:
            os.eventfd_read(self.fd)

    def take(self) -> Iterator[T]:
        """All that is there, in order, each once."""
        while self._items:
            yield self._items.popleft()
