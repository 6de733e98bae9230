"""The search of an engine that tells its steps: long runs are played, and a few probes say whether that is right.

The full engine's steps give the three numbers; runs of full length through them give the knee; a probe near it gives
numbers from where they matter and, its own arrivals played, what is left to correct. Three or four probes do.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from harness.rundir.tuning import Bracket, Correction, Found, Model, Probe
from harness.tune import model as models
from harness.tune.correction import History, correct
from harness.tune.long_runs import Mapper
from harness.tune.model import Engines, Load
from harness.tune.search import clean
from harness.tune.state import Options
from sut.steps import StepSums, StepTimes

log = logging.getLogger("tune")
BELOW = (0.96, 0.985)  # of the knee: the first probe, while the knee may be wrong, and the others
CLOSE = 0.03  # a probe so near the knee stands for it
UNSOUND = 0.04  # scatter of the paces at which steps do not explain the latencies
LEAST_PROBES = 3
WARM = 12.0  # times a probe's length: a card is not warm before
STEADY = 0.0015  # between the paces of two probes in a row: a card that warms up has come to rest
BUDGET = 30.0  # the same, at most before a confirmation: ten minutes of the usual ones
BLOCKS = 100  # of the probes' own steps, from which on they are preferred to the full engine's


class Source(Protocol):
    """A system under probes (:class:`harness.tune.probe.Prober`)."""

    judged: tuple[int, int]
    outputs: npt.NDArray[np.int64]  # tokens of the full engine's answers

    def at_rate(self, rate: float, *, seconds: float, thorough: bool = False) -> Probe: ...

    def history(self) -> History: ...

    def step_sums(self) -> StepSums: ...


@dataclass(kw_only=True)
class ModelSearch:
    """``found`` grows with each step; ``tell(now)`` is called after each.

    ``full``: the sums of the full engine's steps. ``run``: like ``map``, perhaps in many processes.
    """

    source: Source
    load: Load
    engines: Engines
    options: Options
    found: Found
    full: StepSums
    tell: Callable[[str | None], None] = lambda now: None
    run: Mapper = map
    coarse: bool = False
    seeds: range = models.THOROUGH
    _judged: list[tuple[str, float, tuple[int, int]]] = field(default_factory=list)
    _kept: list[Correction] = field(default_factory=list)
    _known: dict[int, float] = field(default_factory=dict)

    def go(self) -> bool:
        """Search to the end. Returns False where steps do not explain the latencies: then search without them."""
        if not self._begin():
            return False
        model = self._model
        before = None
        while not self._done(before):
            knee = before = model.knee_qps or 0.0
            near = any(abs(c.rate / knee - 1) < models.NEAR for c in model.corrections)
            rate = clean(BELOW[near] * knee)
            self.tell(f"probe {len(self.found.probes) + 1}: {rate:g} samples/s")
            self._probe(rate)
            self._correct(knee)
            if models.scatter(model, knee=knee) > UNSOUND:
                log.warning("the paces of probes differ too much: the search goes on without the steps")
                return False
            self._find(guess=knee, seeds=models.QUICK)
            self._say_of_the_last()
            self.tell(None)
        if not model.corrections:
            log.warning("the probes had too few queries to correct the steps by: the search goes on without them")
            return False
        self.tell("playing runs of full length")
        seeds = models.QUICK if self.coarse else self.seeds[: models.enough(self.load, rate=model.knee_qps or 1.0)]
        self._find(guess=model.knee_qps or 0.0, seeds=seeds)
        self.tell(None)
        return True

    def draw(self) -> None:
        """Play the curve around the knee, for the report."""
        models.draw_curve(self._model, self.load, run=self.run)
        self.tell(None)

    @property
    def _model(self) -> Model:
        assert self.found.model is not None
        return self.found.model

    def _begin(self) -> bool:
        """The first model, or the one that an earlier process left."""
        if self.found.model is not None:
            self._kept = list(self.found.model.corrections)
            self._find(guess=self.found.model.knee_qps or self._full_speed, seeds=models.QUICK)
            return True
        times = self.full.fit()
        if times is None or not times.sound:
            return False
        self.found.model = models.new(self.engines, times, outputs=self.source.outputs)
        self.tell("playing runs of full length")
        self._find(guess=0.85 * self._full_speed, seeds=models.QUICK)
        self.tell(None)
        return True

    @property
    def _full_speed(self) -> float:
        return self.found.capacity.samples_per_second if self.found.capacity else 1.0

    def _done(self, before: float | None) -> bool:
        model, probes = self._model, self.found.probes
        knee = model.knee_qps or 0.0
        spent = sum(p.duration_s for p in probes) + (self.found.capacity.duration_s if self.found.capacity else 0.0)
        most = 1 if self.coarse else self.options.max_probes
        if len(probes) >= most or (probes and spent + 2 * probes[-1].duration_s > BUDGET * self.options.probe_seconds):
            return True
        near = [c for c in model.corrections if abs(c.rate / knee - 1) < CLOSE]
        if len(probes) < LEAST_PROBES or len(near) < 2 or before is None or spent < WARM * self.options.probe_seconds:
            return False
        if abs(math.log(near[-1].pace / near[-2].pace)) > STEADY:
            return False
        # what only more seeds would make surer is left to the end, which has them
        of_pace = (model.elasticity or 1.0) * model.pace_error
        return of_pace <= self.options.tolerance and abs(knee / before - 1) <= self.options.tolerance

    def _probe(self, rate: float) -> None:
        probe = self.source.at_rate(rate, seconds=self.options.probe_seconds, thorough=True)
        self.found.probes.append(probe)
        self._judged.append((f"probe {len(self.found.probes)}", rate, self.source.judged))

    def _correct(self, knee: float) -> None:
        """Fit the steps again, with those of the probes, and the pace of every probe to them."""
        model, history = self._model, self.source.history()
        if not self._kept and (times := self._times()) is not None:
            models.set_times(model, times)
        player = models.player(model)
        found = list(self._kept)
        for source, rate, ids in self._judged:
            start = found[-1].pace if found else 1.0
            one = correct(player, history, judged=ids, source=source, rate=rate, start=start)
            if one is not None:
                found.append(one)
        models.take_over(model, found, knee=knee)

    def _say_of_the_last(self) -> None:
        """What the model makes of the last probe: its own tail, of some seconds, says less of a run of full length."""
        probe, knee = self.found.probes[-1], self._model.knee_qps or 0.0
        of_it = [c for c in self._model.corrections if c.source == f"probe {len(self.found.probes)}"]
        pace = f"its steps took {of_it[0].pace:.3f} of what is known; " if of_it else ""
        valid, reason = probe.target_qps <= knee, f"{pace}runs of full length hold {knee:.4g}"
        log.info("%g samples/s: %s (%s)", probe.target_qps, "valid" if valid else "not valid", reason)
        self.found.probes[-1] = msgspec.structs.replace(probe, valid=valid, reason=reason)

    def _times(self) -> StepTimes | None:
        """From the probes' own steps where they are enough: a step's form is not quite straight, and this is the
        stretch of it that matters."""
        everything = self.source.step_sums()
        probes = everything - self.full
        for sums in (probes, everything):
            if sums.blocks >= BLOCKS and (times := sums.fit()) is not None and times.sound:
                return times
        return None

    def _find(self, *, guess: float, seeds: range) -> None:
        knee = models.find_knee(self._model, self.load, guess=guess, seeds=seeds, known=self._known, run=self.run)
        if len(self._model.corrections) > 1:  # which of them are near depends on it
            models.take_over(self._model, self._model.corrections, knee=knee)
        conclude(self.found, self.options)


def conclude(found: Found, options: Options) -> None:
    """The rate to run at, from the model in ``found``."""
    model = found.model
    assert model is not None
    assert model.knee_qps
    assert model.hold_qps
    found.knee_qps = model.knee_qps
    found.best_qps = rate_of(model, margin=options.margin)
    found.bracket = Bracket(
        low=model.hold_qps,
        high=model.knee_qps**2 / model.hold_qps,
        error_percent=100 * (model.knee_error or 0.0),
        limited_by=model.limited_by,
    )
    found.confidence = in_words(model)


def rate_of(model: Model, *, margin: float) -> float:
    """The rate to run at: nine of ten seeds hold it, and it is at least ``margin`` below the knee."""
    assert model.knee_qps
    assert model.hold_qps
    return clean(min(model.hold_qps, model.knee_qps * (1 - margin)))


def in_words(model: Model) -> str:
    """How sure the rate is, and what it follows from."""
    pace = f"pace {model.pace:.4g} +- {100 * model.pace_error:.2g} % from {len(model.corrections)} runs of real queries"
    if not model.corrections:
        pace = "not corrected by real queries yet"
    steps = f"{model.a_ms:.3g} ms + {model.c_us:.3g} us a sequence + {model.p_us:.3g} us a prompt token"
    if model.bend_ms:
        steps += f" + {model.bend_ms:.2g} ms for the square of their thousands"
    if model.launch_ms:
        steps += f", at least {model.launch_ms:.3g} ms with prompts"
    return (
        f"half of all arrival seeds hold {model.knee_qps:.5g} samples/s +- {100 * (model.knee_error or 0):.2g} % for a "
        f"run of full length, nine of ten {model.hold_qps:.5g} ({model.seeds} seeds, {model.played_hours:.0f} h of "
        f"load played through steps of {steps}, {pace})"
    )
