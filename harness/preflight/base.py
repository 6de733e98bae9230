"""What a check is, what it finds, and what it may look at.

A *fail* means that the run would break, or would not do what was asked. A *warn* means that it would run, but with a
number that is lower than it could be or cannot be submitted; the latter is marked ``blocks_submission``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from harness.config import RunConfig
from harness.inventory.gpu import GpuInventory, read_gpus
from harness.preflight.model_files import ModelFolder, read_folder
from harness.rundir.preflight import PreflightFinding
from mlperf_llama_base.errors import HarnessError
from sut import engines
from sut.engines.facts import EngineFacts, ModelUse

if TYPE_CHECKING:
    from harness.preflight.sources import Tokenizer
    from qsl.dataset import Dataset


class Status(StrEnum):
    """In rising order of severity."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        return list(Status).index(self)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check. ``found``: one line; ``details``: further lines; ``advice``: what to do about it.

    ``of_input``: it is about what the user gave (options, model, data, user.conf), not about the machine.
    """

    status: Status
    found: str
    advice: str = ""
    details: tuple[str, ...] = ()
    blocks_submission: bool = False
    check: str = ""
    of_input: bool = False
    seconds: float = 0.0

    def record(self) -> PreflightFinding:
        return PreflightFinding(**{**asdict(self), "status": str(self.status), "details": list(self.details)})

    @classmethod
    def of(cls, saved: PreflightFinding) -> Finding:
        """From its record."""
        tree = msgspec.structs.asdict(saved)
        return cls(**tree | {"status": Status(str(saved.status)), "details": tuple(saved.details)})


def passed(found: str) -> Finding:
    return Finding(status=Status.PASS, found=found)


def skipped(why: str) -> Finding:
    """The check does not apply to this configuration."""
    return Finding(status=Status.PASS, found=f"not looked at: {why}")


def warn(found: str, advice: str, *, blocks_submission: bool = False) -> Finding:
    return Finding(status=Status.WARN, found=found, advice=advice, blocks_submission=blocks_submission)


def fail(found: str, advice: str) -> Finding:
    return Finding(status=Status.FAIL, found=found, advice=advice, blocks_submission=True)


def combine(findings: Sequence[Finding], otherwise: str) -> Finding:
    """One finding for several: the worst speaks, the others follow in ``details``. None at all: pass, ``otherwise``."""
    if not findings:
        return passed(otherwise)
    ordered = sorted(findings, key=lambda f: -f.status.rank)
    worst = ordered[0]
    details = tuple(f"{f.status}: {f.found}" + (f" → {f.advice}" if f.advice else "") for f in ordered[1:])
    return Finding(
        status=worst.status,
        found=worst.found,
        advice=worst.advice,
        details=worst.details + details,
        blocks_submission=any(f.blocks_submission for f in findings),
    )


@dataclass
class Context:
    """What the checks look at. The costly parts are read once, at first use, and raise what their reader raises.

    ``facts`` collects what identifies this node, for the record and for comparing nodes.
    """

    config: RunConfig
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def gpus(self) -> GpuInventory:
        return read_gpus()

    @cached_property
    def model(self) -> ModelFolder | None:
        """The model's files as found, or None where there are none to look at."""
        from harness.preflight.sources import model_path

        path = model_path(self.config)
        return read_folder(path) if path and path.is_dir() else None

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer, or None without one (whether one is needed is the model check's question)."""
        from harness.preflight.sources import tokenizer_of

        return tokenizer_of(self.config, self.model)

    @property
    def dataset(self) -> Dataset | None:
        """The data set, or None if it cannot be used; then ``dataset_problem`` says why."""
        return self._dataset[0]

    @property
    def dataset_problem(self) -> str:
        return self._dataset[1]

    @cached_property
    def _dataset(self) -> tuple[Dataset | None, str]:
        from harness.preflight.sources import dataset_of

        try:
            return dataset_of(self.config), ""
        except HarnessError as error:
            return None, str(error)

    @cached_property
    def engine(self) -> EngineFacts:
        """What is known of the engine. Of an unknown one nothing: that it is unknown is one check's finding."""
        try:
            return engines.find(self.config.engine.name)
        except HarnessError:
            return EngineFacts(model=ModelUse.NONE, uses_gpu=False)

    @property
    def loads_model(self) -> bool:
        """The engine loads the model itself, on this machine."""
        return self.engine.model is ModelUse.LOADED

    @property
    def wants_cuda(self) -> bool:
        """The configuration cannot run without an NVIDIA GPU on this machine."""
        return self.engine.uses_gpu and self.config.engine.device == "cuda"

    @property
    def uses_gpus(self) -> bool:
        """An engine of this configuration would run on the GPUs that are here."""
        return self.engine.uses_gpu and self.config.engine.device != "cpu" and bool(self.gpus.gpus)

    @property
    def on_cpu(self) -> bool:
        """An engine of this configuration would compute on this machine's CPUs."""
        return self.loads_model and not self.uses_gpus

    @property
    def workers(self) -> int:
        """Workers that this configuration starts on one machine."""
        count = self.config.workers.count or self.engine.workers(self.config.engine.args)
        if count is not None:
            return count
        return max(1, len(self.gpus.gpus) // self.config.workers.tensor_parallel) if self.uses_gpus else 1


class Check:
    """One question to the machine. Subclasses set ``name`` and answer in ``run``; exceptions become failed findings."""

    name: ClassVar[str]
    of_input: ClassVar[bool] = False

    def start(self, context: Context) -> None:
        """Begin what can go on beside the other checks; called for every check before the first one runs."""

    def run(self, context: Context) -> Finding:
        raise NotImplementedError
