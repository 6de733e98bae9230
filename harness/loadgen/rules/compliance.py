"""TEST06: the run had its settings, the outputs that it logged have the three properties, and break no other rule."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen.log import ACCURACY
from harness.loadgen.rules.base import CLOSED_ONLY, VALIDITY_AND_CLOSED, Weight
from harness.loadgen.rules.logs import BOOK, Logs
from harness.loadgen.rules.sources import LOADGEN, RULES, TEST06
from harness.loadgen.test06 import Fault, settings_problems
from mlperf_llama_base.errors import UserError

ONLY = frozenset({Mode.COMPLIANCE})
DISTINCT = 0.9


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
    """Begins with the first token that was reported, ends with one end token at most, is as long as was reported."""
    try:
        yield from (f"TEST06: {reason}" for reason in logs.verified.reasons)
    except UserError as error:
        yield f"TEST06: {error}"


def other(logs: Logs, fault: Fault) -> Iterator[str]:
    """A log that cannot be read is said by ``test06.outputs``."""
    with contextlib.suppress(UserError):
        if fault in logs.verified.others:
            yield f"TEST06's outputs: {logs.verified.others[fault]}"


@BOOK.rule(
    "outputs.length",
    source=f"{RULES}, Benchmarks: generation lengths of llama3.1-8b",
    breaks=VALIDITY_AND_CLOSED,
    about=ACCURACY,
    modes=ONLY,
)
def no_longer_than_the_rules_say(logs: Logs) -> Iterator[str]:
    yield from other(logs, Fault.TOO_LONG)


@BOOK.rule(
    "outputs.end-token",
    source="mlcommons/inference language/llama3.1-8b/SUT_VLLM.py (generation stops at an end token)",
    breaks=VALIDITY_AND_CLOSED,
    weight=Weight.EXPLAIN,
    about=ACCURACY,
    modes=ONLY,
)
def nothing_follows_an_end_token(logs: Logs) -> Iterator[str]:
    """What is generated after the end counts as tokens, but is no part of the answer."""
    yield from other(logs, Fault.EARLY_END)


@BOOK.rule(
    "outputs.vocabulary",
    source=f"{RULES}, Benchmarks: the reference model",
    breaks=VALIDITY_AND_CLOSED,
    about=ACCURACY,
    modes=ONLY,
)
def ids_are_tokens(logs: Logs) -> Iterator[str]:
    """Llama 3.1 has no other token ids."""
    yield from other(logs, Fault.VOCABULARY)


@BOOK.rule(
    "outputs.samples",
    source=f"{LOADGEN}/loadgen.cc (SampleDistribution): drawn at random from the data set",
    breaks=CLOSED_ONLY,
    about=ACCURACY,
    modes=ONLY,
)
def samples_are_the_data_set_s(logs: Logs) -> Iterator[str]:
    """A hundred draws from thousands of samples hold few twice, and none from beyond them."""
    with contextlib.suppress(UserError):
        found = logs.verified
        if found.samples == logs.round.audited_samples and len(found.indices) < DISTINCT * found.samples:
            yield f"TEST06's outputs: {found.samples} outputs are of {len(found.indices)} samples only"
        if beyond := sorted(i for i in found.indices if not 0 <= i < logs.rules.samples):
            yield f"TEST06's outputs: sample {beyond[0]} is none of the data set's {logs.rules.samples}"
