"""The hub's end of the wire: one ROUTER socket, on a cluster behind a gate (:mod:`sut.curve`)."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable

import msgspec
import zmq

from sut.curve import Gate
from sut.messages import WorkerSpec, encode

MAX_MESSAGE_BYTES = 64 << 20
NO_WAIT, MORE, HAS_MORE = int(zmq.NOBLOCK), int(zmq.SNDMORE), int(zmq.RCVMORE)  # plain: zmq's own are slow enumerations


class Router:
    """Bound on construction; ``endpoint`` is where. But for ``admit`` it belongs to one thread."""

    def __init__(self, bind: str, curve_keys: tuple[bytes, bytes] | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = _socket(self._context)
        self._gate = Gate(self._context, self.socket, keys=curve_keys) if curve_keys else None
        self.socket.bind(bind)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def admit(self, spec: WorkerSpec) -> None:
        """Let a worker through the gate."""
        if self._gate and spec.curve_public_key:
            self._gate.admit(spec.curve_public_key, worker=spec.id)

    def refused(self) -> int:
        """Strangers turned away since the last call."""
        return self._gate.refused() if self._gate else 0

    def poller(self, fd: int) -> zmq.Poller:
        """Wakes when a message has come or ``fd`` can be read."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(fd, zmq.POLLIN)
        return poller

    def receive(self, worker_of: Callable[[bytes], int | None]) -> list[bytes]:
        """The next message: who sent it, and what; nothing where one worker spoke in the name of another.

        ``worker_of``: the worker that speaks under an identity. Raises ``zmq.Again`` when there is none.
        """
        if self._gate is None:
            frame = [self.socket.recv(NO_WAIT), self.socket.recv(NO_WAIT)]
            while self.socket.getsockopt(HAS_MORE):
                frame.append(self.socket.recv(NO_WAIT))
            return frame
        frames = self.socket.recv_multipart(NO_WAIT, copy=False)
        worker = worker_of(frames[0].bytes)
        if worker is not None and self._gate.worker_of(frames[-1]) != worker:
            return []
        return [frame.bytes for frame in frames]

    def send(self, identity: bytes, message: msgspec.Struct) -> None:
        body = encode(message)
        # a worker that is gone cannot be reached: supervision finds out and gives its samples to others
        with contextlib.suppress(zmq.ZMQError):
            self.socket.send(identity, MORE)  # one by one: send_multipart looks at every frame for what it may be
            self.socket.send(body)

    def close(self) -> None:
        if self._gate:
            self._gate.close()
        self.socket.close()
        self._context.term()


def _socket(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """A socket that queues without a limit, says at once when a worker cannot be reached, and takes no giant in."""
    socket = context.socket(zmq.ROUTER)
    for option, value in (
        (zmq.SNDHWM, 0),
        (zmq.RCVHWM, 0),
        (zmq.LINGER, 500),
        (zmq.ROUTER_MANDATORY, 1),
        (zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES),
    ):
        socket.setsockopt(option, value)
    return socket


def identity(spec: WorkerSpec) -> bytes:
    """The name of an incarnation of a worker on the wire: one that nobody can guess and take before it does."""
    return b"%d:%d:%s" % (spec.id, spec.incarnation, secrets.token_hex(8).encode())
