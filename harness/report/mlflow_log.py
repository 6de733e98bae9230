"""Runs into MLflow, where teams keep experiments: settings as parameters, figures as metrics, the verdict as a tag.

``mlflow`` is imported when it is asked for: it is an extra of its own.
"""

from __future__ import annotations

import datetime
import importlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.report.catalog import Entry
from harness.report.flat import value_text
from harness.rundir import names
from harness.rundir.figures import Verdict
from mlperf_llama_base.errors import EnvironmentFault

EXPERIMENT = "mlperf-llama"
DIRECTORY = "mlperf_llama.directory"
STARTED = "mlperf_llama.started"
A_BATCH = 100  # parameters that MLflow takes at once
LONGEST_VALUE = 500
FILES = (names.RESULT, names.CONFIG)
SQLITE = "sqlite:///"
NO_KEY = re.compile(r"[^\w\-./: ]")
ENDED = {Verdict.BROKE: "FAILED", Verdict.REFUSED: "FAILED"}


def log_runs(found: Iterable[Entry], *, uri: str) -> Iterator[tuple[Entry, bool]]:
    """Log each run that has ended to the tracking server or data base ``uri``; yields it, and whether it was new there.

    Raises ``EnvironmentFault`` where nothing can be written there, ``ModuleNotFoundError`` without MLflow.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its own 7 take minutes
    tracking: Any = importlib.import_module("mlflow.tracking")
    errors: Any = importlib.import_module("mlflow.exceptions")
    try:
        client = tracking.MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, uri)
        for one in found:
            if one.verdict is not Verdict.RUNNING:
                yield one, _log(client, experiment, one)
    except (errors.MlflowException, OSError) as error:
        raise EnvironmentFault(f"MLflow at {uri}: {' '.join(str(error).split())[:300]}") from error


def _experiment(client: Any, uri: str) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    return str(known.experiment_id if known is not None else client.create_experiment(EXPERIMENT, _artifacts(uri)))


def _artifacts(uri: str) -> str | None:
    """Where files go: beside a data base, and not wherever the command was given; a server decides it itself."""
    if not uri.startswith(SQLITE):
        return None
    return (Path(uri.removeprefix(SQLITE)).resolve().parent / "mlartifacts").as_uri()


def _log(client: Any, experiment: str, one: Entry) -> bool:
    """Whether it was new: the same run is logged once, however often it is asked for."""
    tags = _tags(one)
    same = " and ".join(f"tags.`{key}` = '{_quoted(tags[key])}'" for key in (DIRECTORY, STARTED))
    if client.search_runs([experiment], filter_string=same, max_results=1):
        return False
    began = one.started or datetime.datetime.now(datetime.UTC)
    run = client.create_run(experiment, start_time=_ms(began), tags=tags, run_name=one.name).info.run_id
    parameters = _parameters(one)
    for at in range(0, len(parameters), A_BATCH):
        client.log_batch(run, params=parameters[at : at + A_BATCH])
    for name, value in one.figures.items():
        if value is not None:
            client.log_metric(run, name, value, timestamp=_ms(began))
    for name in FILES:
        if (one.directory / name).is_file():
            client.log_artifact(run, str(one.directory / name))
    client.set_terminated(run, status=ENDED.get(one.verdict, "FINISHED"), end_time=_ms(began))
    return True


def _tags(one: Entry) -> dict[str, str]:
    return {
        DIRECTORY: str(one.directory.resolve()),
        STARTED: one.started.isoformat() if one.started else "",
        "verdict": one.verdict.words,
        "submittable": value_text(one.submittable),
        "scenario": one.scenario,
        "mode": one.mode,
        "why": (one.why or "")[:LONGEST_VALUE],
    }


def _parameters(one: Entry) -> list[Any]:
    entities: Any = importlib.import_module("mlflow.entities")
    told = {"model": one.model, "engine": one.engine, "accelerators": one.accelerators, **one.settings}
    named = {NO_KEY.sub("_", key): value_text(value)[:LONGEST_VALUE] for key, value in told.items()}
    return [entities.Param(key, value) for key, value in named.items()]


def _quoted(text: str) -> str:
    return text.replace("'", "_")


def _ms(moment: datetime.datetime) -> int:
    return int(1000 * moment.timestamp())
