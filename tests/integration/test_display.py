"""Whatever becomes of the terminal: the measurement goes on, is recorded, and its exit code is its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from mlperf_llama_base.files import read_json
from tests.helpers.command import ROOT, Done, assert_refused, command, read, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until
from tests.integration import tiny_model

pytestmark = pytest.mark.timeout(300)
SETTINGS = ("loadgen.min_duration_ms=3000", "loadgen.min_query_count=24", "monitor.enabled=false")


def arguments(folder: Path, *more: str) -> list[str]:
    """A run of some seconds whose display has many lines to write."""
    data = write_rows(folder / "data.json", rows(24))
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    run = ["run", "--engine", "null", "--scenario", "server", "--target-qps", "20", "--skip-preflight"]
    return [*run, "--dataset", str(data), "--output", str(folder / "run"), *sets, *more]


def assert_measured(folder: Path, done: Done) -> None:
    """All of it, and the exit code says what the result says."""
    assert read(folder / "run", "session.json")["outcome"] == "completed", done.err
    result = read(folder / "run", "result.json")
    assert result["samples"]["lost"] == 0
    assert done.code == (0 if result["valid"] else 1), done.err
    assert "Traceback" not in done.err and "Exception ignored" not in done.err


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "cp1252"])
def test_a_terminal_that_lacks_characters(tmp_path: Path, encoding: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "harness", *arguments(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=240,
        check=False,
    )
    done = Done(process.returncode, process.stdout.decode(encoding), process.stderr.decode(encoding))
    assert_measured(tmp_path, done)
    assert "VALID" in done.out and "left" in done.out
    assert done.err == ""


def with_stdout(folder: Path, stdout: Any, act: Callable[[subprocess.Popen[str]], None] = lambda _: None) -> Done:
    call = [sys.executable, "-m", "harness", *arguments(folder)]
    process = subprocess.Popen(call, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True)
    act(process)
    _, err = process.communicate(timeout=240)
    return Done(process.returncode, "", err)


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    def read_one_line(process: subprocess.Popen[str]) -> None:
        pipe: IO[str] | None = process.stdout
        assert pipe and pipe.readline()
        pipe.close()
        process.stdout = None

    done = with_stdout(tmp_path, subprocess.PIPE, read_one_line)
    assert_measured(tmp_path, done)
    assert done.err == ""


def test_an_output_that_is_full(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = with_stdout(tmp_path, full)
    assert_measured(tmp_path, done)
    assert done.err == "mlperf-llama: the output ends here (No space left on device); the command itself goes on\n"


def test_an_output_that_is_closed(tmp_path: Path) -> None:
    call = f"exec {sys.executable} -m harness {' '.join(arguments(tmp_path))} >&- 2>&- <&-"
    code = subprocess.run(["bash", "-c", call], cwd=ROOT, timeout=240, check=False).returncode
    assert_measured(tmp_path, Done(code, "", ""))


def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """A pseudo-terminal whose other end goes away, without the SIGHUP that a login shell would pass on."""
    ours, theirs = os.openpty()

    def close(process: subprocess.Popen[str]) -> None:
        os.close(theirs)
        os.read(ours, 1)
        until(lambda: (read_json(tmp_path / "run" / "status.json") or {}).get("phase") == "running", 60)
        os.close(ours)

    done = with_stdout(tmp_path, theirs, close)
    assert_measured(tmp_path, done)


# -- escape sequences --------------------------------------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[1;1Hall is well\x9b2J"


def test_foreign_text_does_nothing_in_the_terminal(tmp_path: Path) -> None:
    """In an error line, in a table, in the live display: the words are seen, the sequences are not obeyed."""
    path = tmp_path / f"{HOSTILE}.json"
    path.write_text("[]")
    done = command("run", "--engine", "null", "--dataset", path, "--output", tmp_path / "out")
    assert_refused(done, "owned", "all is well", codes=(2,))
    shown = [done, command("preflight", "--engine", "null", "--dataset", path)]
    shown.append(command("data", "inspect", path))
    (tmp_path / "run").mkdir()
    status = '{"phase": "failed", "scenario": "server", "mode": "performance", "message": "owned \\u001b[2J\\u0007"}'
    (tmp_path / "run" / "status.json").write_text(status)
    shown.append(command("watch", tmp_path / "run"))
    for one in shown:
        text = one.out + one.err
        assert "owned" in text
        assert not set(text) & {"\x1b", "\x07", "\x9b"}, text


# -- signals -----------------------------------------------------------------------------------------------------------


ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_during_the_pre_flight(tmp_path: Path, number: signal.Signals) -> None:
    """While it waits for a server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        call = arguments(tmp_path, "--set", f"engine.args.urls=[http://127.0.0.1:{server.getsockname()[1]}]")
        call[call.index("null")] = "openai"
        call.remove("--skip-preflight")
        with started(*call) as one, server.accept()[0]:
            one.process.send_signal(number)
            done = one.wait()
    assert_refused(done, "interrupted during the pre-flight", "nothing has run", codes=(4,))


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_while_the_run_is_scored(tmp_path: Path, number: signal.Signals) -> None:
    """What ran has its record, and the line says how to go on."""
    tiny_model.make(tmp_path / "model")
    eos = f"engine.args.eos_token_id={tiny_model.EOS}"
    call = arguments(tmp_path, "--mode", "accuracy", "--model", str(tmp_path / "model"), "--set", eos)
    with started(*call) as one:
        maps = Path(f"/proc/{one.process.pid}/maps")
        until(lambda: "tokenizers" in maps.read_text(), 120)  # which only scoring loads
        one.process.send_signal(number)
        done = one.wait()
    assert_refused(done, "not be scored: interrupted", f"mlperf-llama accuracy {tmp_path / 'run'}", codes=(4,))
    assert read(tmp_path / "run", "session.json")["outcome"] == "completed"
    result = read(tmp_path / "run", "result.json")
    assert (result["samples"]["completed"], result["valid"]) == (24, False)


def test_a_hang_up_while_the_test_runs(tmp_path: Path) -> None:
    with started(*arguments(tmp_path, "--set", "loadgen.min_duration_ms=600000")) as one:
        until(lambda: (read_json(tmp_path / "run" / "status.json") or {}).get("phase") == "running", 60)
        one.process.send_signal(signal.SIGHUP)
        done = one.wait()
    assert_refused(done, "interrupted", str(tmp_path / "run"), codes=(4,))
    assert read(tmp_path / "run", "session.json")["outcome"] == "interrupted"


def test_nohup_is_respected(tmp_path: Path) -> None:
    call = ["nohup", sys.executable, "-m", "harness", *arguments(tmp_path)]
    process = subprocess.Popen(
        call,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: (read_json(tmp_path / "run" / "status.json") or {}).get("phase") == "running", 60)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=240)
    assert_measured(tmp_path, Done(process.returncode, out, err))
