"""TEST06: the run had its settings, and the outputs that it logged have the three properties."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen.log import ACCURACY
from harness.loadgen.rules.base import VALIDITY_AND_CLOSED
from harness.loadgen.rules.logs import BOOK, Logs
from harness.loadgen.rules.sources import TEST06
from harness.loadgen.test06 import settings_problems
from mlperf_llama_base.errors import UserError

ONLY = frozenset({Mode.COMPLIANCE})


@BOOK.rule(
    "test06.settings",
    source=f"{TEST06}; mlcommons/inference compliance/TEST06/audit.config",
    breaks=VALIDITY_AND_CLOSED,
    modes=ONLY,
)
def ran_with_its_settings(logs: Logs) -> Iterator[str]:
    yield from (f"TEST06: {problem}" for problem in settings_problems(logs.detail))


@BOOK.rule(
    "test06.outputs",
    source=f"{TEST06}: the three criteria",
    breaks=VALIDITY_AND_CLOSED,
    about=ACCURACY,
    modes=ONLY,
)
def outputs_bear_it_out(logs: Logs) -> Iterator[str]:
    try:
        yield from (f"TEST06: {reason}" for reason in logs.verified.reasons)
    except UserError as error:
        yield f"TEST06: {error}"
