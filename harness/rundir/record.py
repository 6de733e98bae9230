"""Everything that a run left behind, read once: what the gate judges and the result is made of.

Missing files are missing evidence, not errors: a run that broke has few of them, and the gate says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import yaml

from harness.config import Benchmark, Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY, DetailLog, SummaryLog, parse_detail, parse_summary
from harness.loadgen.test06 import LLAMA_3_1_EOS, ComplianceResult, verify
from harness.rounds import ROUND
from harness.rundir.names import ACCURACY_JSON, CONFIG, PREFLIGHT, SESSION, SYSTEM
from harness.rundir.scores import Accuracy
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import sha256_of

LOGS = (SUMMARY, DETAIL, ACCURACY)


@dataclass(frozen=True)
class Evidence:
    """The saved files of one run, None for those that are not there. ``system``: what machine it ran on."""

    run_dir: Path
    config: dict[str, Any]
    session: dict[str, Any] | None
    detail: DetailLog
    summary: SummaryLog
    preflight: dict[str, Any] | None
    system: dict[str, Any] | None

    @classmethod
    def load(cls, run_dir: Path) -> Evidence:
        """Read ``run_dir``. Raises ``UserError`` if it is no run directory at all."""
        if not is_run_dir(run_dir):
            raise UserError(f"{run_dir} is not a run directory: it has no config.yaml, session.json or {DETAIL}")
        config = read_mapping(run_dir / CONFIG)
        session = read_mapping(run_dir / SESSION)
        detail = parse_detail(run_dir / DETAIL)
        return cls(
            run_dir=run_dir,
            config=config or {},
            session=session,
            detail=detail,
            summary=parse_summary(run_dir / SUMMARY),
            preflight=read_mapping(run_dir / PREFLIGHT),
            system=read_mapping(run_dir / SYSTEM),
        )

    def setting(self, *path: str) -> Any:
        """A value of config.yaml, None if it is not there."""
        node: Any = self.config
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def section(self, name: str) -> dict[str, Any]:
        """A mapping of session.json, empty if it is not there."""
        value = (self.session or {}).get(name)
        return value if isinstance(value, dict) else {}

    def listed(self, name: str) -> list[Any]:
        """A list of session.json, empty if it is not there."""
        value = (self.session or {}).get(name)
        return value if isinstance(value, list) else []

    @cached_property
    def scenario(self) -> Scenario:
        """What was asked for; without any record, what LoadGen ran."""
        named = self.setting("scenario") or (self.session or {}).get("scenario")
        return Scenario(str(named or self.detail.text("effective_scenario") or Scenario.OFFLINE).lower())

    @cached_property
    def mode(self) -> Mode:
        named = self.setting("mode") or (self.session or {}).get("mode")
        loadgen = Mode.ACCURACY if self.detail.text("effective_test_mode") == "AccuracyOnly" else Mode.PERFORMANCE
        return Mode(str(named or loadgen).lower())

    @cached_property
    def benchmark(self) -> Benchmark:
        edge = (
            self.scenario is Scenario.SINGLESTREAM
            or self.model_name in ROUND.benchmarks[Benchmark.EDGE].models.values()
        )
        return Benchmark(self.setting("benchmark") or (Benchmark.EDGE if edge else Benchmark.DATACENTER))

    @property
    def model_name(self) -> str | None:
        """LoadGen's model name as the session used it."""
        name = (self.session or {}).get("model_name")
        return str(name) if name else None

    @cached_property
    def accuracy(self) -> Accuracy | None:
        """The scores saved by ``harness.accuracy``. Raises ``UserError`` if the file is damaged."""
        path = self.run_dir / ACCURACY_JSON
        if not path.is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Accuracy)
        except msgspec.DecodeError as error:
            raise UserError(
                f"{path} is damaged ({error}): score again with mlperf-llama accuracy {self.run_dir}"
            ) from error

    @cached_property
    def compliance(self) -> ComplianceResult | None:
        """TEST06's verdict on a compliance run, None for others. Raises ``UserError`` if LoadGen's logs are missing."""
        if self.mode is not Mode.COMPLIANCE:
            return None
        return verify(self.run_dir, self.section("engine").get("eos_token_ids") or LLAMA_3_1_EOS)

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of LoadGen's logs that are there, by file name."""
        return {name: sha256_of(self.run_dir / name) for name in LOGS if (self.run_dir / name).is_file()}


def is_run_dir(path: Path) -> bool:
    """A run left something here that can be judged."""
    return any((path / name).is_file() for name in (CONFIG, SESSION, DETAIL))


def read_mapping(path: Path) -> dict[str, Any] | None:
    """Return a JSON or YAML mapping, ``None`` if there is no such file. Raises ``UserError`` if it is damaged."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: expected a mapping, found {type(value).__name__}")
    return value
