"""The name of the machine that this process runs on: one and the same in tables, readings of the hardware and logs."""

from __future__ import annotations

import os
import platform

NODE_VARIABLE = "MLPERF_LLAMA_NODE"
IN_KUBERNETES = "KUBERNETES_SERVICE_HOST"  # set in every pod
KUBERNETES_NODE = ("NODE_NAME", "K8S_NODE_NAME", "KUBE_NODE_NAME", "MY_NODE_NAME")
"""What pods commonly call ``spec.nodeName`` (the downward API of Kubernetes has no name of its own for it)."""


def given_name() -> str | None:
    """The name that somebody gave this node: ``MLPERF_LLAMA_NODE``, or in a pod Kubernetes' name of its machine."""
    names = (NODE_VARIABLE, *(KUBERNETES_NODE if os.environ.get(IN_KUBERNETES) else ()))
    return next((named for name in names if (named := os.environ.get(name, "").strip())), None)


def node_name() -> str:
    """What somebody named it, else its host name."""
    return given_name() or platform.node()


def name_this_node(name: str) -> None:
    """From now on this is the name for this process and those that it starts."""
    os.environ[NODE_VARIABLE] = name
