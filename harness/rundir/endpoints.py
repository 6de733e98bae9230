"""endpoints.json as types: the curve that is measured, point by point, and what MLCommons' client leaves of a point.

The client's files are read, never written: its fields that we do not use are passed over.
"""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1


class PlannedPoint(msgspec.Struct, kw_only=True, frozen=True):
    """``region``: as point.yaml spells it. ``offline``: dedicated, elected or none. ``accuracy``: scored as well."""

    concurrency: int
    region: str
    accuracy: bool = False
    offline: str = "none"
    min_duration_ms: int

    @property
    def dedicated(self) -> bool:
        """An Offline run: every sample at once, no latencies."""
        return self.offline == "dedicated"

    @property
    def name(self) -> str:
        """Its directory."""
        return f"r{self.concurrency}"


class Figures(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a point came to. Times in ms, ``system_tps`` in tokens/s, ``tps_per_user`` = 1000 / TPOT p90."""

    samples: int
    duration_s: float
    samples_per_second: float
    system_tps: float
    ttft_p90_ms: float | None = None
    tpot_p90_ms: float | None = None
    tps_per_user: float | None = None
    tps_per_kw: float | None = None


class PointRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A point that was run. ``inputs``: digest of what it was run from. ``problems``: why it does not count, if so.

    ``samples``: requests that were asked for. ``files``: SHA-256 of the client's files that were judged.
    """

    inputs: str
    seconds: float
    samples: int
    files: dict[str, str] = {}
    figures: Figures | None = None
    scores: dict[str, float] | None = None
    problems: list[str] = []


class CurveRecord(msgspec.Struct, kw_only=True):
    """The state of ``benchmark endpoints``, written after every step.

    ``rates``: samples/s by concurrency, measured by the probe and by the points; ``c_max``: what the
    probe found. ``points``: by directory name.
    ``checker``: version and verdict of the official one, None where it did not run. ``tree``: what was built.
    """

    schema_version: int = SCHEMA_VERSION
    rehearsal: bool = False
    client_commit: str | None = None
    cohort: str | None = None
    plan: list[PlannedPoint] = []
    rates: dict[str, float] = {}
    c_max: int | None = None
    points: dict[str, PointRecord] = {}
    power_kw: float | None = None
    checker: str | None = None
    tree: str | None = None

    @property
    def measured(self) -> dict[int, float]:
        """The rates by concurrency."""
        return {int(concurrency): rate for concurrency, rate in self.rates.items()}

    def note_rate(self, concurrency: int, rate: float) -> None:
        self.rates[str(concurrency)] = rate


class Distribution(msgspec.Struct, kw_only=True):
    """A distribution of the client's: ns or tokens. Empty for what a run without streaming has not."""

    total: float | None = None
    max: float | None = None
    percentiles: dict[str, float | None] = {}

    def percentile(self, percent: float) -> float | None:
        """The value at ``percent``; the client writes 90 as "90.0"."""
        for key, value in self.percentiles.items():
            if float(key) == percent:
                return value
        return None


class ResultSummary(msgspec.Struct, kw_only=True):
    """performance/result_summary.json of the client."""

    version: str | None = None
    git_sha: str | None = None
    n_samples_issued: int | None = None
    n_samples_completed: int | None = None
    n_samples_failed: int | None = None
    duration_ns: int | None = None
    state: str | None = None
    complete: bool | None = None
    ttft: Distribution = msgspec.field(default_factory=Distribution)
    tpot: Distribution = msgspec.field(default_factory=Distribution)
    latency: Distribution = msgspec.field(default_factory=Distribution)
    output_sequence_lengths: Distribution = msgspec.field(default_factory=Distribution)
    finish_reason_counts: dict[str, int] | None = None
    system_tps: float | None = None
    ttft_p90_ms: float | None = None
    tpot_p90_ms: float | None = None
    tps_per_user: float | None = None
    tps_per_kw: float | None = None

    @property
    def seconds(self) -> float | None:
        return self.duration_ns / 1e9 if self.duration_ns else None

    def figures(self, *, power_kw: float | None = None) -> Figures | None:
        """None where the client counted no token, or no time."""
        tokens, took = self.output_sequence_lengths.total, self.seconds
        if not tokens or not took or not self.n_samples_completed:
            return None
        ttft, tpot = self.ttft.percentile(90), self.tpot.percentile(90)
        return Figures(
            samples=self.n_samples_completed,
            duration_s=took,
            samples_per_second=self.n_samples_completed / took,
            system_tps=tokens / took,
            ttft_p90_ms=ttft / 1e6 if ttft else None,
            tpot_p90_ms=tpot / 1e6 if tpot else None,
            tps_per_user=1e9 / tpot if tpot else None,
            tps_per_kw=tokens / took / power_kw if power_kw else None,
        )


class ResponseCounts(msgspec.Struct, kw_only=True):
    issued: int | None = None
    scored: int | None = None
    empty: int | None = None
    missing: int | None = None


class AccuracyEntry(msgspec.Struct, kw_only=True):
    """One data set's scores. The client writes numbers as text."""

    dataset_name: str | None = None
    score: dict[str, str | float] | float | str | None = None
    unit_samples: int | None = None
    total_samples: int | None = None
    complete: bool | None = None
    dataset_type: str | None = None
    response_counts: ResponseCounts | None = None

    def scores(self) -> dict[str, float]:
        """Every score that is a number."""
        found = {}
        for name, value in (self.score if isinstance(self.score, dict) else {}).items():
            try:
                found[name] = float(value)
            except ValueError:
                continue
        return found


class AccuracyResults(msgspec.Struct, kw_only=True):
    """accuracy/accuracy_results.json of the client."""

    accuracy_scores: list[AccuracyEntry] = []

    def accuracy(self) -> list[AccuracyEntry]:
        """Those of an accuracy run; a performance run may be scored on the way, which does not count."""
        return [entry for entry in self.accuracy_scores if entry.dataset_type != "performance"]
