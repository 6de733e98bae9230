"""The whole command over a stand-in for the client: it resumes, counts only what counts, and leaves nobody behind."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.endpoints import workspace
from harness.endpoints.client import Client
from harness.endpoints.client_config import Target
from harness.endpoints.plan import make_plan
from harness.endpoints.runner import Curve
from harness.endpoints.server import Endpoint
from harness.report import write_report
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import CurveRecord
from harness.rundir.files import read_record
from mlperf_llama_base.errors import EnvironmentFault, UserError
from tests.harness.endpoints import owner_yaml
from tests.harness.serve import tokenizers
from tests.helpers.command import assert_refused, command, started
from tests.helpers.waiting import until

POINTS = ["r32", "r35", "r40", "r54", "r93", "r204", "r512"]
Arguments = Callable[..., list[str | Path]]


@pytest.fixture
def arguments(client_env: Path, url: str, articles: Path, tokenizer: Path, tmp_path: Path) -> Arguments:
    """Of a rehearsal with 20 rows, up to C_max 512."""

    def of(**over: str) -> list[str | Path]:
        given: dict[str, str | Path] = {"output": tmp_path / "curve", "client": client_env, "url": url, "spares": "0"}
        given.update(dataset=articles, tokenizer=tokenizer, **{"max-concurrency": "512"})
        given.update(over)
        options: list[str | Path] = []
        for name, value in given.items():
            options += [f"--{name}", value] if value else []
        return ["benchmark", "endpoints", *options, "--rehearsal"]

    return of


def starts(curve: Path) -> list[list[str]]:
    """Concurrency, mode and requests of each start of the client."""
    log = curve / "work" / "starts.log"
    return [line.split() for line in log.read_text().splitlines()] if log.is_file() else []


def behave(curve: Path, **how: str) -> None:
    """``c34="failed"``: how the client misbehaves at concurrency 34, once."""
    (curve / "work").mkdir(parents=True, exist_ok=True)
    (curve / "work" / "behave.json").write_text(json.dumps({name[1:]: value for name, value in how.items()}))


def record_of(curve: Path) -> CurveRecord:
    found = read_record(curve / "endpoints.json", CurveRecord)
    assert found is not None
    return found


def test_a_curve_from_nothing_to_the_tree_and_then_only_what_changed(arguments: Arguments, tmp_path: Path) -> None:
    curve = tmp_path / "curve"
    done = command(*arguments(), env={"MLPERF_ENDPOINTS_CHECKER": "", "PATH": "/usr/bin:/bin"})
    assert done.code == 0, done.err + done.out
    assert [start[0] for start in starts(curve)] == ["32", "512", *(name[1:] for name in POINTS)]
    scored = [start[0] for start in starts(curve) if start[1] == "both"]
    assert scored == ["32", "40", "93", "512"]  # one in each region; C_max's counts for Offline too
    assert {start[2] for start in starts(curve)[2:]} == {"20"}  # whole passes over the 20 rows
    assert "the official checker is not installed" in done.out and "nothing of it can be submitted" in done.out
    tree = curve / "submission" / "REHEARSAL" / "rehearsal"
    assert sorted(p.name for p in tree.glob("results/*/llama3_1-8b/*")) == sorted(POINTS)
    assert (tree / "src" / "mlperf-llama" / "README.md").read_text().startswith("# REHEARSAL")
    assert (tree / "src" / "mlperf-llama" / "harness" / "endpoints" / "runner.py").is_file()
    page = (curve / "report.html").read_text()
    assert "Throughput against interactivity" in page and "A rehearsal" in page
    assert "7 of 7 points count" in (curve / "report.md").read_text()
    before = len(starts(curve))
    summary = curve / "points" / "r93" / "report" / "performance" / "result_summary.json"
    summary.write_text(summary.read_text().replace('"n_samples_failed": 0', '"n_samples_failed":  0'))
    done = command(*arguments())
    assert "r93 (its files are gone or were changed)" in done.out
    assert [start[0] for start in starts(curve)[before:]] == ["93"]


def test_what_does_not_count_is_said_and_run_again(arguments: Arguments, tmp_path: Path) -> None:
    curve = tmp_path / "curve"
    behave(curve, c35="failed", c54="cut")
    done = command(*arguments())
    assert done.code == 1
    assert "r35 does not count: 1 requests failed" in done.out
    assert "r54 does not count: 17 of 20 answers ended by stop or length" in done.out
    assert not (curve / "submission").exists()
    assert "5 of 7 points count" in (curve / "report.md").read_text()
    before = len(starts(curve))
    assert command(*arguments()).code == 0
    assert [start[0] for start in starts(curve)[before:]] == ["35", "54"]


@pytest.mark.timeout(240)  # three commands, on a machine that may be busy
def test_told_to_end_or_killed_it_leaves_no_client_and_the_same_command_goes_on(
    arguments: Arguments, tmp_path: Path
) -> None:
    curve = tmp_path / "curve"
    behave(curve, c32="hang", c40="hang")
    with started(*arguments()) as running:
        until(lambda: ["32", "both", "20"] in starts(curve), 60)
        running.process.send_signal(signal.SIGTERM)
        done = running.wait()
    assert_refused(done, "interrupted", "same command continues", codes=(4,))
    with started(*arguments()) as running:
        until(lambda: ["40", "both", "20"] in starts(curve), 60)
        running.process.send_signal(signal.SIGKILL)
        running.wait()
        until(lambda: not running.family("stand_in.py"), 15, lambda: "the client goes on")
    assert sorted(record_of(curve).points) == ["r32", "r35"] and (curve / "points" / "r40").is_dir()
    before = len(starts(curve))
    done = command(*arguments())
    assert done.code == 0 and "r40 (interrupted)" in done.out
    assert [start[0] for start in starts(curve)[before:]] == [name[1:] for name in POINTS[2:]]


def test_killed_it_leaves_no_server_on_the_port(arguments: Arguments, tmp_path: Path) -> None:
    tokenizers.make(tmp_path / "real")
    curve = tmp_path / "curve"
    behave(curve, c32="hang")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    same = arguments(url="", engine="null", port=port, tokenizer=str(tmp_path / "real"))
    with started(*same) as running:
        until(lambda: ["32", "both", "20"] in starts(curve), 120)
        assert running.family("serve", "--port", port)
        running.process.send_signal(signal.SIGKILL)
        running.wait()
        done = command(*same)
        assert done.code == 0, done.err


def test_a_client_that_fails_ends_the_command_with_its_last_words(arguments: Arguments, tmp_path: Path) -> None:
    curve = tmp_path / "curve"
    behave(curve, c35="exit")
    assert_refused(command(*arguments()), "ended with 1", "the stand-in was told to fail", "client.log", codes=(4,))
    _, text = write_report([curve])
    assert "1 of 7 points count" in text.read_text()


def curve_of(tmp_path: Path, rates: dict[int, float]) -> Curve:
    """A curve whose probes find these rates."""
    target = Target(url="http://127.0.0.1:1", tokenizer="t")
    seeds, client = ENDPOINTS.seed_sets[0], Client(executable=Path("client"))
    curve = Curve(directory=tmp_path, client=client, endpoint=Endpoint(target.url), target=target, seeds=seeds, rows=20)
    curve.probe = lambda wanted: [curve.record.note_rate(c, rates[c]) for c in wanted]  # type: ignore[method-assign,assignment,func-returns-value]
    return curve


def test_c_max_is_where_twice_as_many_streams_bring_nothing(tmp_path: Path) -> None:
    rising = {32: 40.0, 64: 55.0, 128: 62.0, 256: 65.0, 512: 65.5, 1024: 90.0}
    assert curve_of(tmp_path, rising).find_c_max() == 256
    assert curve_of(tmp_path, dict.fromkeys(rising, 60.0)).find_c_max() == 64  # a curve needs more than 32
    assert curve_of(tmp_path, {32 * 2**n: 2.0**n for n in range(10)}).find_c_max(ceiling=2048) == 2048


def test_data_client_and_settings_of_a_point_are_its_inputs(articles: Path, tmp_path: Path) -> None:
    curve = curve_of(tmp_path, {})
    workspace.prepare(curve.folder, articles, any_count=True)
    point = make_plan(c_max=512)[0]
    first = curve.inputs(point)
    assert curve.inputs(point) == first
    assert curve.inputs(make_plan(c_max=512)[1]) != first
    curve.target = Target(url="http://127.0.0.1:2", tokenizer="t")
    assert curve.inputs(point) != first
    curve = curve_of(tmp_path, {})
    articles.write_text(articles.read_text().replace("Article 3.", "Another one."))
    workspace.prepare(curve.folder, articles, any_count=True)
    assert curve.inputs(point) != first


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no client": ({"client": "/nonexistent"}, "is not the endpoints client.*pip install -e"),
    "no data": ({"dataset": "/nonexistent.jsonl"}, "--dataset .* does not exist"),
    "data of another kind": ({"dataset": __file__}, r"the name must end in .json or one of .parquet, .jsonl, .csv"),
    "no checker": ({"checker": "/nonexistent"}, "/nonexistent is not the official checker: .*pip install"),
    "no tokenizer": ({"tokenizer": "/nonexistent"}, "--tokenizer .* does not exist: .* counts no tokens"),
    "no tokenizer named": ({"tokenizer": ""}, "needs the model's tokenizer"),
    "a cohort without seeds": ({"cohort": "2027-01-C0"}, "no seeds are known for cohort 2027-01-C0"),
    "no cohort": ({"cohort": "December"}, "is no cohort: expected YYYY-MM-C0"),
    "nobody listens": ({"url": "http://127.0.0.1:9"}, "/health does not answer"),
    "two servers": ({"engine": "null"}, "--url measures a server that runs already"),
    "too close": ({"max-concurrency": "36"}, "has no room for 7 points"),
    "too low": ({"max-concurrency": "33"}, "C_max must be above 33"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(name: str, arguments: Arguments, tmp_path: Path) -> None:
    over, text = REFUSED[name]
    with pytest.raises((UserError, EnvironmentFault), match=text) as caught:
        dispatch([str(part) for part in arguments(**over)])
    assert "\n" not in str(caught.value)
    assert not starts(tmp_path / "curve")


def test_outside_a_rehearsal_no_other_client_will_do(arguments: Arguments) -> None:
    real = [str(part) for part in arguments() if part != "--rehearsal"]
    with pytest.raises(EnvironmentFault, match=r"the endpoints client cannot be used.*git clone"):
        dispatch(real)


@pytest.mark.usefixtures("pinned")
def test_outside_a_rehearsal_the_whole_data_set_is_asked_for_and_the_owner_too(
    arguments: Arguments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = [str(part) for part in arguments() if part != "--rehearsal"]
    with pytest.raises(UserError, match="has 20 rows; the benchmark has 13,368"):
        dispatch(real)
    assert "fill in its blanks while the points are measured" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "curve" / "system.yaml").is_file()
    wrong = owner_yaml.tree()
    wrong["power"]["node_sets"][0]["components"]["cpu"]["tdp_per_unit"]["source"] = "a page"
    owner_yaml.write(tmp_path / "curve" / "system.yaml", wrong)
    with pytest.raises(UserError, match="has no source"):  # before anything is measured
        dispatch(real)


def test_the_plan_is_shown_without_a_client_and_says_what_it_assumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dispatch(["benchmark", "endpoints", "--output", str(tmp_path / "curve"), "--workers", "1", "--dry-run"])
    out = capsys.readouterr().out
    assert "nothing is measured yet" in out and "4 h 12 min" in out and "33-40" in out
    assert not (tmp_path / "curve").exists()
