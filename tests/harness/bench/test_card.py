"""The plan of an hour of a rented card: its commands are ours, and its rehearsal leaves a record of each step."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.bench.card import chosen, filled
from harness.bench.card_plan import Order, Step, steps
from harness.bench.card_record import StepRecord, read_all, table
from harness.config import build, load_profile, parse_set
from mlperf_llama_base.errors import UserError
from sut.engines import vllm_args
from sut.messages import EngineSettings
from tests.docs.test_commands import parsed
from tests.helpers.command import Done, command, started
from tests.helpers.waiting import until

ALL = steps(Order(dataset=Path("w.parquet"), fp8_last_layer="fp8", int4="int4"))
REHEARSED = steps(Order(dataset=Path("w.parquet"), rehearse=True))


def calls(step: Step) -> list[tuple[str, ...]]:
    return [tuple(filled(call, {"dir": "d", "port": "8000", "url": "u"})) for call in (*step.calls, step.served or ())]


@pytest.mark.parametrize("step", [*ALL, *REHEARSED], ids=lambda step: step.name)
def test_every_command_is_one_of_ours_and_its_settings_exist(step: Step) -> None:
    for call in calls(step):
        if not call:
            continue
        options = parsed(call)
        profile, scenario = options.get("profile"), str(options.get("scenario") or "offline")
        tree = load_profile(profile, scenario) if profile else {}
        config = build(tree, {"output": "x"}, parse_set(options["settings"] or []))
        if profile:
            vllm_args.split(EngineSettings(name="vllm", model="org/name", args=config.engine.args))


def test_what_is_measured() -> None:
    names = [step.name for step in ALL]
    assert len(set(names)) == len(names)
    assert {"start-cold", "ratio", "offline", "server-64", "interactive-55", "singlestream"} < set(names)
    assert {"endpoint", "tune-interactive", "tune-server"} < set(names)
    assert {name.split("-")[1] for name in names if name.startswith("lever-")} == {*"3456789", "profile"}
    server = next(step for step in ALL if step.name == "server-64")
    assert "loadgen.min_duration_ms" not in " ".join(server.calls[0])  # the full length of the rules


def test_what_is_compared_with_the_endpoint_is_as_long_as_asked() -> None:
    """LoadGen's own fewest samples, 13,368, would take each of the two four minutes."""
    endpoint = next(step for step in ALL if step.name == "endpoint")
    assert all("loadgen.min_query_count=4200" in call for call in endpoint.calls)


def test_steps_are_chosen_by_the_beginning_of_their_names() -> None:
    assert [step.name for step in chosen(ALL, ["interactive-5", "ratio"])] == [
        "ratio", "interactive-55", "interactive-58",
    ]  # fmt: skip
    with pytest.raises(UserError, match="did you mean 'offline'"):
        chosen(ALL, ["oflfine"])


def rehearse(folder: Path, *more: str) -> Done:
    return command("bench", "card", "--rehearse", "--output", folder, *more)


def record(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.timeout(300)
def test_a_rehearsal_leaves_a_record_of_each_step_and_does_none_twice(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "--only", "singlestream", "--only", "endpoint", "--only", "lever-8-4096")
    assert done.code == 0, done.out + done.err
    assert {path.stem for path in tmp_path.glob("*.json")} == {"singlestream", "endpoint", "lever-8-4096"}
    single, endpoint = record(tmp_path, "singlestream"), record(tmp_path, "endpoint")
    assert single["state"] == endpoint["state"] == "done"
    assert single["runs"]["run"]["latency_p90"] > 0 and single["host_s"] > 0
    assert set(endpoint["runs"]) == {"direct", "served"}
    assert endpoint["more"][0].startswith("endpoint / LoadGen ")
    assert "max_num_batched_tokens=4096" in " ".join(record(tmp_path, "lever-8-4096")["commands"][0])
    assert "| singlestream | SingleStream | done |" in done.out
    again = rehearse(tmp_path, "--only", "singlestream")
    assert "singlestream: done before" in again.out
    assert record(tmp_path, "singlestream") == single
    assert "left out" in rehearse(tmp_path, "--only", "offline", "--minutes", "0").out


@pytest.mark.timeout(300)
def test_a_cut_leaves_the_record_of_its_step_and_the_same_call_goes_on(tmp_path: Path) -> None:
    with started("bench", "card", "--rehearse", "--output", tmp_path, "--only", "server-64") as running:
        log = tmp_path / "server-64" / "log.txt"
        until(lambda: log.is_file() and log.stat().st_size > 0, 120)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(120).code == 4
    assert record(tmp_path, "server-64")["state"] == "cut"
    done = rehearse(tmp_path, "--only", "server-64")
    assert done.code == 0, done.out + done.err
    assert record(tmp_path, "server-64")["state"] == "done"


@pytest.mark.timeout(120)
def test_a_step_whose_command_breaks_is_told_with_its_reason_and_ends_no_other(tmp_path: Path) -> None:
    (tmp_path / "rehearsal.parquet").write_text("no data")
    done = rehearse(tmp_path, "--only", "offline", "--only", "singlestream")
    assert done.code == 1
    for name in ("offline", "singlestream"):
        assert record(tmp_path, name)["state"] == "failed"
        assert "rehearsal.parquet" in record(tmp_path, name)["error"]


def test_the_table_has_a_row_for_each_run_and_for_a_step_without_one() -> None:
    lost = StepRecord(name="offline", what="Offline", state="cut", began="2026-01-01T00:00:00+00:00", seconds=3)
    lines = table([lost]).splitlines()
    assert lines[2].startswith("| offline | Offline | cut |")
    assert len({line.count("|") for line in lines[:3]}) == 1


def test_records_are_read_in_the_order_of_their_beginning(tmp_path: Path) -> None:
    for name, began in (("b", "2026-01-01T00:00:00+00:00"), ("a", "2026-01-01T00:00:01+00:00")):
        one = {"name": name, "what": name, "state": "done", "began": began, "seconds": 1}
        (tmp_path / f"{name}.json").write_text(json.dumps(one))
    assert [one.name for one in read_all(tmp_path)] == ["b", "a"]
