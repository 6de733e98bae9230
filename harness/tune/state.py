"""What the tuner was asked and what it knows: ``tune.json``, replaced after each step. See :mod:`harness.tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from harness import config
from harness.config import RunConfig, Strict
from harness.tune.verdict import Probe
from mlperf_llama_base import files
from mlperf_llama_base.errors import UserError

TUNE = "tune.json"
SCHEMA_VERSION = 1


class Options(Strict):
    """What ``mlperf-llama tune`` was asked."""

    probe_seconds: float = Field(20.0, gt=0)
    margin: float = Field(0.01, ge=0, lt=0.5)
    tolerance: float = Field(0.0075, gt=0, lt=0.5)
    max_probes: int = Field(12, ge=2)
    confirm: bool = True
    confirm_seconds: float | None = Field(None, gt=0)
    search: dict[str, list[Any]] = Field(default_factory=dict)
    budget_minutes: float = Field(60.0, gt=0)
    seed: int = 0


class State:
    """A mapping on disk. ``data`` may be changed freely; :meth:`save` makes it last."""

    def __init__(self, directory: Path, data: dict[str, Any]) -> None:
        self.directory = directory
        self.data = data

    @classmethod
    def new(cls, directory: Path, *, scenario: str, options: Options) -> State:
        empty = dict.fromkeys(
            (
                "now",
                "capacity",
                "ceiling_qps",
                "knee_qps",
                "bracket",
                "best_qps",
                "target_latency_ms",
                "confidence",
                "engine_settings",
                "user_conf",
            )
        )
        head = {"schema_version": SCHEMA_VERSION, "scenario": scenario, "state": "searching"}
        lists: dict[str, Any] = {"probes": [], "trials": [], "confirmations": []}
        return cls(directory, head | empty | lists | {"options": options.model_dump(mode="json")})

    @classmethod
    def load(cls, directory: Path) -> State:
        """Raises ``UserError`` if the file is missing or of another version."""
        data = files.read_json(directory / TUNE)
        if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
            raise UserError(f"{directory / TUNE} is missing or of another version: use --overwrite or another --output")
        return cls(directory, data)

    @property
    def options(self) -> Options:
        return Options.model_validate(self.data["options"])

    def save(self, **changes: Any) -> None:
        self.data.update(changes)
        files.write_json(self.directory / TUNE, self.data)

    def probes(self) -> list[Probe]:
        return [Probe(**p) for p in self.data["probes"]]


def with_settings(run_config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """Lay engine settings over a configuration: a name without a dot is one of ``engine.args``.

    Raises ``UserError`` naming a key that is not known.
    """
    tree: dict[str, Any] = run_config.model_dump(mode="json")
    for name, value in settings.items():
        node: Any = value
        for part in reversed((name if "." in name else f"engine.args.{name}").split(".")):
            node = {part: node}
        tree = config.merge(tree, node)
    return config.build(tree)
