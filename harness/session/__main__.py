"""``python -m harness.session RUN_DIR``: the child process of a run. Always ends with ``os._exit``: LoadGen crashes at
interpreter exit after a failed test, and its waiting thread cannot be joined."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

import yaml

from harness import config
from harness.config import RunConfig
from harness.rundir import names
from harness.session import barrier
from harness.session.session import Interrupted, Journal, started
from mlperf_llama_base import child
from mlperf_llama_base.errors import EnvironmentFault, HarnessError
from mlperf_llama_base.orphans import die_with_parent

log = logging.getLogger("session")
RUN_BROKE = 4
MOST_HANDLES = 65_536
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def main(run_dir: Path) -> NoReturn:
    """Run the test that ``config.yaml`` describes. Exit status: 0 the test completed, else the error's code."""
    die_with_parent(child.parent())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    run_config = config.build(yaml.safe_load((run_dir / names.CONFIG).read_text()))
    interrupt = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupt.set())
    take_file_handles()
    journal = Journal(run_config, run_dir)
    with contextlib.ExitStack() as system:
        error = _test(run_config, journal, interrupt, system)
        code = 0 if error is None else getattr(error, "exit_code", RUN_BROKE)
        try:
            journal.save(run_dir, error)  # before the workers are ended, which may take its time
        except HarnessError as problem:
            log.error("%s", problem)
            code = code or problem.exit_code
    logging.shutdown()
    os._exit(code)


def take_file_handles() -> None:
    """Use as many as we may: a worker on the network takes one, and so does every stranger for a moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_HANDLES if hard == resource.RLIM_INFINITY else min(hard, MOST_HANDLES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _test(
    run_config: RunConfig, journal: Journal, interrupt: threading.Event, system: contextlib.ExitStack
) -> BaseException | None:
    """Start a system, which ``system`` will end, and run the test on it. Returns what went wrong."""
    run_dir = journal.run_dir
    try:
        session = system.enter_context(started(run_config, journal, interrupt=interrupt))
        session.wait_until_ready()
        barrier.wait(session, run_dir)
        session.test(run_config, run_dir)
    except (HarnessError, Interrupted) as problem:
        log.error("%s", problem or "interrupted")
        return problem
    except Exception as problem:
        log.exception("the session broke")
        if isinstance(problem, OSError) and problem.errno in NO_ROOM:
            return EnvironmentFault(f"cannot write into {run_dir} ({problem.strerror}): free space there")
        return problem
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
