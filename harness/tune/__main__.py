"""``python -m harness.tune DIR``: the tuner's process. Ends with ``os._exit`` for the same reasons as a session's."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import yaml

from harness import config
from harness.config import RunConfig
from harness.rundir import names
from harness.session.session import Interrupted, Journal, Session, started
from harness.tune.confirm import MOST, START_AGAIN, Hopeless, confirm, lower
from harness.tune.scenarios import explore
from harness.tune.state import State, with_settings
from harness.tune.system import with_steps
from mlperf_llama_base import child
from mlperf_llama_base.errors import HarnessError
from mlperf_llama_base.files import WRITTEN_BY
from mlperf_llama_base.orphans import die_with_parent

log = logging.getLogger("tune")


class Tuner:
    """Carries out what ``config.yaml`` and ``tune.json`` in ``directory`` ask, as far as it is not done yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = config.build(yaml.safe_load((directory / names.CONFIG).read_text()))
        self.state = State.load(directory)
        self.interrupt = threading.Event()

    def run(self) -> int:
        """Returns the exit status; raises ``HarnessError`` and ``Interrupted``."""
        state, options = self.state, self.state.options
        if options.search and state.record.engine_settings is None:
            from harness.tune.engine_search import choose

            choose(with_steps(self.config), state, self.session)
        chosen = with_steps(with_settings(self.config, state.record.engine_settings or {}))
        found = state.record.state != "searching"
        wanted = options.confirm and not any(c.valid for c in state.record.confirmations)
        if found and not (wanted and len(state.record.confirmations) < MOST):
            state.save(state="done", now=None)
            return 0
        try:
            with self.session(chosen) as session:
                if not found:
                    explore(session, options, known=state.record, save=state.progress)
                    state.save(state="confirming", now=None, user_conf=fragment(chosen, state))
                if wanted and (state.record.best_qps or state.record.target_latency_ms):
                    confirm(session, state, options)
        except Hopeless as problem:
            log.info("%s", problem)
            lower(state, options)
            state.save(now=None, user_conf=fragment(chosen, state))
            return START_AGAIN
        state.save(state="done", now=None, user_conf=fragment(chosen, state))
        return 0

    @contextlib.contextmanager
    def session(self, run_config: RunConfig) -> Iterator[Session]:
        """A session of ``run_config`` whose engines are ready, for a block."""
        self.state.save(now="starting the engine")
        with started(run_config, Journal(run_config, self.directory), interrupt=self.interrupt) as session:
            session.wait_until_ready()
            yield session


def fragment(run_config: RunConfig, state: State) -> str | None:
    """The lines for user.conf; also written to ``user.conf`` in the directory."""
    name, data = f"{run_config.model_name}.{run_config.scenario.loadgen_name}", state.record
    if data.target_latency_ms is not None:
        text = f"{name}.target_latency = {data.target_latency_ms:g}\n"
    elif data.best_qps is not None:
        text = f"{name}.target_qps = {data.best_qps:g}\n"
    else:
        return None
    (state.directory / names.USER_CONF).write_text(f"{WRITTEN_BY}\n{text}")
    return text


def main(directory: Path) -> NoReturn:
    die_with_parent(child.parent())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    code = 4
    last = ""
    try:
        tuner = Tuner(directory)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: tuner.interrupt.set())
        code = tuner.run()
    except Interrupted:
        last = "interrupted"
    except HarnessError as problem:
        code, last = problem.exit_code, str(problem)
    except Exception as problem:
        log.exception("the tuner broke")
        last = f"{type(problem).__name__}: {problem}"
    logging.shutdown()
    if last:
        sys.stderr.write(f"{last}\n")  # the command shows the log's last line
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
