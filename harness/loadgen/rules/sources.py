"""The public texts that the rules come from, by the names that a finding gives them."""

from __future__ import annotations

CHECKER = "mlcommons/inference tools/submission/submission_checker"
PERFORMANCE_CHECK = f"{CHECKER}/checks/performance_check.py"
RULES = "mlcommons/inference_policies inference_rules.adoc"
OPEN = f"{RULES}, Relaxed constraints for the Open division"
POLICIES = "mlcommons/policies submission_rules.adoc"
LOADGEN = "mlcommons/inference loadgen"
TEST06 = "mlcommons/inference compliance/TEST06/README.md"
