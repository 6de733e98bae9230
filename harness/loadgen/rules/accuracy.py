"""The accuracy run: of the whole data set, every sample scored, and the scores meet the targets."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen.rules.base import SUBMISSION, VALIDITY_AND_CLOSED
from harness.loadgen.rules.logs import BOOK, SCORES, Logs
from harness.loadgen.rules.sources import CHECKER, RULES

ACCURACY_CHECK = f"{CHECKER}/checks/accuracy_check.py"
LLAMA_EVALUATION = "mlcommons/inference language/llama3.1-8b/evaluation.py"
ONLY = frozenset({Mode.ACCURACY})


@BOOK.rule("accuracy.data-set", source=f"{ACCURACY_CHECK} (dataset_check)", breaks=SUBMISSION, modes=ONLY)
def covers_the_data_set(logs: Logs) -> Iterator[str]:
    """Older LoadGens do not log the effective count, nor the override that it follows from."""
    values = logs.detail.values
    newer = {"requested_accuracy_sample_count_override", "effective_accuracy_sample_count"} & values.keys()
    for key in (*(("effective_accuracy_sample_count",) if newer else ()), "qsl_reported_total_count"):
        if (count := logs.detail.integer(key)) != logs.rules.samples:
            yield f"accuracy was measured on {count} samples; the benchmark has {logs.rules.samples} ({key})"
    queries, each = (logs.detail.integer(f"generated_{name}") for name in ("query_count", "samples_per_query"))
    if queries and each and queries * each != logs.rules.samples:
        yield f"accuracy was measured on {queries * each} samples; the benchmark has {logs.rules.samples} (generated)"


@BOOK.rule(
    "accuracy.count",
    source=f"{RULES}, LoadGen Operation: each sample of the library exactly once",
    about=SCORES,
    modes=ONLY,
)
def every_sample_was_scored(logs: Logs) -> Iterator[str]:
    issued = logs.detail.integer("effective_accuracy_sample_count")
    if logs.scored is not None and issued is not None and logs.scored != issued:
        yield f"the accuracy log holds {logs.scored} samples, but LoadGen had {issued}"


@BOOK.rule(
    "accuracy.targets",
    source=f"{ACCURACY_CHECK} (accuracy_result_check); constants.py, accuracy-target",
    breaks=VALIDITY_AND_CLOSED,
    about=SCORES,
    modes=ONLY,
)
def targets_are_met(logs: Logs) -> Iterator[str]:
    """Only the benchmark's own model is bound to them: for another one no scores are given to this rule."""
    for scores in logs.scores:
        yield from (f"accuracy: {reason}" for reason in logs.rules.shortfalls(scores))


@BOOK.rule("accuracy.possible", source=f"{LLAMA_EVALUATION}: ROUGE x 100", about=SCORES, modes=ONLY)
def scores_are_possible(logs: Logs) -> Iterator[str]:
    for scores in logs.scores:
        for name, value in scores.items():
            if name.startswith("rouge") and not 0 <= value <= 100:
                yield f"accuracy: {name} cannot be {value:g}: it lies between 0 and 100"
