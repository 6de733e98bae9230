"""The way between two nodes, measured over TCP as the tokens will travel: small messages there and back, then a stream.

One side listens for a moment on a port that the kernel chooses and answers only who knows the word of this measurement.
"""

from __future__ import annotations

import secrets
import socket
import statistics
import threading
import time
from dataclasses import dataclass

PINGS = 50
PING = b"."
CHUNK = bytes(1 << 20)
STREAM_S = 0.5
MOST_BYTES = 512 << 20
WORD_BYTES = 16
WAIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """``rtt_s``: median of a byte there and back; ``bytes_per_s``: of one stream, as the other side received it."""

    rtt_s: float
    bytes_per_s: float


class Echo:
    """Listens at ``address`` until :meth:`close`, for ``WAIT_S`` without a caller at most."""

    def __init__(self, address: str) -> None:
        self._server = socket.create_server((address, 0), family=_family(address))
        self._server.settimeout(WAIT_S)
        self.word = secrets.token_bytes(WORD_BYTES)
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, name="echo", daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                peer, _ = self._server.accept()
                with peer:
                    peer.settimeout(WAIT_S)
                    if secrets.compare_digest(_exactly(peer, WORD_BYTES), self.word):
                        _answer(peer)
        except OSError:
            self._server.close()

    def close(self) -> None:
        self._server.close()


def _answer(peer: socket.socket) -> None:
    """Send back ``PINGS`` bytes, then take the stream to its end and tell how much there was."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(PINGS):
        peer.sendall(_exactly(peer, len(PING)))
    total = 0
    while (got := len(peer.recv(len(CHUNK)))) and total < MOST_BYTES + len(CHUNK):
        total += got
    peer.sendall(total.to_bytes(8, "big"))


def measure(address: str, port: int, word: bytes) -> Way:
    """The way from here to the listener at ``address``. Raises ``OSError`` where there is none."""
    with socket.create_connection((address, port), timeout=WAIT_S) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(word)
        trips = []
        for _ in range(PINGS):
            sent = time.perf_counter()
            peer.sendall(PING)
            _exactly(peer, len(PING))
            trips.append(time.perf_counter() - sent)
        began, total = time.perf_counter(), 0
        while time.perf_counter() - began < STREAM_S and total < MOST_BYTES:
            peer.sendall(CHUNK)
            total += len(CHUNK)
        peer.shutdown(socket.SHUT_WR)
        arrived = int.from_bytes(_exactly(peer, 8), "big")
        return Way(rtt_s=statistics.median(trips), bytes_per_s=arrived / (time.perf_counter() - began))


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            raise ConnectionError("the other side hung up")
        data += part
    return data


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
