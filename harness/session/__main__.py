"""``python -m harness.session RUN_DIR``: the child process of a run. Always ends with ``os._exit``: LoadGen crashes at
interpreter exit after a failed test, and its waiting thread cannot be joined."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import yaml

from harness import config
from harness.rundir import names
from harness.session import barrier
from harness.session.session import Interrupted, Session
from mlperf_llama_base import child
from mlperf_llama_base.errors import EnvironmentFault, HarnessError
from sut.workers.orphans import die_with_parent

log = logging.getLogger("session")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def main(run_dir: Path) -> NoReturn:
    """Run the test that ``config.yaml`` describes. Exit status: 0 the test completed, else the error's code."""
    die_with_parent(child.parent())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    run_config = config.build(yaml.safe_load((run_dir / names.CONFIG).read_text()))
    session = Session(run_config, run_dir)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: session.interrupt.set())
    error: BaseException | None = None
    code = 0
    try:
        session.start()
        barrier.wait(session, run_dir)
        session.test(run_config, run_dir)
    except (HarnessError, Interrupted) as problem:
        error, code = problem, getattr(problem, "exit_code", 4)
        log.error("%s", problem or "interrupted")
    except Exception as problem:
        error, code = problem, 4
        if isinstance(problem, OSError) and problem.errno in NO_ROOM:
            error = EnvironmentFault(f"cannot write into {run_dir} ({problem.strerror}): free space there")
            code = error.exit_code
        log.exception("the session broke")
    try:
        session.save(run_dir, error)
    except HarnessError as problem:
        log.error("%s", problem)
        code = code or problem.exit_code
    session.close(grace_s=3.0 if error is None else 0.5)
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
