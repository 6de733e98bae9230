"""The gate: says of every run whether it counts, and whether it could be submitted, with reasons.

``valid``: LoadGen and the rules say that this run counts for what it is. A short run on a demo model may be valid.
``submittable``: it could go into a closed submission. The official checker lets runs pass that break the rules
(INVALID verdicts, error lines, Interactive judged by Server's limits: mlcommons/inference,
submission_checker/checks/performance_check.py); the gate does not. A reason against validity is also one against
submission; it is listed once, under ``invalid_reasons``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.config import Mode
from harness.loadgen.log import ACCURACY
from harness.loadgen.rules import BOOK, Breaks, Logs, Rule, Weight
from harness.loadgen.rules.results import VERDICT, too_short
from harness.loadgen.test06 import LLAMA_3_1_EOS
from harness.rundir.record import Evidence
from harness.rundir.result import Reason
from harness.verdict import evidence, record, scale, witness  # noqa: F401  they fill the book
from harness.verdict.book import RECORD


@dataclass(frozen=True)
class Verdict:
    """``valid`` and ``submittable`` follow from the reasons alone. ``remarks``: looks wrong, but breaks no rule.

    ``too_short``: the only reason against it is that LoadGen had too little to tell.
    """

    reasons: list[Reason]
    remarks: list[Reason]
    too_short: bool = False

    @cached_property
    def invalid_reasons(self) -> list[str]:
        return [reason.text for reason in self.reasons if reason.breaks == "validity"]

    @cached_property
    def not_submittable_reasons(self) -> list[str]:
        return [reason.text for reason in self.reasons if reason.breaks == "submission"]

    @property
    def valid(self) -> bool:
        return not self.invalid_reasons

    @property
    def submittable(self) -> bool:
        return not self.reasons


def judge(run: Evidence) -> Verdict:
    """Apply every rule to the saved files of a run."""
    found = {reason.text: reason for reason in reversed(list(_reasons(run)))}
    told = list(reversed(found.values()))
    against = [r for r in told if r.breaks != "nothing"]
    invalid = {r.rule for r in against if r.breaks == "validity"}
    short = invalid == {VERDICT} and too_short(run.detail)
    return Verdict(against, [r for r in told if r.breaks == "nothing"], too_short=short)


def refused_in_open(run: Evidence) -> Iterator[Reason]:
    """Why the open division cannot have this run, valid or not: what the tree check would call an error there, and
    what of our own record says that it is no whole test.
    """
    for rule in RECORD:
        if {Breaks.OPEN, Breaks.VALIDITY} <= rule.breaks and rule.weighs(Breaks.OPEN).spoils:
            for text in rule.check(run):
                yield Reason(rule=rule.id, text=text, source=rule.source, breaks="submission")
    for log_rule, text in BOOK.breaches(logs_of(run)):
        if Breaks.OPEN in log_rule.breaks and log_rule.weighs(Breaks.OPEN).spoils:
            yield Reason(rule=log_rule.id, text=text, source=log_rule.source, breaks="submission")


def _reasons(run: Evidence) -> Iterator[Reason]:
    for rule in RECORD:
        for text in rule.check(run):  # a damaged file of ours is the caller's business
            yield from _reason(rule, text)
    for log_rule, text in BOOK.breaches(logs_of(run)):
        yield from _reason(log_rule, text)


def _reason(rule: Rule[Evidence, str] | Rule[Logs, str], text: str) -> Iterator[Reason]:
    if rule.weight.spoils and Breaks.VALIDITY in rule.breaks:
        yield Reason(rule=rule.id, text=text, source=rule.source, breaks="validity")
    elif rule.weight.spoils and Breaks.CLOSED in rule.breaks:
        yield Reason(rule=rule.id, text=text, source=rule.source, breaks="submission")
    elif rule.weight is Weight.EXPLAIN:
        yield Reason(rule=rule.id, text=text, source=rule.source, breaks="nothing")


def logs_of(run: Evidence) -> Logs:
    """LoadGen's logs of a run, as the rule book looks at them. The targets bind whole scores of the benchmark's model
    only; a foreign run is filed as one of it.
    """
    scores = run.accuracy if run.mode is Mode.ACCURACY else None
    bound = scores is not None and scores.partial is None and (run.is_the_model or run.is_foreign)
    return Logs(
        mode=run.mode,
        scenario=run.scenario,
        benchmark=run.benchmark,
        detail=run.detail,
        summary=run.summary,
        outputs=run.run_dir / ACCURACY,
        scores=(scores.scores,) if scores is not None and bound else (),
        scored=None if scores is None else scores.gen_num,
        eos_token_ids=run.eos_token_ids or LLAMA_3_1_EOS,
    )
