"""Where the rules come from."""

from __future__ import annotations

RULES = "mlcommons/endpoints_policies endpoints_rules.md"
SUBMISSION = "mlcommons/endpoints_policies endpoints_submission_rules.md"
CHECKER = "endpoints-submission-cli"
CLIENT = "mlcommons/endpoints"
