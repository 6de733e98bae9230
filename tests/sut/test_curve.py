"""A wire on TCP with keys: those of the run get through, and nothing that others send does any harm."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from sut.dispatcher import Dispatcher
from sut.hub import Hub
from sut.messages import EngineSettings, Fault, WorkerSpec, encode
from sut.policies import make_order, make_policy
from sut.supervisor import SupervisorOptions
from sut.workers.local import LocalPool


class Guarded:
    """A hub with one null worker behind the gate."""

    def __init__(self, folder: Path) -> None:
        self.server = zmq.curve_keypair()
        self.client = zmq.curve_keypair()
        self.done: list[int] = []
        self.pool = LocalPool()
        prompt = np.arange(20, dtype=np.int32).tobytes()
        spec = WorkerSpec(
            id=0,
            endpoint="",
            engine=EngineSettings(name="null", model="", args={"step_ms": 2.0}),
            heartbeat_s=0.2,
            log_file=str(folder / "w.log"),
            curve_server_key=self.server[0],
            curve_public_key=self.client[0],
            curve_secret_key=self.client[1],
        )
        self.hub = Hub(
            dispatcher=Dispatcher(
                policy=make_policy("auto", offline=False, backlog=8, prefill_weight=8.0),
                order=make_order("issue"),
                block=64,
                max_attempts=4,
                first_tokens=True,
            ),
            pool=self.pool,
            specs=[spec],
            prompts=lambda _: prompt,
            deliver=lambda _, done: self.done.extend(i for i, _ in done),
            options=SupervisorOptions(heartbeat_timeout_s=5),
            bind="tcp://127.0.0.1:*",
            curve_keys=self.server,
        )
        self.hub.start()
        self.port = int(self.hub.endpoint.rsplit(":", 1)[1])
        self.until(lambda: self.hub.ready == 1)

    def admit_another(self) -> tuple[bytes, bytes]:
        """The keys of a second worker, which nobody starts."""
        keys = zmq.curve_keypair()
        assert self.hub._router._gate is not None
        self.hub._router._gate.admit(keys[0], worker=1)
        return keys

    def until(self, condition: Any) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert self.hub.failure is None and time.monotonic() < deadline
            time.sleep(0.02)

    def assert_works(self, first: int) -> None:
        self.hub.issue([(i, 0) for i in range(first, first + 50)])
        self.until(lambda: len(self.done) >= 50)
        assert sorted(self.done) == list(range(first, first + 50))
        assert not self.hub.lost and self.hub.dispatcher.retried == 0


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    one = Guarded(tmp_path)
    yield one
    one.hub.stop()
    one.pool.close(2)
    assert not one.hub.is_alive()


def stranger(guarded: Guarded, context: zmq.Context[Any], *, keys: bool) -> zmq.Socket[bytes]:
    socket_: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket_.setsockopt(zmq.LINGER, 0)
    socket_.setsockopt(zmq.IDENTITY, guarded.hub.workers[0].spec.identity)
    if keys:
        socket_.curve_serverkey = guarded.server[0]
        socket_.curve_publickey, socket_.curve_secretkey = zmq.curve_keypair()
    socket_.connect(guarded.hub.endpoint)
    return socket_


@pytest.mark.parametrize("keys", [True, False])
def test_a_stranger_is_refused_and_counted(guarded: Guarded, keys: bool) -> None:
    """With keys of its own (the server's public key is no secret), or without any."""
    context: zmq.Context[Any] = zmq.Context()
    socket_ = stranger(guarded, context, keys=keys)
    for junk in (b"", b"garbage", os.urandom(100_000)):
        socket_.send(junk)
    guarded.until(lambda: guarded.hub.refused_peers >= 1)
    guarded.assert_works(0)
    assert guarded.hub.refused == 0  # nothing of it reached the dispatcher
    context.destroy(linger=0)


def test_garbage_over_plain_tcp_is_refused(guarded: Guarded) -> None:
    for junk in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(1 << 20), b"\xff" * 64):
        with socket.create_connection(("127.0.0.1", guarded.port)) as plain:
            try:
                plain.sendall(junk)
            except OSError:
                continue  # it hung up on us
    guarded.until(lambda: guarded.hub.refused_peers >= 1)
    guarded.assert_works(0)


def test_a_gigabyte_is_not_taken_in(guarded: Guarded) -> None:
    """The greeting of ZeroMQ, then a frame that announces 1 GB, and some of it."""
    before = _rss()
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    with socket.create_connection(("127.0.0.1", guarded.port)) as plain, pytest.raises(OSError):
        plain.sendall(greeting + b"\x06" + (1 << 30).to_bytes(8, "big"))
        for _ in range(1024):
            plain.sendall(bytes(1 << 20))
    guarded.assert_works(0)
    assert _rss() - before < 100 << 20


def test_a_recorded_conversation_is_worth_nothing(guarded: Guarded) -> None:
    """Replaying the bytes of a worker's handshake fails: the server answers with a new cookie and a new short key."""
    recorded = _record_handshake(guarded)
    with socket.create_connection(("127.0.0.1", guarded.port)) as plain:
        plain.settimeout(2)
        try:
            for part in recorded:
                plain.sendall(part)
                time.sleep(0.1)
            while plain.recv(4096):
                pass
        except OSError:
            pass
    guarded.until(lambda: guarded.hub.refused_peers >= 1)
    guarded.assert_works(0)


@pytest.mark.parametrize("spelt", [b"0:0", b" 0 : 0 ", b"00:0", "\u0660:\u0660".encode(), b"+0:0"])
def test_a_worker_is_known_by_its_exact_name(guarded: Guarded, spelt: bytes) -> None:
    with speaking_as(guarded, spelt) as socket_:
        for _ in range(10):
            socket_.send(encode(Fault("I am the first worker, and broken")))
        guarded.until(lambda: guarded.hub.refused >= 10)
        guarded.assert_works(0)


def test_a_key_speaks_for_its_own_worker_alone(guarded: Guarded) -> None:
    """Even if another worker knew the name that the first one is given when it is started again."""
    os.kill(guarded.hub.workers[0].pid, signal.SIGKILL)
    guarded.until(lambda: guarded.hub.workers[0].spec.incarnation == 1)
    with speaking_as(guarded, guarded.hub.workers[0].spec.identity) as socket_:
        socket_.send(encode(Fault("I am the first worker, and broken")))
        guarded.until(lambda: guarded.hub.refused >= 1)
    assert "I am the first worker" not in str(guarded.hub.lost)


@contextmanager
def speaking_as(guarded: Guarded, name: bytes) -> Iterator[zmq.Socket[bytes]]:
    """A socket with the keys of another worker of this run."""
    context: zmq.Context[Any] = zmq.Context()
    socket_ = context.socket(zmq.DEALER)
    socket_.setsockopt(zmq.LINGER, 0)
    socket_.setsockopt(zmq.IDENTITY, name)
    socket_.curve_serverkey = guarded.server[0]
    socket_.curve_publickey, socket_.curve_secretkey = guarded.admit_another()
    socket_.connect(guarded.hub.endpoint)
    yield socket_
    context.destroy(linger=0)


def test_whoever_says_nothing_is_hung_up_on(guarded: Guarded) -> None:
    """A stranger's open connections are file handles that a worker's start may need."""
    idle = [socket.create_connection(("127.0.0.1", guarded.port)) for _ in range(50)]
    for one in idle:
        one.settimeout(20)
        while one.recv(4096):  # ZeroMQ's greeting, then the end
            pass
        one.close()
    guarded.assert_works(0)


def _record_handshake(guarded: Guarded) -> list[bytes]:
    """What a client with the worker's keys sends, as seen by a relay in between."""
    context: zmq.Context[Any] = zmq.Context()
    with socket.create_server(("127.0.0.1", 0)) as relay:
        client = context.socket(zmq.DEALER)
        client.setsockopt(zmq.LINGER, 0)
        client.setsockopt(zmq.IDENTITY, b"5:0")
        client.curve_serverkey = guarded.server[0]
        client.curve_publickey, client.curve_secretkey = guarded.client
        client.connect(f"tcp://127.0.0.1:{relay.getsockname()[1]}")
        client.send(b"garbage")
        near, _ = relay.accept()
        parts: list[bytes] = []
        with near, socket.create_connection(("127.0.0.1", guarded.port)) as far:
            near.settimeout(0.3)
            far.settimeout(0.3)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for source, target in ((near, far), (far, near)):
                    try:
                        data = source.recv(65536)
                    except TimeoutError:
                        continue
                    if source is near:
                        parts.append(data)
                    target.sendall(data)
        context.destroy(linger=0)
    assert sum(map(len, parts)) > 300
    return parts


def _rss() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
