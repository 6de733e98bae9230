"""Which rate to probe next. Pure: fed with what probes said, it names rates and, at the end, the knee.

Near its limit a latency goes like 1 / (1 - load) (a step of continuous batching takes longer in proportion to the work
that arrives during it; a queue's wait does the same), so ``limit / latency``, the headroom, falls in a straight line
with the rate and the knee is where it is 1. A line through all probes, each weighted by its own error, finds it in a
few steps where bisection needs many, and says how sure it is: a verdict near the knee is a coin's, and bisection would
believe it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.rundir.tuning import Probe
from harness.tune.verdict import FLOOR

START = 0.85  # of the ceiling: near enough to tell, far enough not to drown
NEAR, FAR = 0.5, 3.0  # headrooms outside of which a probe says nothing of the knee
NEAR_CEILING = 0.97
SLACK = 0.03  # that a line may leave the bracket by: verdicts near the knee are noise
CURVATURE = 0.2  # error of the straight line, per unit of headroom away from the knee
QUEUEING = "capacity: in a long run queueing alone would break the TTFT limit"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Probe at ``rate`` (samples/s), ``lengthen`` times as long as usual."""

    rate: float
    lengthen: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Root:
    """Rate where a line of headrooms reaches 1, and its standard error, relative."""

    rate: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """Headroom by rate, with the ``covariance`` of the level and of the slope for each ``unit`` samples/s."""

    level: float
    slope: float
    unit: float
    covariance: npt.NDArray[np.floating[Any]]

    def at(self, rate: float) -> float:
        return self.level + self.slope * rate

    def error(self, rate: float) -> float:
        direction = np.array([1.0, rate / self.unit])
        return math.sqrt(direction @ self.covariance @ direction)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """``knee``: best guess with its relative standard ``error``; ``low`` and ``high``: below all probes were valid,
    above none was (``high`` may be the ceiling); between them noise decides.
    """

    knee: float | None
    error: float | None
    low: float | None
    high: float
    limited_by: str


@dataclass(kw_only=True)
class Search:
    """``capacity``: samples/s of the full engine. ``ceiling``: nothing is probed above it, for queueing alone.

    ``tolerance``: relative standard error of the knee that is good enough.
    """

    capacity: float
    ceiling: float
    tolerance: float = 0.0075
    max_probes: int = 12
    probes: list[Probe] = field(default_factory=list)

    def add(self, probe: Probe) -> None:
        self.probes.append(probe)

    def bracket(self) -> tuple[float | None, float | None]:
        """Highest rate up to which every probe was valid, lowest from which on none was."""
        valid = [p.target_qps for p in self.probes if p.valid]
        invalid = [p.target_qps for p in self.probes if not p.valid]
        low = max((r for r in valid if not invalid or r < min(invalid)), default=None)
        high = min((r for r in invalid if not valid or r > max(valid)), default=None)
        return low, high

    def next(self) -> Ask | None:
        """The next probe, or ``None`` when the knee is known well enough or the probes are used up."""
        if len(self.probes) >= self.max_probes:
            return None
        if not self.probes:
            return Ask(rate=clean(START * self.ceiling))
        low, high = self.bracket()
        if low is not None and low >= self.ceiling * (1 - self.tolerance / 2):
            return None
        rate = self._propose(low, high)
        if rate is None:
            return None
        rate = clean(min(rate, self.ceiling))
        return Ask(rate=rate, lengthen=2.0 if rate >= NEAR_CEILING * self.ceiling else 1.0)

    def _propose(self, low: float | None, high: float | None) -> float | None:
        root = self.root()
        tried = [p.target_qps for p in self.probes]
        if not any(p.valid for p in self.probes):
            below = 0.9 * min(tried)
            return max(0.5 * min(tried), min(root.rate, below)) if root else 0.7 * min(tried)
        if root is None or root.rate >= self.ceiling:
            # nothing says that the latencies bind below the ceiling, unless a probe there failed
            return self.ceiling if all(p.valid for p in self.probes) else math.sqrt((low or min(tried)) * max(tried))
        if all(p.valid for p in self.probes):
            return root.rate * (1 + self.tolerance) if root.rate > max(tried) else max(tried) * 1.02
        if low is not None and high is not None and not low * (1 - SLACK) < root.rate < high * (1 + SLACK):
            return math.sqrt(low * high)  # a line drawn from afar
        if root.error <= self.tolerance and low is not None and high is not None:
            return None
        # on both sides of the knee in turn, so that slope and place of the line are both well known
        spread = max(2 * self.tolerance, min(root.error, 0.05))
        above = sum(rate > root.rate for rate in tried)
        return root.rate * (1 - spread if 2 * above > len(tried) else 1 + spread / 2)

    def root(self) -> Root | None:
        """Where the first headroom reaches 1; ``None`` where nothing comes near."""
        roots = [r for r in (self._ttft(), self._tpot()) if r]
        return min(roots, key=lambda r: r.rate, default=None)

    def _near(self, name: str) -> list[Probe]:
        """The probes that say something of the knee of ``name``."""
        return [
            p
            for p in self.probes
            if (room := getattr(p, f"headroom_{name}")) is not None and NEAR < room < (FAR if p.whole else 1)
        ]

    def _ttft(self) -> Root | None:
        near = self._near("ttft")
        line = self._line(near, [p.headroom_ttft or 0.0 for p in near], [p.error_ttft or 0.1 for p in near])
        return self._reach(line, line.at, line.error) if line else None

    def _tpot(self) -> Root | None:
        """As :func:`harness.tune.verdict.tail_headroom` says it for one probe, with the spread of all probes together.

        The spread comes from the arrivals: of ``rate * latency`` requests in the system, so relative to the headroom
        it goes like sqrt(rate / headroom). One probe's own spread is known to a third only, that of all to a tenth.
        """
        near = [p for p in self._near("tpot") if p.tpot_room and p.tpot_spread is not None and p.independent]
        if not near:
            return None
        rate, room, spread, independent, share = (
            np.array(column)
            for column in zip(
                *((p.target_qps, p.tpot_room, p.tpot_spread, p.independent, p.allowed_share) for p in near), strict=True
            )
        )
        scale, freedom = np.sqrt(rate / room), independent - 1
        unit = math.sqrt(float((freedom * (spread / scale) ** 2).sum() / freedom.sum()))
        line = self._line(near, list(room), list(room * unit * scale / np.sqrt(independent) + FLOOR))
        if line is None:
            return None
        z = NormalDist().inv_cdf(1 - float(share.mean()))

        def lost(at: float) -> float:
            """The logarithm of what a long run's tail takes from the headroom."""
            return z * unit * math.sqrt(at / line.at(at))

        def tail(at: float) -> float:
            return line.at(at) * math.exp(-lost(at))

        def error(at: float) -> float:
            return tail(at) * math.hypot(line.error(at) / line.at(at), lost(at) / math.sqrt(2 * float(freedom.sum())))

        return self._reach(line, tail, error)

    def _line(self, near: list[Probe], rooms: list[float], errors: list[float]) -> Line | None:
        """The straight line through the headrooms, by rate; ``None`` if it does not fall through 1."""
        if not near:
            return None
        # beyond the full engine's speed there is no headroom left: what makes a line of a single probe, and little more
        rate = np.array([*(p.target_qps for p in near), 1.15 * self.capacity]) / self.capacity
        room, error = np.array([*rooms, 0.0]), np.array([*errors, 0.5 * len(near)])
        weight = 1 / (error**2 + (CURVATURE * (room - 1)) ** 2)
        design = np.stack([np.ones_like(rate), rate], axis=1)
        covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
        level, slope = covariance @ design.T @ (weight * room)
        if slope >= 0 or level <= 1:
            return None
        return Line(level=float(level), slope=float(slope) / self.capacity, unit=self.capacity, covariance=covariance)

    def _reach(self, line: Line, room: Callable[[float], float], error: Callable[[float], float]) -> Root | None:
        """Where ``room``, nowhere above ``line``, falls to 1."""
        low, high = 1e-3 * self.capacity, (1 - line.level) / line.slope
        if room(low) <= 1:
            return None
        while high / low - 1 > 1e-6:
            middle = (low + high) / 2
            low, high = (middle, high) if room(middle) > 1 else (low, middle)
        slope = (room(low) - room(0.999 * low)) / 0.001
        return Root(rate=low, error=error(low) / abs(slope))

    def estimate(self) -> Estimate:
        """What is known now."""
        low, high = self.bracket()
        top = high or self.ceiling
        if not any(p.valid for p in self.probes):
            return Estimate(knee=None, error=None, low=None, high=top, limited_by="nothing valid was found")
        root = self.root()
        if root is None or root.rate >= self.ceiling or (low or 0) >= self.ceiling * (1 - self.tolerance / 2):
            return Estimate(knee=self.ceiling, error=None, low=low, high=top, limited_by=QUEUEING)
        binding = self._ttft()
        name = "TTFT" if binding and binding.rate == root.rate else "TPOT"
        knee = min(max(root.rate, (low or 0.0) * (1 - SLACK)), top * (1 + SLACK))
        return Estimate(knee=knee, error=root.error, low=low, high=top, limited_by=name)


def clean(rate: float) -> float:
    """Five significant digits, as they are written into user.conf."""
    return float(f"{rate:.5g}")


def queueing_ceiling(capacity: float, *, ttft_limit_s: float, share: float) -> float:
    """Highest Poisson rate whose queueing alone keeps all but ``share`` of the requests within ``ttft_limit_s``.

    Kingman's heavy-traffic law with regular service, as batching makes it: the wait is exponential with mean
    1 / (2 * capacity * (1 - load)). A backlog of this kind builds over minutes, so a probe of seconds cannot see it.
    """
    gap = math.log(1 / share) / (2 * capacity * ttft_limit_s)
    return capacity * max(1 - gap, 0.5)
