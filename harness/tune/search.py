"""Which rate to probe next. Pure: fed with what probes said, it names rates and, at the end, the knee.

Near its limit a latency goes like 1 / (1 - load) (a step of continuous batching takes longer in proportion to the work
that arrives during it; a queue's wait does the same), so ``limit / latency``, the headroom, falls in a straight line
with the rate. A line through the probes therefore finds the knee in a few steps where bisection needs many; the bracket
of valid and invalid rates keeps it honest, and noise is met by fitting all probes near the knee together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from harness.tune.verdict import Probe

START = 0.85  # of the ceiling: near enough to tell, far enough not to drown
FAR = 3.0  # headroom above which a probe says nothing of the knee
NEAR_CEILING = 0.97
QUEUEING = "capacity: in a long run queueing alone would break the TTFT limit"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Probe at ``rate`` (samples/s), ``lengthen`` times as long as usual."""

    rate: float
    lengthen: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """``knee``: best guess; ``low``: highest valid rate probed; ``high``: lowest rate that is not valid."""

    knee: float | None
    low: float | None
    high: float
    limited_by: str

    @property
    def width(self) -> float:
        """Relative width of the bracket."""
        return self.high / self.low - 1 if self.low else math.inf


@dataclass(kw_only=True)
class Search:
    """``capacity``: samples/s of the full engine. ``ceiling``: nothing is probed above it, for queueing alone."""

    capacity: float
    ceiling: float
    tolerance: float = 0.005
    max_probes: int = 12
    probes: list[Probe] = field(default_factory=list)

    def add(self, probe: Probe) -> None:
        self.probes.append(probe)

    @property
    def known(self) -> dict[float, Probe]:
        """Rate to probe; a rate that was probed again counts with the later, longer one."""
        return {p.target_qps: p for p in self.probes}

    def bracket(self) -> tuple[float | None, float | None]:
        """Highest valid rate under the lowest invalid one, and that one."""
        known = self.known
        high = min((r for r, p in known.items() if not p.valid), default=None)
        low = max((r for r, p in known.items() if p.valid and (high is None or r < high)), default=None)
        return low, high

    def next(self) -> Ask | None:
        """The next probe, or ``None`` when the bracket is narrow enough or the probes are used up."""
        if len(self.probes) >= self.max_probes:
            return None
        if not self.probes:
            return Ask(rate=self._clean(START * self.ceiling))
        doubted = self._doubted()
        if doubted is not None:
            return Ask(rate=doubted, lengthen=2.0)
        low, high = self.bracket()
        if low is not None and (high or self.ceiling) / low - 1 <= self.tolerance:
            return None
        rate = self._clean(self._propose(low, high))
        if rate in self.known:
            return None
        return Ask(rate=rate, lengthen=2.0 if rate >= NEAR_CEILING * self.ceiling else 1.0)

    def _doubted(self) -> float | None:
        """An invalid rate under a valid one: noise in one of them. The invalid one is asked again, once."""
        _, high = self.bracket()
        if high is None or not any(p.valid and p.target_qps > high for p in self.probes):
            return None
        return high if sum(p.target_qps == high for p in self.probes) == 1 else None

    def _propose(self, low: float | None, high: float | None) -> float:
        step = self.tolerance
        root = self.root()
        if low is None:
            assert high is not None
            return max(0.3 * high, min(root or 0.0, (1 - 2 * step) * high)) if root else 0.7 * high
        top = high or self.ceiling
        middle = math.sqrt(low * top)
        if root is None:
            return middle if high else self.ceiling
        if high is None and root >= top * (1 - step):
            return self.ceiling
        if self._stuck(low, top):
            return middle
        # each new probe is put so that, if the line is right, it closes the bracket from its wider side
        rate = root * (1 - step / 2) if root - low > top - root else root * (1 + step / 2)
        if not low * (1 + step / 4) < rate < top * (1 - step / 4):
            rate = min(max(rate, low * (1 + step)), top * (1 - step)) if top / low - 1 > 3 * step else middle
        return rate

    def _stuck(self, low: float, top: float) -> bool:
        """Three verdicts alike in a row and still a wide bracket: the line misleads."""
        last = [p.valid for p in self.probes[-3:]]
        return len(last) == 3 and len(set(last)) == 1 and top / low - 1 > 4 * self.tolerance

    def root(self) -> float | None:
        """Rate at which the first headroom reaches 1, by weighted straight lines; ``None`` where there is none."""
        return min((r for r in (self._line("headroom_ttft"), self._line("headroom_tpot")) if r), default=None)

    def _line(self, name: str) -> float | None:
        points = [(p.target_qps, room, p.queries) for p in self.known.values()
                  if (room := getattr(p, name)) is not None and room < FAR and p.queries >= 20
                  and (p.whole or 0.5 < room < 1)]  # fmt: skip
        if not points:
            return None
        rate, room, queries = (np.array(column, dtype=float) for column in zip(*points, strict=True))
        weight = queries / queries.max() / ((room - 1) ** 2 + 0.05**2)
        # beyond the full engine's speed there is no headroom left: what makes a line of a single probe
        rate, room = np.append(rate, 1.15 * self.capacity), np.append(room, 0.0)
        weight = np.append(weight, 1e-3 * weight.max())
        slope, level = np.polyfit(rate, room, 1, w=np.sqrt(weight))
        return float((1 - level) / slope) if slope < 0 and level > 1 else None

    def estimate(self) -> Estimate:
        """What is known now."""
        low, high = self.bracket()
        top = high or self.ceiling
        if low is None:
            return Estimate(knee=None, low=None, high=top, limited_by="nothing valid was found")
        root = self.root()
        if high is None and (root is None or root >= self.ceiling or low >= self.ceiling * (1 - self.tolerance)):
            return Estimate(knee=self.ceiling, low=low, high=top, limited_by=QUEUEING)
        knee = min(max(root, low), top) if root else math.sqrt(low * top)
        return Estimate(knee=knee, low=low, high=top, limited_by=self._limit(top))

    def _limit(self, high: float) -> str:
        probe = self.known.get(high)
        return probe.reason.split(":")[0] if probe else QUEUEING

    def _clean(self, rate: float) -> float:
        return clean(min(rate, self.ceiling))


def clean(rate: float) -> float:
    """Five significant digits, as they are written into user.conf."""
    return float(f"{rate:.5g}")


def queueing_ceiling(capacity: float, *, ttft_limit_s: float, share: float, work_cv2: float) -> float:
    """Highest Poisson rate whose queueing alone keeps all but ``share`` of the requests within ``ttft_limit_s``.

    Kingman's heavy-traffic law: the wait is exponential with mean (1 + cs^2) / (2 * capacity * (1 - load)). A backlog
    of this kind builds over minutes, so a probe of seconds cannot see it. ``work_cv2``: squared coefficient of
    variation of a request's work.
    """
    gap = math.log(1 / share) * (1 + work_cv2) / (2 * capacity * ttft_limit_s)
    return capacity * max(1 - gap, 0.5)
