"""The experiment log: every run below a folder as one entry, from the files that it left; nothing is judged again."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.report.compare import settings_of
from harness.report.load import RunData, load
from harness.report.sections.verdict import refused
from harness.rundir import names
from harness.rundir.figures import ENERGY, FIGURES, Verdict
from harness.rundir.foreign import find_runs
from harness.rundir.lock import holder
from mlperf_llama_base.errors import UserError

ALL_FIGURES = (*FIGURES, ENERGY)
SHOWN_ALREADY = ("scenario", "mode", "benchmark", "model.path", "engine.name")
AGES = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run. ``name``: its directory below the folder that was asked for. ``started``: UTC. ``figures``: by
    :data:`ALL_FIGURES`' fields. ``settings``: all of them, flat. ``why``: the first reason against it, or its error.
    """

    directory: Path
    name: str
    started: datetime.datetime | None
    scenario: str
    mode: str
    model: str | None
    engine: str | None
    accelerators: str
    verdict: Verdict
    submittable: bool | None
    figures: dict[str, float | None]
    settings: dict[str, Any]
    why: str | None


def entries(folder: Path) -> tuple[list[Entry], list[str]]:
    """The runs below ``folder``, oldest first, and why others are not listed. Raises ``UserError`` if it holds none."""
    found, unread = [], []
    for path in find_runs([folder]):
        try:
            name = str(path.relative_to(folder)) if path != folder else path.resolve().name
            found.append(entry(load(path), name))
        except UserError as error:
            unread.append(str(error))
    return sorted(found, key=lambda one: (one.started is not None, one.started, one.name)), unread


def entry(run: RunData, name: str) -> Entry:
    result, settings = run.result, settings_of(run)
    gpus = Counter(run.gpu_names)
    why = run.session.error or next(iter(refused(run)), None)
    if why is None and result is not None and not result.valid:
        why = next(iter(result.invalid_reasons), None)
    return Entry(
        directory=run.directory,
        name=name,
        started=_started(run),
        scenario=run.scenario.value,
        mode=run.mode.value,
        model=_model(run),
        engine=(run.session.engine and run.session.engine.name) or run.record.setting("engine", "name"),
        accelerators=", ".join(f"{count} x {gpu}" for gpu, count in gpus.items()),
        verdict=_verdict(run),
        submittable=result.submittable if result is not None and not run.is_foreign else None,
        figures={figure.field: figure.of(result) if result is not None else None for figure in ALL_FIGURES},
        settings={key: value for key, value in settings.items() if not key.startswith("engine: ")},
        why=why,
    )


def _verdict(run: RunData) -> Verdict:
    if run.result is not None:
        short = Verdict.TOO_SHORT if run.result.too_short else Verdict.NOT_VALID
        return Verdict.VALID if run.result.valid else short
    if refused(run):
        return Verdict.REFUSED
    return Verdict.RUNNING if holder(run.directory) is not None else Verdict.BROKE


def _model(run: RunData) -> str | None:
    path = (run.session.model and run.session.model.path) or run.record.setting("model", "path")
    return path or (run.result.model_name if run.result else None)


def _started(run: RunData) -> datetime.datetime | None:
    """Of the test; of one that never began, when its directory was made."""
    said = run.session.test_started or (run.result.test_started if run.result else None)
    if said:
        told = datetime.datetime.fromisoformat(said)
        return told if told.tzinfo else told.replace(tzinfo=datetime.UTC)
    for file in (names.CONFIG, names.DETAIL_LOG):
        if (run.directory / file).is_file():
            return datetime.datetime.fromtimestamp((run.directory / file).stat().st_mtime, datetime.UTC)
    return None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What is to be listed; empty: all. ``model``: part of its name or path, in any case."""

    scenarios: Sequence[str] = ()
    model: str | None = None
    verdicts: Sequence[Verdict] = ()
    since: datetime.datetime | None = None

    def takes(self, one: Entry) -> bool:
        return (
            (not self.scenarios or one.scenario in self.scenarios)
            and (self.model is None or self.model.lower() in (one.model or "").lower())
            and (not self.verdicts or one.verdict in self.verdicts)
            and (self.since is None or (one.started is not None and one.started >= self.since))
        )


def moment(text: str, now: datetime.datetime) -> datetime.datetime:
    """``2026-11-26``, ``2026-11-26T14:00`` (local time unless it says otherwise), or an age: ``12h``, ``7d``, ``2w``.

    Raises ``UserError``.
    """
    if age := re.fullmatch(r"(\d+)([hdw])", text.strip()):
        return now - datetime.timedelta(**{AGES[age[2]]: int(age[1])})
    try:
        return datetime.datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        raise UserError(f"--since {text!r} is no date: give 2026-11-26, 2026-11-26T14:00, or 12h, 7d, 2w") from None


def differing(found: Sequence[Entry]) -> dict[str, Any]:
    """The settings that are not the same in all of ``found``, with the value that most of them have."""
    keys = dict.fromkeys(key for one in found for key in one.settings if key not in SHOWN_ALREADY)
    usual: dict[str, Any] = {}
    for key in keys:
        values = [one.settings.get(key) for one in found]
        counts = Counter(map(repr, values))
        if len(counts) > 1:
            most = counts.most_common(1)[0][0]
            usual[key] = next(value for value in values if repr(value) == most)
    return usual


def as_row(one: Entry, keys: Sequence[str]) -> dict[str, Any]:
    """An entry flat, for JSON and CSV: its settings are those of ``keys``."""
    return {
        "run": str(one.directory),
        "started": one.started.isoformat() if one.started else None,
        "scenario": one.scenario,
        "mode": one.mode,
        "model": one.model,
        "engine": one.engine,
        "accelerators": one.accelerators or None,
        "verdict": one.verdict.value,
        "submittable": one.submittable,
        **one.figures,
        "why": one.why,
        "settings": {key: one.settings.get(key) for key in keys},
    }
