"""Who may speak on the wire of a cluster: CURVE with the keys of this run, and nobody else.

The hub's socket is a CURVE server; ZeroMQ asks over ZAP (rfc.zeromq.org/spec/27) whether a client's key is known. What
does not speak CURVE at all fails in the handshake and never reaches ZAP: the socket's monitor counts both kinds.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

REFUSALS = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
)


HANDSHAKE_MS = 3000  # whoever has not proved who he is by then is hung up on, so that strangers use up no file handles


class Gate:
    """Lets through the clients whose public key (Z85) was given to ``admit``, each for its own worker alone.

    To be made before the socket binds.
    """

    def __init__(self, context: zmq.Context[Any], socket: zmq.Socket[bytes], *, keys: tuple[bytes, bytes]) -> None:
        self._known: dict[bytes, int] = {}
        quiet = logging.getLogger("zmq.auth.refused")
        quiet.setLevel(logging.CRITICAL)  # a stranger who tries again and again must not fill the log
        self._zap = ThreadAuthenticator(context, log=quiet)
        self._zap.start()
        self._zap.configure_curve_callback("*", self)
        self._socket = socket
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = keys
        self.monitor = socket.get_monitor_socket(sum(REFUSALS))

    def admit(self, public_key: bytes, *, worker: int) -> None:
        self._known[public_key] = worker

    def worker_of(self, frame: zmq.Frame) -> int | None:
        """The worker whose key the connection that ``frame`` came over has proved to hold."""
        try:
            return self._known.get(str(frame.get("User-Id")).encode())  # pyzmq's authenticator puts the key there
        except zmq.ZMQError:
            return None

    def callback(self, domain: str, key: bytes) -> bool:
        """Called by pyzmq's authenticator on its thread."""
        return key in self._known

    def refused(self) -> int:
        """Handshakes that failed since the last call."""
        count = 0
        with contextlib.suppress(zmq.Again):
            while True:
                recv_monitor_message(self.monitor, zmq.NOBLOCK)
                count += 1
        return count

    def close(self) -> None:
        self._socket.disable_monitor()
        self.monitor.close(linger=0)
        self._zap.stop()
