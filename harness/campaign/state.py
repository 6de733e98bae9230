"""What a campaign has done already, and whether it still stands.

A run counts as done while its result is there and valid, and nothing that it was made from has changed: configuration,
user.conf, model, data set, code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.campaign.plan import Kind, Step
from harness.config import Mode, RunConfig
from harness.rundir import names
from harness.rundir.campaign import CampaignRecord, CampaignRun
from harness.rundir.files import read_record, write_record
from harness.rundir.record import RunRecord
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import sha256_of
from mlperf_llama_base.source import PACKAGES, ROOT
from sut import engines
from sut.engines.facts import ModelUse

NOT_INPUTS: dict[str, Any] = {  # they change nothing that is measured
    **dict.fromkeys(("output", "overwrite", "skip_preflight", "monitor", "scorer"), True),
    "model": {"tokenizer"},
}
SCORING = "scoring"
UNSCORED = "ran, but is not scored"


def code_digest(root: Path = ROOT) -> str:
    """SHA-256 over the names and contents of this project's Python files and profiles."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".yaml", ".json") and "__pycache__" not in path.parts:
                digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass
class Fingerprints:
    """Digests of what the runs are made from; each file is read once."""

    code: str = field(default_factory=code_digest)
    files: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    def of(self, config: RunConfig) -> dict[str, str]:
        """The inputs of a run by name. Raises what reading the model folder raises."""
        plain = config.model_dump(mode="json", exclude=NOT_INPUTS)
        return {
            "configuration": _digest(plain),
            SCORING: _digest([config.scorer, config.model.tokenizer]) if config.mode is Mode.ACCURACY else "none",
            "user.conf": self._file(config.loadgen.user_conf),
            "model": self._model(config),
            "data set": self._file(config.dataset.path),
            "code": self._code(config),
        }

    def _code(self, config: RunConfig) -> str:
        """Our code, and the module of an engine that is not ours."""
        module = engines.foreign_module(config.engine.name)
        return self.code if module is None else f"{self.code}+{self._file(str(module))}"

    def _file(self, path: str | None) -> str:
        if not path or not Path(path).is_file():
            return "none"
        if path not in self.files:
            self.files[path] = sha256_of(Path(path))
        return self.files[path]

    def _model(self, config: RunConfig) -> str:
        path = config.model.path
        if not path or engines.find(config.engine.name).model is ModelUse.NONE:
            return "none"
        if path not in self.models:
            from harness.inventory.model import inspect_model

            self.models[path] = inspect_model(path, revision=config.model.revision).digest
        return self.models[path]


def _digest(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@dataclass
class State:
    """campaign.json: by the name of a run, the inputs it was made from and how it ended."""

    path: Path
    saved: CampaignRecord = field(default_factory=CampaignRecord)

    @classmethod
    def load(cls, directory: Path) -> State:
        """Read the state of a campaign directory; empty for a new one. Raises ``UserError`` if it is damaged."""
        path = directory / names.CAMPAIGN
        try:
            return cls(path, read_record(path, CampaignRecord) or CampaignRecord())
        except UserError as error:
            what = f"{error}: remove it to start the campaign anew (finished runs are run again)"
            raise UserError(what) from error

    def record(self, step: Step, *, inputs: dict[str, str], exit_code: int, seconds: float) -> None:
        """Note a run that ended by itself. A run that was killed is never noted."""
        config = self.path.parent / step.name / names.CONFIG
        self.saved.runs[step.name] = CampaignRun(
            inputs=inputs,
            exit_code=exit_code,
            seconds=round(seconds, 1),
            config_sha256=sha256_of(config) if config.is_file() else None,
        )
        write_record(self.path, self.saved)

    def why_run(self, step: Step, inputs: dict[str, str]) -> str | None:
        """Why this run must be made (again), or None if it is done."""
        directory, noted = self.path.parent / step.name, self.saved.runs.get(step.name)
        if noted is None:
            return "interrupted" if (directory / names.CONFIG).exists() else "new"
        changed = [name for name, digest in inputs.items() if noted.inputs.get(name) != digest]
        if changed and changed != [SCORING]:
            return f"{', '.join(changed)} changed"
        config = directory / names.CONFIG
        if not config.is_file() or sha256_of(config) != noted.config_sha256:
            return "its directory was changed"
        if gone := damaged_logs(directory):
            return f"{gone} is gone or was changed"
        if step.kind is Kind.ACCURACY and (changed or not_scored(directory)):
            return UNSCORED
        return None if succeeded(step, directory) else "was not valid"


def damaged_logs(directory: Path) -> str | None:
    """A log of LoadGen's that the run's result was made from and that is no longer there as it was."""
    run = RunRecord(directory)
    try:
        noted = run.result.loadgen.sha256 if run.result else {}
    except UserError:
        return None  # the damaged result itself is reason enough
    return next((name for name, digest in noted.items() if run.digests.get(name) != digest), None)


def not_scored(directory: Path) -> bool:
    """The test ended well and lost nothing; only its scores are missing. It need not run again."""
    run = RunRecord(directory)
    try:
        ended = run.result is not None and run.ran.outcome == "completed" and run.digests.keys() >= {names.ACCURACY_LOG}
        return ended and run.accuracy is None
    except UserError:
        return False


def succeeded(step: Step, directory: Path) -> bool:
    """Whether the saved result is valid for the purpose of the run; one that is damaged is not.

    A smoke run is too short for LoadGen's verdict: it shall end, lose no sample and log no error.
    """
    run = RunRecord(directory)
    try:
        result, ran = run.result, run.ran
    except UserError:
        return False
    if result is None:
        return False
    if step.kind is not Kind.SMOKE:
        return result.valid
    return ran.outcome == "completed" and not result.samples.lost and not result.loadgen.errors
