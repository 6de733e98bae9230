"""The connection to a Ray cluster, where there is no Ray."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from harness import cluster
from mlperf_llama_base.errors import EnvironmentFault


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault, match=r"a cluster needs Ray: pip install"):
        try:
            cluster.connect("auto")
        finally:
            cluster.disconnect()


@contextlib.contextmanager
def answering(reply: bytes | None) -> Iterator[str]:
    """Somebody who says this to whoever connects, once; None: nobody listens. Yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if reply is None:
            server.close()
            yield address
            return

        def answer() -> None:
            link, _ = server.accept()
            with link:
                link.recv(64)
                link.sendall(reply)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield address
        thread.join(10)


@pytest.mark.parametrize(
    ("reply", "why"),
    [(None, "refused"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a Ray head"), (b"", "not a Ray head")],
)
def test_what_is_no_cluster_is_told_at_once(reply: bytes | None, why: str) -> None:
    """Ray itself tries for minutes and prints warnings meanwhile."""
    pytest.importorskip("ray")
    with answering(reply) as address, pytest.raises(EnvironmentFault, match=rf"no Ray cluster at '{address}'.*{why}"):
        cluster.connect(address)
