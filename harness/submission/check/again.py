"""The complete accuracy logs scored again, where data set and tokenizer are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.loadgen.accuracy_log import is_shortened
from harness.loadgen.accuracy_text import PATTERNS
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import RULES
from harness.submission.check.accuracy import outputs_path, scored_samples, text_path, whole_scores
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory

again_checks: Checks[ScenarioDirectory] = Checks()
EVALUATION = "mlcommons/inference language/llama3.1-8b/evaluation.py"
ROUGE, LENGTH = 0.01, 0.001  # of a score in points; of gen_len as a share: releases of tokenizers differ by less


def complete_log(scenario: ScenarioDirectory) -> Path | None:
    """The one in the backup; the tree's own if nobody shortened it."""
    outputs, tree = outputs_path(scenario), scenario.submitter.tree
    if tree.backup is not None and (full := tree.backup / outputs.relative_to(tree.root)).is_file():
        return full
    return outputs if outputs.is_file() and not is_shortened(outputs) else None


@again_checks.rule("accuracy.again", source=f"{EVALUATION}; {RULES}, Benchmarks: accuracy")
def scores_are_those_of_the_log(scenario: ScenarioDirectory) -> Iterator[Problem]:
    scorer, log = scenario.submitter.tree.scorer, complete_log(scenario)
    said = next(whole_scores(scenario), None)
    if scorer is None or log is None or said is None:
        return
    counted, path = scorer.scores(log), text_path(scenario)
    for name in PATTERNS:
        slack = LENGTH * counted[name] if name == "gen_len" else ROUGE
        if abs(said[name] - counted[name]) > slack:
            yield path, f"says {name} {said[name]:g}, the complete log scored again has {counted[name]:g}"
    count = scored_samples(scenario)
    if count is not None and count != counted["gen_num"]:
        yield path, f"says gen_num {count}, the complete log has {counted['gen_num']:g} samples"


@again_checks.rule("accuracy.not-again", source=EVALUATION, weight=Weight.NOTE)
def every_log_is_at_hand(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """What cannot be scored is never counted as right."""
    if scenario.submitter.tree.scorer is None:
        return
    if complete_log(scenario) is None:
        yield outputs_path(scenario), "is shortened, and no complete log is in the backup: not scored again"
    elif next(whole_scores(scenario), None) is None:
        yield text_path(scenario), "has no scores to compare: not scored again"
