"""What is left beside LoadGen where several processes dispatch: one thread that hands on, as arrays, what is issued and
what is answered.

The shares decide who works on what, examine answers and look after their workers. The front splits the samples, looks
after the shares, keeps the record, and is the only one to tell LoadGen.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec
import numpy as np

from mlperf_llama_base import child
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError
from sut.arrivals import Arrivals
from sut.dispatching import Counts, Reports
from sut.front.ledger import Array, Ledger
from sut.front.messages import Answers, Ask, Broke, Given, News, NewTest, ShareSpec, decode_from_share
from sut.front.part import Launch, Part
from sut.front.queries import Queries
from sut.front.rows import NO_ROWS, RowReports, Rows
from sut.front.split import portions
from sut.policies import Sample
from sut.record import ANSWERS, SampleRecord
from sut.supervisor import LostWorker, SupervisorOptions, WorkerView
from sut.turns import Turns

ASK_S = 5.0
T = TypeVar("T")


class Front(Turns):
    """``shares``: started by :meth:`start`, in the thread that calls it, which has to outlive them; the front makes
    their identities. ``deliver(first, done)`` takes what is for LoadGen. ``options``: how long a share may be silent.
    """

    def __init__(
        self,
        *,
        shares: list[ShareSpec],
        launch: Launch,
        ledger: Ledger,
        deliver: RowReports,
        options: SupervisorOptions,
        bind: str,
    ) -> None:
        super().__init__("front", role="front of the dispatching processes", bind=bind)
        self.ledger = ledger
        self.parts: list[Part] = []
        self._shares, self._launch, self._deliver, self._options = shares, launch, deliver, options
        self._speaking: dict[bytes, Part] = {}
        specs = sorted((spec.id, spec) for share in shares for spec in share.workers)
        self._views = {number: WorkerView(spec) for number, spec in specs}
        self._own_lost: list[LostWorker] = []
        self._queries = Queries(whole=ledger.sorts)
        self._issued = 0
        self._arrivals = Arrivals()
        self._test = self._question = self._turns = 0

    def start(self) -> None:
        """Start the shares' processes and this thread. Raises ``EnvironmentFault`` where there is no room for them."""
        for share in self._shares:
            share.endpoint = self.endpoint
            share.identity = b"%d:%s" % (share.number, secrets.token_hex(8).encode())
            try:
                part = Part(share, self._launch(share), self._now)
            except OSError as error:
                self.end(0.0)
                raise EnvironmentFault(f"a dispatching process could not be started: {error}") from error
            self.parts.append(part)
            self._speaking[share.identity] = part
        super().start()

    # -- called from other threads -------------------------------------------------------------------------------

    def take(self, ids: list[int], indices: list[int], at_ns: int) -> None:
        self._issued += len(ids)
        self._inbox.put((ids, indices, at_ns))

    def issue(self, samples: list[tuple[int, int]], at_ns: int | None = None) -> None:
        at_ns = time.perf_counter_ns() if at_ns is None else at_ns
        self.take([number for number, _ in samples], [index for _, index in samples], at_ns)

    def new_test(self, arrivals: Arrivals | None = None) -> None:
        self._issued = 0
        self._in_thread(lambda: self._begin(arrivals or Arrivals()))

    @contextlib.contextmanager
    def reporting_to(self, reports: Reports) -> Iterator[None]:
        usual, self._deliver = self._deliver, lambda first, done: reports(first.batch(), done.batch())
        try:
            yield
        finally:
            self._deliver = usual

    def catch_up(self) -> None:
        self._in_thread(self._ask)
        deadline = time.monotonic() + ASK_S
        while time.monotonic() < deadline and self.is_alive():
            if all(part.news and part.news.answers == self._question for part in self.parts if part.gone is None):
                return
            time.sleep(0.005)

    def in_flight(self) -> list[Sample]:
        return self._in_thread(self.ledger.in_flight) or []

    @property
    def counts(self) -> Counts:
        total = Counts(issued=self._issued, completed=self.ledger.completed)
        total.retried, total.duplicates = self.ledger.retried, self.ledger.duplicates
        for part in self.parts:
            part.add_counts(total)
        return total

    @property
    def outstanding(self) -> int:
        return self._issued - self.ledger.completed

    def held(self, worker: int) -> int:
        return sum(part.news.held.get(worker, 0) for part in self.parts if part.news and part.gone is None)

    @property
    def workers(self) -> dict[int, WorkerView]:
        return self._views

    @property
    def dead(self) -> int:
        return sum(part.dead for part in self.parts)

    @property
    def capacity(self) -> int:
        return sum(part.news.capacity for part in self.parts if part.news and part.gone is None)

    @property
    def busy_share(self) -> float:
        return max([self.duty.share, *(part.news.busy_share for part in self.parts if part.news)])

    def end(self, grace_s: float) -> None:
        """After :meth:`stop`: see the shares' processes off, which end their workers."""
        deadline = time.monotonic() + grace_s
        for part in [part for part in self.parts if not part.cleaned]:
            child.end(part.process, grace_s=max(0.0, deadline - time.monotonic()), ask=False)

    def _in_thread(self, what: Callable[[], T]) -> T | None:
        """Have ``what`` done by the front's thread; None if that has ended."""
        done, result = threading.Event(), []

        def do() -> None:
            result.append(what())
            done.set()

        self._inbox.put(do)
        while not done.wait(0.05) and self.is_alive():
            pass
        return result[0] if result else None

    # -- the front's thread --------------------------------------------------------------------------------------

    def _identities(self) -> Iterable[bytes]:
        return self._speaking

    def _left_over(self) -> bool:
        return bool(self._queries)

    def _take_issued(self) -> None:
        for item in self._inbox.take():
            if callable(item):
                item()
            else:
                self._queries.put(item)
        if self._queries:
            self.events += 1
            ids, indices, at_ns = self._queries.take()
            self.ledger.issue(ids, indices, self._arrivals.take(at_ns))

    def _one(self, frames: list[bytes]) -> None:
        part = self._speaking.get(frames[0]) if len(frames) == 2 else None
        if part is None:
            self.refused += 1
            return
        part.heard = self._now
        try:
            message = decode_from_share(frames[1])
            if type(message) is Answers:
                self._answers(part, message)
            elif type(message) is News:
                self._news(part, message)
            elif type(message) is Broke:
                self._broke(part, message)
        except (msgspec.DecodeError, IndexError, ValueError) as error:
            self._drop(part, f"sent what it cannot have meant ({error})")

    def _answers(self, part: Part, message: Answers) -> None:
        ledger, number = self.ledger, part.spec.number
        first = done = NO_ROWS
        if message.first:
            samples, tokens = np.frombuffer(message.first, "<i8"), np.frombuffer(message.first_tokens, "<i4")
            fresh = ledger.first(number, samples, tokens, time.perf_counter_ns())
            samples, tokens = samples[fresh], tokens[fresh]
            ids = ledger.column("ids", samples).tolist()
            first = Rows(ids, np.full(len(ids), 4, np.int32), tokens.view(np.uint8).reshape(-1, 4))
        if message.columns:
            done = self._completed(part, message)
        part.counts = message.counts
        self.events += 1
        if first.ids or done.ids:
            self._deliver(first, done)

    def _completed(self, part: Part, message: Answers) -> Rows:
        """Book completions and put them on record, before the test can be over."""
        names = SampleRecord.COLUMNS
        columns = dict(zip(names, map(np.frombuffer, message.columns, names.values()), strict=True))
        samples = columns["sample_id"].astype(np.int64)
        tokens = np.frombuffer(message.tokens, np.uint8).reshape(len(samples), message.room)
        fresh = self.ledger.complete(part.spec.number, samples)
        if not fresh.all():
            columns = {name: column[fresh] for name, column in columns.items()}
            samples, tokens = samples[fresh], tokens[fresh]
        ids: Array = self.ledger.column("ids", samples)
        rows = Rows(ids.tolist(), 4 * columns["output_tokens"], tokens)
        columns["sample_id"] = ids
        some = rows.batch(ANSWERS - len(self.record.answers))
        self.record.add_columns([column.tobytes() for column in columns.values()], [tokens for _, tokens in some])
        part.done += len(samples)
        return rows

    def _dispatch(self) -> None:
        """Give the shares what they have room for, each in one message."""
        ledger = self.ledger
        if not ledger.waiting:
            return
        self._turns += 1
        rooms = [part.room for part in self.parts]
        rates = [0.0 if ledger.first_tokens else part.rate(self._now) for part in self.parts]
        for number, count in enumerate(
            portions(ledger.waiting, ledger.held[: len(rooms)], rooms, rates, turn=self._turns)
        ):
            if count:
                self._give(self.parts[number], count)

    def _give(self, part: Part, count: int) -> None:
        ledger = self.ledger
        numbers = ledger.give(part.spec.number, count)
        names = ("index", "issue_ns", "attempts")
        given = Given(numbers.tobytes(), *(ledger.column(name, numbers).tobytes() for name in names))
        if ledger.first_tokens and given.attempts.strip(b"\0"):
            given.first, given.first_ns = (ledger.column(name, numbers).tobytes() for name in ("first", "first_ns"))
        self._router.send(part.spec.identity, given)
        self.events += 1

    # -- shares come and go --------------------------------------------------------------------------------------

    def _begin(self, arrivals: Arrivals) -> None:
        self._test += 1
        self._arrivals = arrivals
        self.ledger.new_test()
        self.record = SampleRecord()
        self._own_lost, self.lost = [], []
        self.duty.restart()
        for part in self.parts:
            part.new_test(self._now)
        for view in self._views.values():
            view.new_test()
        for identity in self._speaking:
            self._router.send(identity, NewTest(self._test))

    def _ask(self) -> None:
        self._question += 1
        for identity in self._speaking:
            self._router.send(identity, Ask(self._question))

    def _news(self, part: Part, news: News) -> None:
        if news.test != self._test:
            return  # said before it heard of this one
        before, part.counts = part.news, news.counts
        part.hear(news, self._now)
        self._views = self._views | {view.spec.id: view for view in news.workers}
        self.engine = self.engine or news.engine
        all_news = [part.news for part in self.parts if part.news]
        self.lost = self._own_lost + [lost for known in all_news for lost in known.lost]
        self.refused_peers = sum(known.refused_peers for known in all_news)
        self.refused += news.refused - (before.refused if before else 0)
        self.events += before is None or news.events != before.events
        if before is None or (before.room, before.dead) != (news.room, news.dead):
            self.changed.set()

    def _broke(self, part: Part, message: Broke) -> None:
        if not message.alone:
            raise message.kind(message.reason)
        self._drop(part, message.reason, broke=True, kind=message.kind)

    def _supervise(self) -> None:
        for part in self.parts:
            part.clean_up()
            if part.gone is not None:
                continue
            silent_s = self._now - part.heard
            most_s = self._options.heartbeat_timeout_s if part.news else self._options.start_timeout_s
            code = part.process.poll()
            if code is not None:
                while self._receive():
                    pass  # hear first what it has said
            if part.gone is None and code is not None:
                self._drop(part, f"its dispatching process {part.process.pid} {part.end_in_words(code)}")
            elif part.gone is None and silent_s > most_s:
                self._drop(part, f"its dispatching process {part.process.pid} said nothing for {silent_s:.0f} s")

    def _drop(self, part: Part, reason: str, *, broke: bool = False, kind: type[HarnessError] = RunError) -> None:
        """A share is gone, its process and workers with it: the others get its samples. What it may still say counts
        for nothing. Raises what ends the run, if it was the last.
        """
        part.gone = reason
        self._speaking.pop(part.spec.identity, None)
        child.kill_group(part.process)
        returned = len(self.ledger.release(part.spec.number))
        lost = part.lose_workers(self._views, self.record, returned=returned)
        self._own_lost += lost
        self.lost = self.lost + lost
        self.events += 1
        self.changed.set()
        if not self._speaking:
            reasons = "; ".join(sorted({part.gone or "" for part in self.parts}))
            raise kind(reasons if broke else f"no worker is left: {reasons}")
