"""The connection to an existing Ray cluster. Ray itself is imported at the first call."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from harness.config import RunConfig
from harness.workers import wants_gpus
from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from mlperf_llama_base.node import name_this_node
from mlperf_llama_base.source import python_path

REACH_S = 5.0
SETTINGS_FRAME = 4
NOT_RAY = "what listens there is not a Ray head"
OTHERS = ("object_store_memory", "memory")


def connect(address: str, *, bind: str | None = None) -> str:
    """Join the cluster at ``address`` (or ``auto``: the one of this machine) as a driver; again is fine.

    Returns the address of this machine that the nodes can reach: ``bind``, or the one that Ray uses. From then on this
    machine has the same name here, in the processes that start here, and for the other nodes.
    Raises ``EnvironmentFault`` if Ray is not installed or nothing answers, ``UserError`` for an address of Ray Client.
    """
    if address.startswith("ray://"):
        raise UserError(
            f"cluster address {address} is Ray Client's: start the run on a node of the cluster with --cluster auto "
            "(a RayJob does), since the workers connect back to it"
        )
    try:
        import ray
    except ImportError as error:
        raise EnvironmentFault("a cluster needs Ray: pip install 'mlperf-llama[ray]'") from error
    if not ray.is_initialized():
        _check_reachable(os.environ.get("RAY_ADDRESS", "") if address == "auto" else address)
        try:
            with _own_sigterm():
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                    runtime_env={"env_vars": {"PYTHONPATH": python_path()}},
                    _node_ip_address=bind,
                )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            text = " ".join(str(error).split())[:300]
            raise EnvironmentFault(
                f"no Ray cluster at {address!r}: {text} (check with 'ray status'; the token of the cluster must be in "
                "RAY_AUTH_TOKEN or ~/.ray/auth_token)"
            ) from error
        from sut.workers.ray_host import node_name

        name_this_node(node_name())
    return bind or str(ray.util.get_node_ip_address())


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray puts a handler of SIGTERM in place of the process's own when it joins, which ends it with 15 wherever it is;
    and when it leaves, none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = signal.getsignal(signal.SIGTERM)
    asked = False
    try:
        yield
    except SystemExit:  # Ray's handler was called
        asked = True
    finally:
        signal.signal(signal.SIGTERM, own)
    if asked:
        signal.raise_signal(signal.SIGTERM)
        raise RunError("interrupted while it joined the cluster")  # where the handler only takes a note


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes. Raises ``EnvironmentFault`` if nothing listens at ``HOST:PORT``, or not Ray."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return  # "auto": Ray knows of the node on this machine, or says at once that there is none
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S) as link:
            reason = None if os.environ.get("RAY_USE_TLS") == "1" or _speaks_http2(link) else NOT_RAY
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is not None:
        raise EnvironmentFault(
            f"no Ray cluster at {address!r}: {reason}; 'ray status' on its head shows the address"
        ) from None


def _speaks_http2(link: socket.socket) -> bool:
    """Whether the other side answers as a gRPC server, which Ray's head is: with a frame of its settings first
    (RFC 9113, sections 3.4 and 6.5)."""
    link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS_FRAME, 0, 0, 0, 0, 0]))
    try:
        head = link.recv(4, socket.MSG_WAITALL)
    except TimeoutError:
        return False
    return len(head) == 4 and head[3] == SETTINGS_FRAME


def disconnect() -> None:
    """Leave the cluster, if this process is in one."""
    ray = sys.modules.get("ray")  # where it could not be imported, nothing was connected
    if ray is None:
        return

    if ray.is_initialized():
        with _own_sigterm():
            ray.shutdown()


def worker_resources(config: RunConfig) -> dict[str, float]:
    """What a worker takes: ``cluster.resources``, or its GPUs, or one CPU where the engine runs on those."""
    if config.cluster.resources:
        return dict(config.cluster.resources)
    return {"GPU": float(config.workers.tensor_parallel)} if wants_gpus(config) else {"CPU": 1.0}


def describe_nodes() -> str:
    """The living nodes and what they have, for messages."""
    import ray

    texts = []
    for node in ray.nodes():
        if node["Alive"]:
            have = {k: v for k, v in node["Resources"].items() if not k.startswith("node:") and k not in OTHERS}
            texts.append(f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}) has {have}")
    return "; ".join(texts) or "no node is alive"
