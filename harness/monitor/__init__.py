"""Hardware and workers over time: what a run used, and what it cost in joules.

Reading the record back (``harness.rundir.metrics``, ``harness.rundir.energy``) needs pyarrow and is
imported from there.
"""

from harness.monitor.monitor import Monitor
from harness.monitor.node import NodeProbe, NodeSample, sample_node

__all__ = ["Monitor", "NodeProbe", "NodeSample", "sample_node"]
