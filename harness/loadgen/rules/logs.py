"""What the rules about LoadGen's logs look at: the logs of one test, and what that test is said to be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.config import Benchmark, Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY, DetailLog
from harness.loadgen.rules.base import EVERYTHING, Breaks, Rule, Weight
from harness.loadgen.summary import SummaryLog
from harness.loadgen.test06 import LLAMA_3_1_EOS, ComplianceResult, verify_log
from harness.rounds import ROUND, BenchmarkRules, Round

SCORES = "accuracy.txt"
EVERY_MODE = frozenset(Mode)
PERFORMANCE = frozenset({Mode.PERFORMANCE})


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The logs of one test. ``mode``, ``scenario``, ``benchmark``: what it was asked to be, or is filed as.

    ``outputs``: path of the accuracy log. ``accepted``: LoadGen's scenarios that may stand for it (edge infers Offline
    from SingleStream). ``scores``: lines of scores that the targets bind. ``scored``: samples that were scored.
    """

    mode: Mode
    scenario: Scenario
    benchmark: Benchmark
    detail: DetailLog
    summary: SummaryLog
    outputs: Path
    accepted: tuple[str, ...] = ()
    scores: tuple[Mapping[str, float], ...] = ()
    scored: int | None = None
    eos_token_ids: Collection[int] = field(default=LLAMA_3_1_EOS)
    round: Round = ROUND

    @property
    def rules(self) -> BenchmarkRules:
        return self.round.benchmarks[self.benchmark]

    @property
    def ran(self) -> str:
        """LoadGen's scenario: the one that ran, or the one that should have."""
        return self.detail.text("effective_scenario") or self.scenario.loadgen_name

    @cached_property
    def verified(self) -> ComplianceResult:
        """TEST06's properties of the logged outputs. Raises ``UserError`` if the log is missing or damaged."""
        return verify_log(self.outputs, scenario=self.ran, eos_token_ids=self.eos_token_ids)


LogCheck = Callable[[Logs], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRule(Rule[Logs, str]):
    """A rule about the logs. ``about``: the file that it judges; ``modes``: the tests that it binds; ``of_results``:
    it reads what LoadGen writes at the end, and says nothing of a test that did not end (``log.complete`` does).
    """

    about: str = DETAIL
    modes: frozenset[Mode] = EVERY_MODE
    of_results: bool = False

    def binds(self, logs: Logs) -> bool:
        """Whether this rule can be asked about ``logs``. A file that is not there at all is others' business."""
        if logs.mode not in self.modes or (self.of_results and not logs.detail.finished):
            return False
        if self.about == SUMMARY:
            return logs.summary.exists and logs.detail.exists
        return logs.detail.exists or self.about in (ACCURACY, SCORES)


class LogBook:
    """The rules about LoadGen's logs, in the order of their definition."""

    def __init__(self) -> None:
        self.rules: list[LogRule] = []

    def __iter__(self) -> Iterator[LogRule]:
        return iter(self.rules)

    def rule(
        self,
        id: str,
        *,
        source: str,
        breaks: frozenset[Breaks] = EVERYTHING,
        weight: Weight = Weight.RULE,
        in_open: Weight | None = None,
        about: str = DETAIL,
        modes: frozenset[Mode] = EVERY_MODE,
        of_results: bool = False,
    ) -> Callable[[LogCheck], LogCheck]:
        """Enter the decorated generator under ``id``."""

        def enter(check: LogCheck) -> LogCheck:
            self.rules.append(
                LogRule(
                    id=id,
                    source=source,
                    check=check,
                    breaks=breaks,
                    weight=weight,
                    in_open=in_open,
                    about=about,
                    modes=modes,
                    of_results=of_results,
                )
            )
            return check

        return enter

    def breaches(self, logs: Logs) -> Iterator[tuple[LogRule, str]]:
        """Every rule that ``logs`` break, with a sentence about each breach."""
        for rule in self.rules:
            if rule.binds(logs):
                yield from ((rule, text) for text in rule.problems(logs, failed=str))


BOOK = LogBook()
