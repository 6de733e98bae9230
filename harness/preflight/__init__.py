"""Everything that would spoil a run, reported before it begins. It reads and probes only and changes nothing."""

from harness.preflight.base import Check, Context, Finding, Status
from harness.preflight.nodes import compare_nodes
from harness.preflight.report import Report
from harness.preflight.runner import default_checks, run_preflight

__all__ = ["Check", "Context", "Finding", "Report", "Status", "compare_nodes", "default_checks", "run_preflight"]
