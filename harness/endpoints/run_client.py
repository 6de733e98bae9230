"""One run of MLCommons' client, unmodified, as a process of its own: its YAML in, its report directory out."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from harness.endpoints.client import Client
from harness.endpoints.client_config import ClientConfig
from mlperf_llama_base import interrupt, orphans
from mlperf_llama_base.errors import EnvironmentFault, RunError
from mlperf_llama_base.orphans import die_with_parent

YAML, REPORT, LOG = "client.yaml", "report", "client.log"
POLL_S = 0.2
GRACE_S = 10.0
TAIL = 2000


def validate(client: Client, config: Path, *, folder: Path, env: dict[str, str]) -> None:
    """Raises ``EnvironmentFault`` where the client refuses its configuration: it is another version than it seems."""
    command = [str(client.executable), "validate-yaml", "-c", str(config)]
    done = subprocess.run(command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False)
    if done.returncode:
        text = " ".join((done.stdout + done.stderr).split())[-300:]
        raise EnvironmentFault(f"the endpoints client refuses {config}: {text}")


def run(
    client: Client,
    config: ClientConfig,
    place: Path,
    *,
    folder: Path,
    accuracy: bool,
    limit_s: float,
    env: dict[str, str],
    alive: Callable[[], None],
) -> None:
    """Run the client to its end. ``place``: the directory of this run, made anew; ``folder``: the working directory.

    ``alive`` is called on the way and may raise. Raises ``RunError`` if the client fails, or takes longer than
    ``limit_s`` (it has no time limit for a request).
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    config.write(place / YAML)
    validate(client, place / YAML, folder=folder, env=env)
    command = [str(client.executable), "benchmark", "from-config", "-c", str(place / YAML)]
    command += ["--mode", "both" if accuracy else "perf", "--report-dir", str(place / REPORT)]
    orphans.adopt()
    family = f"{os.environ.get(orphans.FAMILY, '')}/{os.getpid()}.client"
    process = _start(command, folder=folder, env=env | {orphans.FAMILY: family}, log=place / LOG)
    try:
        _wait(process, limit_s=limit_s, alive=alive, log=place / LOG)
    finally:
        _end(process, family)
    if process.returncode:
        how = f"the endpoints client ended with {process.returncode}"
        raise RunError(f"{how}: {last_lines(place / LOG)} ({place / LOG})")


def _start(command: list[str], *, folder: Path, env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def _wait(process: subprocess.Popen[bytes], *, limit_s: float, alive: Callable[[], None], log: Path) -> None:
    deadline = time.monotonic() + limit_s
    try:
        while process.poll() is None:
            alive()
            if time.monotonic() > deadline:
                raise RunError(f"the endpoints client has not ended within {limit_s:,.0f} s: {last_lines(log)} ({log})")
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        interrupt.taken()
        raise RunError("interrupted; the same command continues with this point") from None


def _end(process: subprocess.Popen[bytes], family: str) -> None:
    """Nothing of the client is left, whatever happened."""
    if process.poll() is None:
        interrupt.ask_to_end(process, signal.SIGINT, grace_s=GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    orphans.end(family)


def last_lines(log: Path) -> str:
    """The end of the client's log in one line."""
    text = log.read_text(errors="replace")[-TAIL:] if log.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-2:])[-300:] or "it said nothing"
