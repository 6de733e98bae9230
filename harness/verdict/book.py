"""The rules about this project's own record of a run (session.json, config.yaml, accuracy.json, preflight.json).

Rules about LoadGen's logs stand in ``harness.loadgen.rules``.
"""

from __future__ import annotations

from harness.loadgen.rules import Book
from harness.rundir.record import Evidence

RECORD: Book[Evidence, str] = Book()
OURS = "mlperf-llama: what it records of its own runs"
