"""execution.json as types: what the benchmarks of a whole cluster found; the document is made from it.

Units stand in the names. Whatever was not measured or could not be found out is null, an empty list where it is one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.rundir.execution_results import ClusterResult, Finding, Recommendation, Scaling
from harness.rundir.result import TOO_SHORT
from harness.rundir.session import LostWorker

SCHEMA_VERSION = 1
PartName = Literal["datacenter", "distributed", "coordinated"]
PartStatus = Literal["done", "not valid", "failed", "not run", "interrupted"]


OTHER_MODEL = "other-model"  # id of the rule whose finding takes back every figure, whichever benchmark showed it


class Cause(msgspec.Struct, kw_only=True):
    """Why a part has no result: the first line that says so, on which node, in which log (relative to this file)."""

    first_error: str
    node: str | None = None
    log: str | None = None


class PartRun(msgspec.Struct, kw_only=True):
    """A run of a part. ``name``: as ``offline/performance``; ``directory``: relative to this file.

    ``state``: the verdict in words, null without a result. ``ttft_p99_ms``, ``tpot_p99_ms``, rates: LoadGen's own.
    ``rouge_l``: of an accuracy run that was scored. ``lost_workers``: given up in it, whoever did their samples.
    """

    name: str
    directory: str
    scenario: str | None = None
    mode: str | None = None
    valid: bool | None = None
    state: str | None = None
    submittable: bool | None = None
    seconds: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p99_ms: float | None = None
    rouge_l: float | None = None
    invalid_reasons: list[str] = []
    lost_workers: list[LostWorker] = []


class Unfinished(msgspec.Struct, kw_only=True):
    """A run in whose middle its part was interrupted. ``state``: of its test."""

    name: str
    state: Literal["not begun", "running", "ended"]
    samples_completed: int = 0
    samples_expected: int | None = None


class Part(msgspec.Struct, kw_only=True):
    """One benchmark of the three. ``exit_code``: null if it was not run or interrupted before it had one.

    ``started``: ISO 8601, UTC. ``analysis``: one sentence. ``directory``: of its runs, relative to this file.
    ``inputs``: digest of what it was made from: command, configuration, model, data set, code. ``duration_s``: of the
    last attempt; ``earlier_s``: of those before it, which were interrupted or failed. ``interrupted``: when the user
    ended it, ISO 8601, UTC, and ``unfinished``: how far it was then.
    """

    name: PartName
    status: PartStatus
    exit_code: int | None = None
    started: str | None = None
    duration_s: float | None = None
    earlier_s: float = 0.0
    analysis: str = ""
    cause: Cause | None = None
    directory: str | None = None
    inputs: str | None = None
    runs: list[PartRun] = []
    interrupted: str | None = None
    unfinished: list[Unfinished] = []

    @property
    def verdict(self) -> str:
        """In words: valid; too short for a verdict, where that alone is wrong with its runs; else the status."""
        bad = [run for run in self.runs if run.valid is False]
        if self.status == "not valid" and bad and all(run.state == TOO_SHORT for run in bad):
            return TOO_SHORT
        return "valid" if self.status == "done" else self.status


class NodeGpu(msgspec.Struct, kw_only=True):
    """A GPU of a node."""

    name: str
    memory_bytes: int | None = None


class ClusterNode(msgspec.Struct, kw_only=True):
    """A node that was asked to take part.

    ``machine``: the same for nodes that run on one kernel (containers, namespaces), a digest of its boot id; ``cpus``:
    numbers of the processors that it may use. ``cpu_limit``: of its control group, in processors.
    """

    name: str
    address: str | None = None
    machine: str | None = None
    cpu: str | None = None
    cores: int | None = None
    threads: int | None = None
    cpus: list[int] = []
    cpu_limit: float | None = None
    memory_bytes: int | None = None
    gpus: list[NodeGpu] = []
    gpu_driver: str | None = None
    cuda: str | None = None
    os: str | None = None
    kernel: str | None = None


class Environment(msgspec.Struct, kw_only=True):
    """Where and with what. ``cluster``: Kubernetes, Slurm, bare metal, one machine, as found.

    ``precision``: of the weights, as the engine reports it. Token counts are of one sample. ``round``: of MLPerf.
    ``versions``: of harness, LoadGen, engine and the rest, by name.
    """

    cluster: str | None = None
    nodes: list[ClusterNode] = []
    model: str | None = None
    is_llama_3_1_8b: bool | None = None
    dataset: str | None = None
    dataset_samples: int | None = None
    engine: str | None = None
    precision: str | None = None
    kv_cache: str | None = None
    max_input_tokens: int | None = None
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    round: str | None = None
    versions: dict[str, str | None] = {}


class NodeProbe(msgspec.Struct, kw_only=True):
    """What was measured of a node from the machine with the command, before the first part.

    ``clock_offset_ms``: its clock is ahead by that, known to ``clock_error_ms`` (half of the shortest round trip).
    ``reason``: why it is not reachable, or what failed of its pre-flight.
    """

    node: str
    reachable: bool
    clock_offset_ms: float | None = None
    clock_error_ms: float | None = None
    preflight: str | None = None
    reason: str | None = None


class Link(msgspec.Struct, kw_only=True):
    """The way between two nodes, as measured. ``rtt_ms``: median of a small message there and back."""

    source: str
    target: str
    rtt_ms: float | None = None
    bandwidth_mb_s: float | None = None


class Infrastructure(msgspec.Struct, kw_only=True):
    """``probes``: one for each node that was asked. Utilisation is in the results, since it is of a run."""

    probes: list[NodeProbe] = []
    links: list[Link] = []


class Asked(msgspec.Struct, kw_only=True):
    """What the command was to do. ``samples_per_node``: least number in the coordinated benchmark."""

    parts: list[PartName] = []
    nodes: list[str] = []
    samples_per_node: int | None = None
    scenario: str | None = None


class ExecutionRecord(msgspec.Struct, kw_only=True):
    """Everything. ``time``: when it first began, ISO 8601, UTC. ``duration_s``: of all parts and attempts, with
    pre-flight.

    ``results``: of the parts that measured something, the coordinated one first. ``achievements``: what was shown,
    with its figure. ``conclusion``: one or two sentences. ``interrupted``: when the user ended the command before its
    end, ISO 8601, UTC; null of one that came to it.
    """

    schema_version: int = SCHEMA_VERSION
    time: str
    duration_s: float | None = None
    command: str | None = None
    interrupted: str | None = None
    asked: Asked = msgspec.field(default_factory=Asked)
    parts: list[Part] = []
    environment: Environment = msgspec.field(default_factory=Environment)
    results: list[ClusterResult] = []
    scaling: Scaling | None = None
    infrastructure: Infrastructure = msgspec.field(default_factory=Infrastructure)
    findings: list[Finding] = []
    recommendations: list[Recommendation] = []
    achievements: list[str] = []
    conclusion: str = ""

    def counts(self, result: ClusterResult) -> bool:
        """Whether the figures of a part may be quoted."""
        part = self.part(result.part)
        whole = result.valid is True and not result.samples_lost and (part is None or part.status == "done")
        return whole and not any(finding.rule == OTHER_MODEL for finding in self.findings)

    @property
    def grave(self) -> list[Finding]:
        """The critical findings."""
        return [finding for finding in self.findings if finding.severity == "critical"]

    @property
    def in_detail(self) -> list[ClusterResult]:
        """The results that are told by node over time: of the datacenter benchmark, whose runs have reports of their
        own, only where there is no other.
        """
        return [result for result in self.results if result.part != "datacenter"] or self.results

    def part(self, name: str) -> Part | None:
        """The part of this name."""
        return next((part for part in self.parts if part.name == name), None)

    def result(self, name: str) -> ClusterResult | None:
        """What the part of this name measured."""
        return next((result for result in self.results if result.part == name), None)
