"""What holds for all tests."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    if there := getattr(config, "workerinput", {}).get("stderr"):
        config.stash[STDERR] = os.open(there, os.O_WRONLY | os.O_APPEND)
        return
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[STDERR] = os.dup(2)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where this process prints, because its own stderr is captured here."""
    node.workerinput["stderr"] = f"/proc/{os.getpid()}/fd/{node.config.stash[STDERR]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the files, those whose tests may take longest come first: nobody waits for one at the end."""
    if hasattr(config, "workerinput"):
        longest: dict[Path, float] = {}
        for item in items:
            longest[item.path] = max(longest.get(item.path, 0.0), limit_s(item))
        items.sort(key=lambda item: -longest[item.path])


def limit_s(item: pytest.Item) -> float:
    """Seconds that a test may take."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark and mark.args else float(item.config.getini("timeout"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Print every thread's stack and end the process if a test outlives its timeout by far."""
    faulthandler.dump_traceback_later(limit_s(item) + GRACE_S, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
