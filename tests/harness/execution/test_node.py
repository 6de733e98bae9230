"""What a node tells of itself."""

from __future__ import annotations

from pathlib import Path

import psutil

from harness.execution.node import cpu_limit, describe_node, machine_id


def test_a_node_tells_what_it_is() -> None:
    node = describe_node("here", "192.0.2.1")
    assert (node.name, node.address) == ("here", "192.0.2.1")
    assert node.memory_bytes == psutil.virtual_memory().total
    assert len(node.cpus) >= 1 and node.machine is not None and len(node.machine) == 12
    assert describe_node("again", None).machine == node.machine  # one kernel, whatever it is called


def test_what_the_kernel_does_not_say_is_unknown(tmp_path: Path) -> None:
    assert machine_id(tmp_path / "none") is None and cpu_limit(tmp_path / "none") is None
    limit = tmp_path / "cpu.max"
    limit.write_text("max 100000\n")
    assert cpu_limit(limit) is None
    limit.write_text("150000 100000\n")
    assert cpu_limit(limit) == 1.5
