"""The harness's side of a Ray cluster: connecting, what a worker takes, what runs on every node beside the workers."""

from harness.cluster.connect import connect, describe_nodes, disconnect, worker_resources

__all__ = ["connect", "describe_nodes", "disconnect", "worker_resources"]
