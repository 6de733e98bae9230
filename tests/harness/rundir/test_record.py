"""One reader for whatever lies in a run directory: typed records, or one line that names the file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cli import dispatch
from harness.config import Benchmark, Mode, Scenario
from harness.preflight.report import Report
from harness.report.load import load
from harness.rundir import names, schemas
from harness.rundir.files import read_mapping, read_record, write_record
from harness.rundir.record import RunRecord
from harness.rundir.session import SessionRecord
from harness.rundir.system import this_system
from mlperf_llama_base.errors import UserError
from tests.harness.fake_run import write_run
from tests.harness.submission.runs import make_run
from tests.helpers.results import build_result

DEEP = b"[" * 100_000
DAMAGED: dict[str, bytes] = {
    "cut off": b'{"outcome": "comp',
    "empty": b"",
    "binary": bytes(range(256)) * 4,
    "nested": b'{"workers": ' + DEEP,
    "a list": b"[1, 2]",
    "a number": b"7",
}
RECORDS = (names.SESSION, names.STATUS, names.RESULT, names.PREFLIGHT, names.SCALING, names.ACCURACY_JSON)
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "samples": (names.SESSION, {"samples": {"issued": "many"}}),
    "workers": (names.SESSION, {"workers": {"id": 1}}),
    "a worker": (names.SESSION, {"workers": [7]}),
    "violations": (names.SESSION, {"violations": {"too_short": []}}),
    "dataset": (names.SESSION, {"dataset": "cnn"}),
    "findings": (names.PREFLIGHT, {"findings": 3}),
}
opened: list[str] = []
watching = False


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event == "open":
        opened.append(Path(str(arguments[0])).name)


sys.addaudithook(_note)


@contextmanager
def files_opened() -> Iterator[list[str]]:
    global watching
    opened.clear()
    watching = True
    try:
        yield opened
    finally:
        watching = False


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in (*RECORDS, names.CONFIG, names.SYSTEM)
        for kind in DAMAGED
        if (name, kind) != (names.CONFIG, "empty")  # which is YAML
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(UserError) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value) and "damaged" in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200 and str(caught.value).isprintable()


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_type_is_named_by_summarize_and_by_report(tmp_path: Path, what: str) -> None:
    name, wrong = WRONG[what]
    run = write_run(tmp_path / "run", samples=200)
    kept = json.loads((run / name).read_text()) if (run / name).is_file() else {}
    (run / name).write_text(json.dumps(kept | wrong))
    with pytest.raises(UserError, match=f"{name} is damaged.*{next(iter(wrong))}"):
        dispatch(["summarize", str(run)])
    if name == names.SESSION:
        with pytest.raises(UserError, match=f"{name} is damaged.*{next(iter(wrong))}"):
            dispatch(["report", str(run)])


@pytest.mark.parametrize("what", ["scenario", "mode", "benchmark"])
def test_an_unknown_scenario_has_one_answer(tmp_path: Path, what: str) -> None:
    run = write_run(tmp_path / "run", samples=200)
    named = {"scenario": "servr", "mode": "performence", "benchmark": "datacentre"}[what]
    tree = yaml.safe_load((run / names.CONFIG).read_text()) | {what: named}
    (run / names.CONFIG).write_text(yaml.safe_dump(tree))
    for command in ("summarize", "report"):
        with pytest.raises(UserError, match=f"{what} '{named}' is not known; did you mean"):
            dispatch([command, str(run)])
    assert not (run / names.REPORT_HTML).exists()


def test_both_readers_agree_on_what_a_run_was(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", Scenario.SINGLESTREAM, Mode.COMPLIANCE, Benchmark.EDGE)
    for gone in (names.CONFIG, names.RESULT):
        (run / gone).unlink(missing_ok=True)
        seen = load(run)
        result = build_result(run)
        assert (seen.scenario, seen.mode, seen.benchmark) == ("singlestream", "compliance", "edge")
        assert (result["scenario"], result["mode"], result["benchmark"]) == ("singlestream", "compliance", "edge")


def test_another_harness_s_test06_is_judged_as_such(tmp_path: Path) -> None:
    """Its 100 queries meet no rule of a performance run, and need not."""
    run = make_run(tmp_path / "run", Scenario.SERVER, Mode.COMPLIANCE, Benchmark.DATACENTER)
    (tmp_path / "foreign").mkdir()
    for name in names.LOADGEN_LOGS:
        shutil.copyfile(run / name, tmp_path / "foreign" / name)
    result = build_result(tmp_path / "foreign")
    assert (result["scenario"], result["mode"]) == ("server", "compliance")
    assert result["valid"] and result["compliance"]["passed"]
    (reason,) = result["not_submittable_reasons"]
    assert reason.startswith("only LoadGen's logs are here")


def test_a_setting_of_a_wrong_type_is_named(tmp_path: Path) -> None:
    (tmp_path / names.CONFIG).write_text("dataset: {path: [1, 2]}\n")
    with pytest.raises(UserError, match=r"config\.yaml is damaged: dataset\.path is '\[1, 2\]', expected str"):
        RunRecord(tmp_path).setting("dataset", "path")


def test_each_file_is_read_once_for_a_result(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", Scenario.SERVER, Mode.COMPLIANCE, Benchmark.DATACENTER)
    (run / names.PREFLIGHT).write_text("{}")
    (run / names.SYSTEM).write_text("{}")
    build_result(run)  # what is imported late is imported now
    with files_opened() as seen:
        build_result(run)
    for name in (names.CONFIG, names.SESSION, names.PREFLIGHT, names.SYSTEM, names.SUMMARY_LOG):
        digest = name in names.LOADGEN_LOGS
        assert seen.count(name) == 1 + digest, name
    assert seen.count(names.DETAIL_LOG) == 2  # read, and digested


def test_what_the_monitor_left_is_a_note_where_it_cannot_be_read(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", Scenario.OFFLINE, Mode.PERFORMANCE, Benchmark.DATACENTER)
    (run / names.METRICS).write_bytes(b"PAR1 and then nothing")
    result = build_result(run)
    assert result["valid"] and result["metrics"] is None and result["energy"] is None
    assert len(result["notes"]) == 1 and "metrics.parquet is damaged" in result["notes"][0]


def test_a_record_of_a_newer_program_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / names.SESSION).write_text('{"schema_version": 99}')
    with pytest.raises(UserError, match=r"session\.json is of version 99, this program knows 1"):
        read_record(tmp_path / names.SESSION, SessionRecord)


def test_null_is_the_same_as_absent(tmp_path: Path) -> None:
    (tmp_path / names.SESSION).write_text('{"workers": null, "samples": null}')
    record = read_record(tmp_path / names.SESSION, SessionRecord)
    assert record is not None and record.workers == [] and record.samples.issued is None


@pytest.mark.parametrize("name", schemas.texts())
def test_the_schemas_in_the_documentation_are_those_of_the_code(name: str) -> None:
    """``python -m harness.rundir.schemas`` writes them anew."""
    assert (schemas.FOLDER / name).read_text() == schemas.texts()[name]


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in schemas.FOLDER.glob("*.json")} == set(schemas.texts())


def test_what_is_written_fits_its_schema(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", Scenario.OFFLINE, Mode.ACCURACY, Benchmark.DATACENTER)
    Report(findings=[], facts={"loadgen": "6.0"}, seconds=1.25, time="now").save(run / names.PREFLIGHT)
    write_record(run / names.SYSTEM, this_system())
    for name in (names.RESULT, names.ACCURACY_JSON, names.PREFLIGHT, names.SYSTEM):
        written = json.loads((run / name).read_text())
        jsonschema.validate(written, schemas.schema_of(schemas.RECORDS[name]))
        assert written["schema_version"] >= 1
