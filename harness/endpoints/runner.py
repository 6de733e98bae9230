"""Measure a curve: probe, plan, run each point, judge it, remember it. The same command goes on where it was ended.

A point is done while its record says that it counts, what it was run from is the same, and the client's files are those
that were judged. A point that was cut short leaves nothing that counts.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.endpoints import run_client
from harness.endpoints.check import Point, Severity, judge_point
from harness.endpoints.check.files import Expected
from harness.endpoints.client import Client
from harness.endpoints.client_config import ClientConfig, Target, point_config
from harness.endpoints.plan import passes_for, rate_at
from harness.endpoints.server import Endpoint
from harness.endpoints.workspace import CACHE
from harness.rounds import SeedSet
from harness.rundir import names
from harness.rundir.endpoints import CurveRecord, PlannedPoint, PointRecord
from harness.rundir.files import read_record, write_record
from mlperf_llama_base.errors import RunError
from mlperf_llama_base.files import sha256_of

WORK, POINTS, PROBES, SERVER_LOG = "work", "points", "probe", "serve.log"
GROWTH = 1.02  # a probe's throughput counts as more than the last one's from here on
PROBE_START = 32
PROBE_ROUNDS = 4  # requests of a probe, times its concurrency
MOST_PROBE = 8192
SLACK, LEAST_LIMIT_S = 4.0, 1800.0


@dataclass(kw_only=True)
class Curve:
    """The measurement in ``directory``. ``say``: for lines that a person reads; ``rows``: of the data set."""

    directory: Path
    client: Client
    endpoint: Endpoint
    target: Target
    seeds: SeedSet
    rows: int
    rehearsal: bool = False
    stream_all: bool = False
    env: dict[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None
    record: CurveRecord = field(default_factory=CurveRecord)

    @property
    def folder(self) -> Path:
        """Where the client runs."""
        return self.directory / WORK

    def place(self, point: PlannedPoint) -> Path:
        return self.directory / POINTS / point.name

    def report(self, point: PlannedPoint) -> Path:
        """The client's own files of a point."""
        return self.place(point) / run_client.REPORT

    def load(self) -> None:
        """What an earlier command left. Raises ``UserError`` if it is damaged."""
        self.record = read_record(self.directory / names.ENDPOINTS, CurveRecord) or CurveRecord()

    def save(self) -> None:
        write_record(self.directory / names.ENDPOINTS, self.record)

    def probe(self, concurrencies: Sequence[int]) -> None:
        """Measure the rate at these concurrencies, those that are not known yet."""
        for concurrency in concurrencies:
            if concurrency not in self.record.measured:
                self._probe(concurrency)

    def find_c_max(self, *, ceiling: int = MOST_PROBE) -> int:
        """The lowest power of two from which twice as many streams serve hardly more. Raises what a run raises."""
        concurrency, best = 2 * PROBE_START, PROBE_START
        self.probe([PROBE_START])
        while concurrency <= ceiling:
            self.probe([concurrency])
            if self.record.measured[concurrency] < GROWTH * self.record.measured[best]:
                break
            concurrency, best = 2 * concurrency, concurrency
        return max(best, 2 * PROBE_START)

    def _probe(self, concurrency: int) -> None:
        point = PlannedPoint(concurrency=concurrency, region="", min_duration_ms=0)
        place = self.directory / PROBES / point.name
        samples = max(PROBE_ROUNDS * concurrency, 2 * PROBE_START)
        self.say(f"probe at concurrency {concurrency:,}: {samples:,} requests")
        self._call(self.config(point, samples, place), place, accuracy=False, limit_s=LEAST_LIMIT_S)
        summary = Point(place / run_client.REPORT).summary
        figures = summary.figures() if summary else None
        if summary is None or figures is None or summary.n_samples_failed:
            failed = summary.n_samples_failed if summary else None
            raise RunError(
                f"the probe at concurrency {concurrency} has no rate: {failed or 'no'} requests failed ({place})"
            )
        self.record.note_rate(concurrency, figures.samples_per_second)
        self.save()

    def config(self, point: PlannedPoint, samples: int, place: Path) -> ClientConfig:
        return point_config(
            point,
            samples=samples,
            target=self.target,
            seeds=self.seeds,
            report_dir=place / run_client.REPORT,
            stream_all=self.stream_all,
        )

    def _call(self, config: ClientConfig, place: Path, *, accuracy: bool, limit_s: float) -> None:
        self.endpoint.start()
        run_client.run(
            self.client,
            config,
            place,
            folder=self.folder,
            accuracy=accuracy,
            limit_s=limit_s,
            env=self.env,
            alive=self.endpoint.check,
        )

    def samples(self, point: PlannedPoint) -> int:
        """Requests of a point, from the measured rate."""
        rate = rate_at(point.concurrency, self.record.measured)
        return self.rows * passes_for(rate, point.min_duration_ms, samples=self.rows)

    def inputs(self, point: PlannedPoint) -> str:
        """Digest of what decides about a point: all but the number of its passes, which follows from a measurement."""
        config = msgspec.structs.replace(self.config(point, 0, Path()), report_dir="")
        data = sha256_of(self.folder / CACHE)
        text = msgspec.json.encode([point, config, self.client.commit, data, self.record.rehearsal])
        return hashlib.sha256(text).hexdigest()

    def why_run(self, point: PlannedPoint) -> str | None:
        """Why a point must be run (again), None if it is done."""
        found = self.record.points.get(point.name)
        if found is None:
            return "interrupted" if self.place(point).exists() else "new"
        if found.inputs != self.inputs(point):
            return "what it is run from changed"
        if found.problems:
            return "did not count"
        if found.files != digests(self.report(point)):
            return "its files are gone or were changed"
        return None

    def run(self) -> bool:
        """Run every point that is not done. Returns whether all count."""
        for number, point in enumerate(self.record.plan, 1):
            if reason := self.why_run(point):
                self.say(f"{number}/{len(self.record.plan)} {point.name} ({reason}): {self.samples(point):,} requests")
                self._measure(point)
        return all(not self.record.points[point.name].problems for point in self.record.plan)

    def _measure(self, point: PlannedPoint) -> None:
        samples, place = self.samples(point), self.place(point)
        self.record.points.pop(point.name, None)
        self.save()
        began = time.monotonic()
        expected_s = samples * (1 + point.accuracy) / rate_at(point.concurrency, self.record.measured)
        limit = max(SLACK * expected_s, LEAST_LIMIT_S)
        self._call(self.config(point, samples, place), place, accuracy=point.accuracy, limit_s=limit)
        judged = Point(self.report(point), self.expected(point, samples))
        problems = [f.message for f in judge_point(judged) if f.severity is Severity.ERROR]
        figures = judged.summary.figures() if judged.summary else None
        if judged.summary is None:
            problems.insert(0, f"the client left no {judged.summary_path.name}")
        scores = {
            k: v for entry in (judged.accuracy.accuracy() if judged.accuracy else []) for k, v in entry.scores().items()
        }
        self.record.points[point.name] = PointRecord(
            inputs=self.inputs(point),
            seconds=round(time.monotonic() - began, 1),
            samples=samples,
            figures=figures,
            scores=scores or None,
            problems=problems,
            files=digests(self.report(point)),
        )
        if figures and not point.dedicated:
            self.record.note_rate(point.concurrency, figures.samples_per_second)  # what a next try is planned from
        self.save()
        for text in problems:
            self.say(f"  {point.name} does not count: {text}")

    def expected(self, point: PlannedPoint, samples: int) -> Expected:
        return Expected(
            samples=samples,
            concurrency=point.concurrency,
            accuracy=point.accuracy,
            dedicated=point.dedicated,
            min_duration_ms=point.min_duration_ms,
            data_set=self.rows,
            rehearsal=self.rehearsal,
        )


def digests(report: Path) -> dict[str, str]:
    """SHA-256 of the client's files that a submission takes."""
    point = Point(report)
    found = (point.config_path, point.summary_path, point.accuracy_path)
    return {path.name: sha256_of(path) for path in found if path.is_file()}
