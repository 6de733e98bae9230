"""What holds for all tests."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

GRACE_S = (
    30  # pytest-timeout interrupts Python; what hangs in a library's own code, or blocks signals, is ended after this
)
STDERR = pytest.StashKey[int]()

# The same examples everywhere, and no verdict on how long one takes
settings.register_profile("project", max_examples=60, deadline=None, derandomize=True, database=None)
settings.load_profile("project")

# A shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C, and
# nohup deaf to a hang-up. What is handled here has its default in what is started
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_configure(config: pytest.Config) -> None:
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[STDERR] = os.dup(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Print every thread's stack and end the process if a test outlives its timeout by far."""
    mark = item.get_closest_marker("timeout")
    limit = float(mark.args[0]) if mark and mark.args else float(item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit + GRACE_S, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
