"""Whatever somebody sends as a run directory: an answer or one line, never an internal error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli.watch import gone
from harness.config import Benchmark, Mode, Scenario
from harness.progress import Progress, line, read_status
from harness.report import build_document, html
from harness.report.compare import compare
from harness.rundir import names, ours
from harness.rundir.foreign import find_runs
from harness.scaling.figures import run_figures
from harness.submission.runs import find_system
from mlperf_llama_base.errors import HarnessError
from tests.harness.fake_run import write_run
from tests.harness.submission.runs import make_run
from tests.helpers.damage import EXAMPLES
from tests.helpers.results import build_result

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
JSON_FILES = (names.SESSION, names.STATUS, names.RESULT, names.PREFLIGHT, names.SYSTEM, names.CONFIG)
OTHERS = (
    *(names.EVENTS, names.METRICS, names.DETAIL_LOG, names.SUMMARY_LOG, names.ACCURACY_LOG),
    *(names.ACCURACY_JSON, names.SCALING, names.EXECUTION, names.TUNE, names.LOCK),
)
READERS: dict[str, Callable[[Path], object]] = {
    "verdict": build_result,
    "summarize": lambda run: find_runs([run]),
    "report": lambda run: html.render(build_document([run])),
    "compare": lambda run: compare(run, run),
    "scaling": run_figures,
    "submission": lambda run: find_system([run]),
    "ours": lambda run: list(ours.foreign(run)),
    "watch": gone,
    "display": lambda run: [(line(status), Progress(status)) for status in [read_status(run)] if status],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every file: figures of a made-up one, LoadGen's own logs."""
    folder = tmp_path_factory.mktemp("good")
    run = write_run(folder / "run", samples=200)
    real = make_run(folder / "real", Scenario.SERVER, Mode.PERFORMANCE, Benchmark.DATACENTER)
    for name in names.LOADGEN_LOGS:
        shutil.copy(real / name, run / name)
    (run / names.PREFLIGHT).write_text(json.dumps({"findings": [{"check": "gpu", "found": "x"}], "facts": {}}))
    (run / names.SYSTEM).write_text(json.dumps({"cpu": {"model": "x"}, "software": {"python": "3.12"}, "gpu": None}))
    return run


def read_all(run: Path) -> None:
    for name, read in READERS.items():
        try:
            read(run)
        except HarnessError as error:
            assert "\n" not in str(error), (name, str(error))


def paths(tree: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [prefix, *(path for key, value in inner for path in paths(value, (*prefix, key)))]


def replaced(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    copy = tree.copy()
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


@pytest.mark.timeout(3600 if EXAMPLES else 240)
@settings(max_examples=EXAMPLES or 60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_a_value_of_another_kind(good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    run = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(good, run)
    name = data.draw(st.sampled_from(JSON_FILES))
    tree = json.loads((run / name).read_text())
    path = data.draw(st.sampled_from(paths(tree)))
    (run / name).write_text(json.dumps(replaced(tree, path, data.draw(ANYTHING))))
    read_all(run)
    shutil.rmtree(run)


@pytest.mark.parametrize("value", [[[]], [1], "2020", True])
@pytest.mark.parametrize(
    ("name", "key"),
    [(names.SYSTEM, "software"), (names.CONFIG, "engine"), (names.CONFIG, "model"), (names.SYSTEM, "os")],
)
def test_sections_that_are_none(good: Path, tmp_path: Path, name: str, key: str, value: object) -> None:
    run = tmp_path / "run"
    shutil.copytree(good, run)
    (run / name).write_text(json.dumps(json.loads((run / name).read_text()) | {key: value}))
    read_all(run)


@pytest.mark.timeout(3600 if EXAMPLES else 240)
@settings(max_examples=EXAMPLES or 40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_bytes_of_another_kind(good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    run = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(good, run)
    path = run / data.draw(st.sampled_from((*JSON_FILES, *OTHERS)))
    before = path.read_bytes() if path.is_file() else b""
    cut = data.draw(st.integers(0, len(before)))
    path.write_bytes(data.draw(st.sampled_from([before[:cut], before[:cut] + b"\x00\xff", before[cut:]])))
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(st.binary(max_size=60)))
    read_all(run)
    shutil.rmtree(run)
