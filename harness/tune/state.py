"""What the tuner was asked and what it knows: ``tune.json``, replaced after each step. See :mod:`harness.tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from harness import config
from harness.config import RunConfig, Strict, Tree
from harness.rundir import names
from harness.rundir.files import read_record, write_record
from harness.rundir.tuning import SCHEMA_VERSION, Found, TuneRecord
from mlperf_llama_base.errors import UserError


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
    """``record`` on disk. It may be changed freely; :meth:`save` makes it last."""

    def __init__(self, directory: Path, record: TuneRecord) -> None:
        self.directory = directory
        self.record = record

    @classmethod
    def new(cls, directory: Path, *, scenario: str, options: Options) -> State:
        return cls(directory, TuneRecord(scenario=scenario, options=options.model_dump(mode="json")))

    @classmethod
    def load(cls, directory: Path) -> State:
        """Raises ``UserError`` if the file is missing, damaged or of another version."""
        record = read_record(directory / names.TUNE, TuneRecord)
        if record is None or record.schema_version != SCHEMA_VERSION:
            what = f"{directory / names.TUNE} is missing or of another version: use --overwrite or another --output"
            raise UserError(what)
        return cls(directory, record)

    @property
    def options(self) -> Options:
        return Options.model_validate(self.record.options)

    def save(self, **changes: Any) -> None:
        """Set fields of the record, and write it."""
        for name, value in changes.items():
            setattr(self.record, name, value)
        write_record(self.directory / names.TUNE, self.record)

    def progress(self, now: str | None, found: Found) -> None:
        """Take over where the search stands, and what goes on now."""
        self.save(now=now, **{name: getattr(found, name) for name in Found.__struct_fields__})


def with_settings(run_config: RunConfig, settings: Tree) -> RunConfig:
    """Lay engine settings over a configuration: a name without a dot is one of ``engine.args``.

    Raises ``UserError`` naming a key that is not known.
    """
    tree: Tree = run_config.model_dump(mode="json")
    for name, value in settings.items():
        node: Any = value
        for part in reversed((name if "." in name else f"engine.args.{name}").split(".")):
            node = {part: node}
        tree = config.merge(tree, node)
    return config.build(tree)
