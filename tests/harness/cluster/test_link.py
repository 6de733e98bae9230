"""The way to another node, measured over this machine's own loopback."""

from __future__ import annotations

import pytest

from harness.cluster.link import WORD_BYTES, Echo, measure


def test_a_way_is_measured_and_strangers_get_nothing() -> None:
    echo = Echo("127.0.0.1")
    try:
        with pytest.raises(OSError, match=r"hung up|reset"):
            measure("127.0.0.1", echo.port, bytes(WORD_BYTES))
        way = measure("127.0.0.1", echo.port, echo.word)
    finally:
        echo.close()
    assert 0 < way.rtt_s < 1 and way.bytes_per_s > 1e6


def test_nobody_listens_after_the_end() -> None:
    echo = Echo("127.0.0.1")
    echo.close()
    with pytest.raises(OSError):
        measure("127.0.0.1", echo.port, echo.word)
