"""Names of the files in a run directory, in one place; those of LoadGen's logs are ``harness.loadgen.log``'s."""

from __future__ import annotations

from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY

SUMMARY_LOG, DETAIL_LOG, ACCURACY_LOG = LOADGEN_LOGS = (SUMMARY, DETAIL, ACCURACY)
CONFIG = "config.yaml"
USER_CONF = "user.conf"
AUDIT_CONF = "audit.config"
LOCK = ".mlperf-llama.lock"
STATUS = "status.json"
SESSION = "session.json"
EVENTS = "events.parquet"
SIGNED = (*LOADGEN_LOGS, USER_CONF, EVENTS)
"""What a test leaves and nobody may change: session.json has their digests, events.parquet those of the others."""
METRICS = "metrics.parquet"
ACCURACY_TEXT = "accuracy.txt"
ACCURACY_JSON = "accuracy.json"
ACCURACY_SAMPLES = "accuracy_samples.parquet"
PREFLIGHT = "preflight.json"
SYSTEM = "system.json"
RESULT = "result.json"
SESSION_LOG = "session.log"
WORKERS = "workers"
BASELINE = "baseline-"  # begins the folder of one worker alone in a scaling or coordinated benchmark
TUNE = "tune.json"
SCALING = "scaling.json"
CAMPAIGN = "campaign.json"
EXECUTION = "execution.json"
ENDPOINTS = "endpoints.json"
SERVE = "serve.json"
REPORT_HTML = "report.html"
REPORT_MARKDOWN = "report.md"

BEFORE_THE_START = frozenset({CONFIG, SYSTEM, PREFLIGHT, LOCK})
"""All that is there of a run whose test has not begun."""
