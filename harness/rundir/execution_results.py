"""What a benchmark over several nodes measured, and what follows from it: the second half of execution.json."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.rundir.result import state_of
from harness.rundir.scaling import Rate, TokenSummary
from harness.rundir.session import LostWorker

Severity = Literal["critical", "warning", "note"]
Topic = Literal["correctness", "performance", "measurement"]


class RequestTime(msgspec.Struct, kw_only=True):
    """Seconds of a request: from when a worker was given it to its completion, not from the start of the test.

    ``mean_ci95``: half of the 95 % interval of the mean. ``first_token_mean``: from the same moment.
    ``waited_mean``: in the queue before it, from LoadGen's issue on (Offline issues everything at the start).
    """

    mean: float
    p50: float
    p99: float
    max: float
    mean_ci95: float | None = None
    first_token_mean: float | None = None
    waited_mean: float | None = None


class Use(msgspec.Struct, kw_only=True):
    """How much of a node was used during the test: means over its time, percent of all; memory at its highest, bytes.

    ``throttled``: share of the readings, by the driver's reason. ``busiest_core_pct``: median of the busiest core.
    ``gpu_memory_*``: of all its GPUs together.
    """

    cpu_pct: float | None = None
    busiest_core_pct: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    gpu_pct: float | None = None
    gpu_memory_used_bytes: float | None = None
    gpu_memory_total_bytes: float | None = None
    throttled: dict[str, float] = {}
    sent_mb_s: float | None = None
    received_mb_s: float | None = None


class WorkerRate(msgspec.Struct, kw_only=True):
    """One worker, of one GPU or on CPUs (``gpu`` is null)."""

    id: str
    node: str | None = None
    gpu: str | None = None
    samples_completed: int = 0
    tokens_per_second: Rate | None = None
    busy_fraction: float | None = None
    rss_bytes: int | None = None


class NodeResult(msgspec.Struct, kw_only=True):
    """A node's share of a part.

    ``samples_asked``: in the coordinated benchmark what its LoadGen issued or was to issue, in the distributed one
    what its workers were given. ``seconds``: from the first issue to its last completion. ``start_s``, ``end_s``: of
    its test, in seconds since the first node's. ``problem``: why its figures are missing or do not count.
    ``model``: digest of the model's files as the node's own LoadGen found them.
    """

    node: str
    directory: str | None = None
    workers: int = 0
    gpus: int = 0
    valid: bool | None = None
    samples_asked: int | None = None
    samples_completed: int = 0
    samples_lost: int | None = None
    samples_retried: int | None = None
    seconds: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: Rate | None = None
    request_s: RequestTime | None = None
    rss_bytes: int | None = None
    use: Use = msgspec.field(default_factory=Use)
    lost_workers: list[LostWorker] = []
    problem: str | None = None
    log: str | None = None
    model: str | None = None

    @property
    def success_rate(self) -> float | None:
        """Completed of asked; None if nothing was asked."""
        return self.samples_completed / self.samples_asked if self.samples_asked else None


class TokenFigures(msgspec.Struct, kw_only=True):
    """Tokens of a sample; and the rate of a worker (a GPU), output tokens per second.

    ``worker_spread``: fastest less slowest worker, against the mean.
    """

    input: TokenSummary | None = None
    output: TokenSummary | None = None
    both: TokenSummary | None = None
    worker_mean: float | None = None
    worker_min: float | None = None
    worker_max: float | None = None
    worker_spread: float | None = None


class Answer(msgspec.Struct, kw_only=True):
    """A sample's answer as text; null where tokenizer or log are not at hand. ``token_ids``: its first."""

    qsl_idx: int
    node: str | None = None
    output_tokens: int | None = None
    text: str | None = None
    token_ids: list[int] = []


class Quality(msgspec.Struct, kw_only=True):
    """How the responses look, without judging their words. ``at_limit``: as long as max_new_tokens allows, cut off.

    ``finished``: ended by themselves. ``empty``: of one token or none: the end at once. ``histogram``: counts of output
    lengths, with ``edges`` (one more than counts).
    """

    responses: int
    failed: int | None = None
    finished: int | None = None
    at_limit: int | None = None
    empty: int | None = None
    shortest: int | None = None
    median: float | None = None
    longest: int | None = None
    longest_qsl_idx: int | None = None
    edges: list[float] = []
    histogram: list[int] = []
    answers: list[Answer] = []


class LoadGenProcess(msgspec.Struct, kw_only=True):
    """A process with LoadGen: processor seconds per second of the test, over all its threads."""

    node: str | None = None
    cpu_share: float | None = None
    peak_rss_bytes: int | None = None


class ClusterResult(msgspec.Struct, kw_only=True):
    """What one part measured over all nodes.

    ``directories``: the runs that it was computed from, relative to this file. ``samples_asked``: by the command;
    ``seconds``: of the longest LoadGen. Rates are sums over the nodes. ``start_spread_ms``: between the first and the
    last LoadGen's start. ``too_short``: not valid, and for the length of its tests alone.
    """

    part: str
    scenario: str | None = None
    directories: list[str] = []
    valid: bool | None = None
    too_short: bool = False
    invalid_reasons: list[str] = []
    nodes_asked: int | None = None
    nodes_active: int = 0
    workers: int = 0
    gpus: int = 0
    samples_asked: int | None = None
    samples_issued: int | None = None
    samples_completed: int = 0
    samples_lost: int | None = None
    samples_retried: int | None = None
    seconds: float | None = None
    start_spread_ms: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: Rate | None = None
    request_s: RequestTime | None = None
    gpu_memory_used_bytes: float | None = None
    gpu_memory_total_bytes: float | None = None
    nodes: list[NodeResult] = []
    worker_rates: list[WorkerRate] = []
    tokens: TokenFigures = msgspec.field(default_factory=TokenFigures)
    quality: Quality | None = None
    loadgen: list[LoadGenProcess] = []

    @property
    def state(self) -> str | None:
        """The verdict on its runs in words, None: not known."""
        return None if self.valid is None else state_of(self.valid, too_short=self.too_short)

    @property
    def places(self) -> int:
        """GPUs, or workers where there are none: what "per GPU" divides by."""
        return self.gpus or self.workers


class Baseline(msgspec.Struct, kw_only=True):
    """One worker of a kind (GPU's name, or CPU) alone, measured in the same part."""

    kind: str
    tokens_per_second: Rate
    samples_per_second: float | None = None
    samples_completed: int | None = None
    seconds: float | None = None


class ScalingPoint(msgspec.Struct, kw_only=True):
    """``name``: of the run. ``too_short``: as in a result. ``ideal``: what the workers do alone, added, over the
    fastest baseline.

    ``efficiency_ci95``: half of the 95 % interval. ``valid``: null if LoadGen's word on it is missing.
    """

    name: str
    workers: int
    valid: bool | None = None
    too_short: bool = False
    tokens_per_second: Rate
    speed_up: float | None = None
    ideal: float | None = None
    efficiency: float | None = None
    efficiency_ci95: float | None = None

    @property
    def state(self) -> str | None:
        """The verdict in words, None: not known."""
        return None if self.valid is None else state_of(self.valid, too_short=self.too_short)


class Scaling(msgspec.Struct, kw_only=True):
    """All workers against the baselines. ``points``: the last one is the whole cluster."""

    part: str
    baselines: list[Baseline] = []
    points: list[ScalingPoint] = []


class Finding(msgspec.Struct, kw_only=True):
    """An issue or a bottleneck. ``rule``: its id; ``figures``: those that triggered it, units in their names."""

    rule: str
    severity: Severity
    topic: Topic
    text: str
    figures: dict[str, float | str | None] = {}
    advice: str = ""
    part: str | None = None
    node: str | None = None


class Recommendation(msgspec.Struct, kw_only=True):
    """What to do, from which findings (their rules)."""

    topic: Topic
    text: str
    rules: list[str] = []
