"""Probes of a running session: at a rate (Server, Interactive), with the engine kept full (Offline), one by one.

A probe at a rate has a ramp until the system has filled up, a window whose samples are judged, and a tail during which
queries go on arriving until the window's last sample is done, so that no judged sample enjoys an emptying system. The
load stays on from one probe to the next; only what was too much is let run off.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.config import Scenario
from harness.rounds import ROUND
from harness.rundir.tuning import Capacity, Probe
from harness.session.session import Loan, Session
from harness.tune.correction import History
from harness.tune.past import history
from harness.tune.traffic import Traffic, balanced_order
from harness.tune.verdict import Growth, Ints, Window, decide, full_length_share, growth, probe_figures
from sut.record import SampleRecord
from sut.steps import StepSums

TICK_S = 0.1
MIN_RAMP_S = 1.0
CLEAR = 1.3  # headroom with which a probe may end as soon as it has the queries that early stopping asks for
ENOUGH = 459
LATENCIES = 8
NS = 1e9


@dataclass(kw_only=True)
class Collected:
    """What a probe has seen. ``ticks``: (seconds, outstanding, waiting for a first token)."""

    first_id: int
    record: SampleRecord
    taken: int = 0
    rows: list[tuple[Ints, ...]] = field(default_factory=list)
    ticks: list[tuple[float, int, int]] = field(default_factory=list)

    def columns(self) -> tuple[Ints, ...]:
        """ids, first token, completion (ns), tokens of the samples completed so far."""
        return tuple(np.concatenate(parts) for parts in zip(*self.rows, strict=True)) if self.rows else (_NONE,) * 4


_NONE = np.empty(0, dtype=np.int64)


class Prober:
    """Probes a started session on the queries of ``traffic``: see :func:`probing`."""

    def __init__(self, system: Loan, traffic: Traffic, *, scenario: Scenario) -> None:
        self.system = system
        self.traffic = traffic
        self.limits = ROUND.limits_ns.get(scenario, (1 << 62, 1 << 62))
        self.judged = (0, 0)  # ids of the queries that the last probe was judged by
        self.outputs = _NONE  # tokens of the full engine's answers
        self._records: list[SampleRecord] = []  # since the system was last empty
        self._healthy = 0.0
        self._warm = False

    def history(self) -> History:
        """Every query since the full engine's."""
        longest = int(self.outputs.max()) if len(self.outputs) else 1
        return history(self._records, self.system.in_flight(), output_tokens=longest)

    def step_sums(self) -> StepSums:
        """Of all the workers' steps since they were ready, as far as they tell; a heartbeat or two behind."""
        found = StepSums()
        for facts in self.system.live_facts().values():
            found += StepSums(facts.get("step_sums") or (), ignored=facts.get("steps_ignored") or 0)
        return found

    # -- at a rate -----------------------------------------------------------------------------------------------

    def at_rate(self, rate: float, *, seconds: float, thorough: bool = False) -> Probe:
        """Probe Poisson arrivals of ``rate``/s, judged over ``seconds``. ``thorough``: never end because it looks well.

        Raises ``RunError`` when the system broke, ``Interrupted`` when told to stop.
        """
        began = time.perf_counter()
        seen = self._begin()
        self.traffic.set_rate(rate)
        share = full_length_share(rate)
        planned = max(1, round(rate * seconds))
        ended = self._ramp(seen, began=began, generations=1 if self._warm else 2, hopeless_at=3 * share * planned + 5)
        opened, window_ids = began, (seen.first_id, self.traffic.next_id)
        if not ended:
            seconds = self._long_enough(seen, seconds)
            opened = time.perf_counter()
            window_ids = self.traffic.open_window(seconds)
            ended = self._watch(seen, window_ids, opened=opened, seconds=seconds, rate=rate, thorough=thorough)
        self.judged = window_ids if opened > began else (seen.first_id, self.traffic.next_id)
        stop = min(time.perf_counter(), opened + seconds) if opened > began else time.perf_counter()
        probe = self._conclude(seen, window_ids, rate=rate, ended=ended, span=(opened, stop), began=began)
        if probe.valid:
            self._healthy, self._warm = max(self._healthy, probe.outstanding_mean), True
        else:
            self._warm = False
            self.drain(self._healthy)
        return probe

    def _ramp(self, seen: Collected, *, began: float, generations: int, hopeless_at: float) -> str:
        """Wait until ``generations`` of samples have come and gone. Returns why the probe is hopeless, or nothing."""
        since = began * NS
        while True:
            self._tick(seen)
            over = self._over(seen, seen.first_id)
            if over > hopeless_at:
                return f"hopeless: {over} queries over the limit while the load built up"
            ids, _, complete, _ = seen.columns()
            later = self._scheduled(ids) >= since
            if generations and later.any():
                since, generations = float(complete[later].min()), generations - 1
            if not generations and time.perf_counter() - began > MIN_RAMP_S:
                return ""

    @staticmethod
    def _long_enough(seen: Collected, seconds: float) -> float:
        """Lengthen the window to ``LATENCIES`` times what a sample takes (verdict.tail_headroom), at most twofold."""
        _, first, complete, _ = seen.columns()
        latency = float(np.median(complete - first)) / NS if len(first) else 0.0
        return min(max(seconds, LATENCIES * latency), 2 * seconds)

    def _watch(
        self, seen: Collected, ids: tuple[int, int], *, opened: float, seconds: float, rate: float, thorough: bool
    ) -> str:
        """Stay until the window's samples are all done, or the outcome is plain. Returns how it ended."""
        share = full_length_share(rate)
        wanted = ids[1] - ids[0]
        while True:
            self._tick(seen)
            now = time.perf_counter()
            over = self._over(seen, ids[0])
            if over > 3 * share * wanted + 5:
                return f"hopeless: {over} queries over the limit already, {share * wanted:.0f} would be allowed"
            grown = self._growth(seen, opened, min(now, opened + seconds), rate)
            if grown.certain:
                return f"hopeless: the backlog grows by {grown.per_second:.3g} requests/s"
            done, window = self._window(seen, ids)
            if done >= wanted:
                return "full length"
            if not thorough and done >= max(ENOUGH, 0.4 * wanted) and grown.sigmas < 2:
                figures = probe_figures(window, self.limits, share)
                if min(figures["headroom_ttft"], figures["headroom_tpot"]) > CLEAR:
                    return "clearly valid"

    def _conclude(
        self, seen: Collected, ids: tuple[int, int], *, rate: float, ended: str, span: tuple[float, float], began: float
    ) -> Probe:
        """``span``: what the rates are taken over, in seconds of the clock."""
        share = full_length_share(rate)
        start, stop = span
        grown = self._growth(seen, start, stop, rate)
        _, window = self._window(seen, ids)
        figures = probe_figures(window, self.limits, share)
        valid, reason = decide(figures, grown, share=share)
        if ended.startswith("hopeless"):
            valid, reason = False, ended.partition(": ")[2] if valid else reason
        _, _, complete, _ = seen.columns()
        completed = int(((complete >= start * NS) & (complete < stop * NS)).sum())
        arrived = self._scheduled(np.arange(seen.first_id, self.traffic.next_id))
        issued = int(((arrived >= start * NS) & (arrived < stop * NS)).sum())
        inside = [n for t, n, _ in seen.ticks if t >= start]
        return Probe(
            target_qps=rate,
            achieved_qps=issued / max(stop - start, 1e-9),
            samples_per_second=completed / max(stop - start, 1e-9),
            valid=valid,
            reason=reason,
            ended=ended,
            whole=not ended.startswith("hopeless"),
            duration_s=time.perf_counter() - began,
            window_s=stop - start,
            allowed_share=share,
            outstanding_mean=float(np.mean(inside)) if inside else 0.0,
            backlog_growth=grown.per_second,
            **figures,
        )

    # -- with the engine kept full, or with one query -------------------------------------------------------------

    def closed_loop(self, outstanding: int, *, seconds: float) -> Capacity:
        """Keep ``outstanding`` samples in the system. Returns samples/s after a generation, and mean and p90 latency.

        The window is ``seconds``, and at least twice as long as a sample takes: samples that began together end
        together, in waves.
        """
        began = time.perf_counter()
        self.drain(0)
        seen = self._begin()
        opened = latency_ns = 0.0
        self.traffic.refilling = True
        self.traffic.burst(outstanding)
        try:
            while True:
                self._tick(seen)
                now = time.perf_counter()
                ids, _, complete, _ = seen.columns()
                if not opened and len(ids) >= outstanding and now - began > MIN_RAMP_S:
                    opened = now
                    latency_ns = float(np.median(complete - self._scheduled(ids)))
                inside = complete >= opened * NS
                if opened and inside.sum() > 1 and now - opened >= max(seconds, 2 * latency_ns / NS):
                    break
        finally:
            self.traffic.refilling = False
        latency = (complete - self._scheduled(ids))[inside] / 1e6
        self.drain(0)
        self.outputs = np.concatenate([rows[3] for rows in seen.rows])
        self._records.clear()
        return Capacity(
            samples_per_second=steady_rate(complete[inside]),
            outstanding=outstanding,
            samples=int(inside.sum()),
            latency_mean_ms=float(latency.mean()),
            latency_p90_ms=float(np.quantile(latency, 0.9)),
            duration_s=time.perf_counter() - began,
        )

    # -- inside --------------------------------------------------------------------------------------------------

    def _begin(self) -> Collected:
        self._records.append(record := self.system.start_record())
        return Collected(first_id=self.traffic.next_id, record=record)

    def _tick(self, seen: Collected) -> None:
        self.system.pause(TICK_S)
        columns = seen.record.columns
        end = len(columns["attempts"])  # the last column that a row fills
        if end > seen.taken:
            names = ("sample_id", "first_token_ns", "complete_ns", "output_tokens")
            rows = tuple(np.array(columns[name][seen.taken : end], dtype=np.int64) for name in names)
            mine = rows[0] >= seen.first_id  # a sample of the probe before may have been on its way still
            seen.rows.append(tuple(column[mine] for column in rows))
            seen.taken = end
        seen.ticks.append((time.perf_counter(), self._in_system, len(self._waiting(seen.first_id))))

    @property
    def _in_system(self) -> int:
        return self.traffic.next_id - 1 - self.system.completed

    def drain(self, level: float) -> None:
        """Stop the arrivals and wait until at most ``level`` samples are left."""
        self.traffic.set_rate(0)
        while self._in_system > level:
            self.system.pause(TICK_S)

    def _scheduled(self, ids: Ints) -> Ints:
        """When samples were due, ns."""
        if not len(ids):
            return _NONE
        low, high = int(ids.min()), int(ids.max())
        return np.asarray(np.array(self.traffic.scheduled[low - 1 : high], dtype=np.int64)[ids - low])

    def _waiting(self, first_id: int) -> Ints:
        """Ids of the outstanding samples of this probe that have no first token."""
        return np.array([i for i in self.system.without_first_token() if i >= first_id], dtype=np.int64)

    def _over(self, seen: Collected, first_id: int) -> int:
        """Queries from ``first_id`` on that are over a limit, those that have waited too long already included."""
        ids, first, complete, tokens = seen.columns()
        mine = ids >= first_id
        due = self._scheduled(ids)
        window = Window(scheduled=due[mine], first=first[mine], complete=complete[mine], tokens=tokens[mine])
        waits = time.perf_counter() * NS - self._scheduled(self._waiting(first_id))
        late = int((window.ttft > self.limits[0]).sum()) + int((waits > self.limits[0]).sum())
        return max(late, int((window.tpot > self.limits[1]).sum()))

    def _window(self, seen: Collected, ids: tuple[int, int]) -> tuple[int, Window]:
        """Number and figures of the samples in ``ids`` that are done."""
        all_ids, first, complete, tokens = seen.columns()
        mine = (all_ids >= ids[0]) & (all_ids < ids[1])
        window = Window(
            scheduled=self._scheduled(all_ids)[mine], first=first[mine], complete=complete[mine], tokens=tokens[mine]
        )
        return int(mine.sum()), window

    @staticmethod
    def _growth(seen: Collected, start: float, stop: float, rate: float) -> Growth:
        ticks = np.array([(t, waiting) for t, _, waiting in seen.ticks if start <= t < stop])
        return growth(ticks[:, 0], ticks[:, 1], rate) if len(ticks) else Growth()


@contextlib.contextmanager
def probing(session: Session, *, seed: int = 0) -> Iterator[Prober]:
    """Take a session that is ready over from LoadGen for a block; at its end everything has run off."""
    traffic = Traffic(session.hub.issue, balanced_order(session.lengths, np.random.default_rng(seed)), seed)
    with session.lent(traffic.answered) as system:
        prober = Prober(system, traffic, scenario=session.config.scenario)
        traffic.start()
        try:
            yield prober
            prober.drain(0)
        finally:
            traffic.stop()


def steady_rate(complete_ns: Ints) -> float:
    """Completions/s as the slope of their count over time: its ends weigh no more than its middle."""
    seconds = np.sort(complete_ns - complete_ns.min()) / NS
    return float(np.polyfit(seconds, np.arange(len(seconds)), 1)[0])
