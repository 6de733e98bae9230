"""Everything that would spoil a run, told before it begins. Reads and probes only; changes nothing on the machine."""

from harness.preflight.base import Check, Context, Finding, Status
from harness.preflight.nodes import compare_nodes
from harness.preflight.report import Report
from harness.preflight.runner import default_checks, run_preflight

__all__ = ["Check", "Context", "Finding", "Report", "Status", "compare_nodes", "default_checks", "run_preflight"]
