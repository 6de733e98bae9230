"""Names of the files in a run directory, in one place."""

from __future__ import annotations

CONFIG = "config.yaml"
USER_CONF = "user.conf"
AUDIT_CONF = "audit.config"
STATUS = "status.json"
SESSION = "session.json"
EVENTS = "events.parquet"
METRICS = "metrics.parquet"
ACCURACY_TEXT = "accuracy.txt"
ACCURACY_JSON = "accuracy.json"
ACCURACY_SAMPLES = "accuracy_samples.parquet"
PREFLIGHT = "preflight.json"
SYSTEM = "system.json"
RESULT = "result.json"
SUMMARY_LOG = "mlperf_log_summary.txt"
DETAIL_LOG = "mlperf_log_detail.txt"
ACCURACY_LOG = "mlperf_log_accuracy.json"
SESSION_LOG = "session.log"
WORKERS = "workers"
TUNE = "tune.json"
SCALING = "scaling.json"

BEFORE_THE_START = frozenset({CONFIG, SYSTEM, PREFLIGHT})
"""All that is there of a run whose test has not begun."""
