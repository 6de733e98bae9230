"""The thread of a hub and of a front: it sleeps, takes in what was issued and what came, hands out, looks around."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import zmq

from mlperf_llama_base.errors import HarnessError, RunError
from sut.awake import AwakeClock
from sut.dispatching import Dispatching
from sut.mailbox import Mailbox
from sut.messages import Stop
from sut.pace import Pace
from sut.router import Router

POLL_MS = 100
LOOK_EVERY_S = 0.2
MESSAGES_A_TURN = 256


class Turns(Dispatching):
    """``role``: what it is called where it breaks. Its peers speak to ``bind``."""

    poll_ms = POLL_MS

    def __init__(self, name: str, *, role: str, bind: str, curve_keys: tuple[bytes, bytes] | None = None) -> None:
        super().__init__(name)
        self._role = role
        self._inbox: Mailbox[Any] = Mailbox()
        self._stopping = threading.Event()
        self._router = Router(bind, curve_keys)
        self.endpoint = self._router.endpoint
        self._poller = self._router.poller(self._inbox.fd)
        self._pace = Pace()
        self._clock = AwakeClock(longest_step_s=5 * POLL_MS / 1e3)
        self._now = self._clock.now()

    def stop(self) -> None:
        self._stopping.set()
        self._inbox.wake()
        self.join(10)

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            self._loop()
        except HarnessError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  nothing may leave LoadGen waiting forever
            self._fail(RunError(f"the {self._role} broke: {type(error).__name__}: {error}"))
        finally:
            for peer in self._identities():
                self._router.send(peer, Stop())
            self._router.close()

    def _loop(self) -> None:
        look_at, moved = 0.0, False
        while not self._stopping.is_set():
            self._wait(busy=moved)
            moved = self._turn()
            if self._now >= look_at:
                look_at = self._now + LOOK_EVERY_S
                self._supervise()

    def _wait(self, *, busy: bool) -> None:
        """Sleep: ``busy``, until the next turn is due, else until something comes."""
        began = time.perf_counter()
        if busy and (left_s := self._pace.left_s(began)) > 0:
            time.sleep(left_s)  # what comes meanwhile wakes nobody
        else:
            ready = self._poller.poll(self.poll_ms if self._inbox.may_sleep() and not self._left_over() else 0)
            self._inbox.awake(any(which == self._inbox.fd for which, _ in ready))
        self.duty.slept(time.perf_counter() - began)

    def _turn(self) -> bool:
        """Take what was issued and answered, and hand out. Returns whether there was anything."""
        away_s, events = self._clock.away_s, self.events
        self._now = self._clock.now()
        self._take_issued()
        while (more := self._receive()) and self._clock.away_s > away_s:
            pass  # we were not running: hear first what everybody has said meanwhile
        self._dispatch()
        if self.events == events:
            return False
        self._pace.moved(time.perf_counter(), more=more or self._left_over())
        return True

    def _receive(self) -> bool:
        """Take in what has come. Returns whether there may be more."""
        more = True
        try:
            for _ in range(MESSAGES_A_TURN):
                self._one(self._router.receive(self._worker_of))
        except zmq.Again:
            more = False
        self._settle()
        return more

    @abstractmethod
    def _identities(self) -> Iterable[bytes]:
        """Of those who may speak."""

    def _worker_of(self, peer: bytes) -> int | None:
        """Which worker it is, if one."""
        return None

    def _left_over(self) -> bool:
        """Whether some of what was issued waits for the next turn."""
        return False

    @abstractmethod
    def _take_issued(self) -> None: ...

    @abstractmethod
    def _one(self, frames: list[bytes]) -> None:
        """Take in a message."""

    def _settle(self) -> None:
        """Book what was taken in."""

    @abstractmethod
    def _dispatch(self) -> None:
        """Hand out what waits."""

    @abstractmethod
    def _supervise(self) -> None:
        """Look after those who work."""
