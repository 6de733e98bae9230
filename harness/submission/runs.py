"""The runs of a campaign as a submission needs them, and every reason why they may not be submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from harness.config import Benchmark, Mode, Scenario
from harness.rundir import names
from harness.rundir.record import Evidence
from harness.rundir.result import Result, read_result
from harness.submission import same
from harness.submission.rules import DATACENTER, EDGE, Rules
from harness.verdict.gate import refused_in_open
from harness.verdict.result import result_of
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import sha256_of

LENGTHS_ASK, LENGTHS_DIFFER = 0.01, 0.05  # of the mean: what is asked about, and what no sampling explains


@dataclass(frozen=True)
class Run:
    """One finished run. ``result``: built anew from its files, so that editing result.json changes nothing."""

    path: Path
    result: Result
    recorded: Result

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a run directory. Raises ``UserError`` if it has no readable result.json."""
        try:
            recorded = read_result(path)
        except UserError as error:
            raise UserError(f"{error}: the run did not end; run it again") from error
        return cls(path, result_of(path), recorded)

    @property
    def key(self) -> tuple[Benchmark, Scenario, Mode]:
        return Benchmark(self.result.benchmark), Scenario(self.result.scenario), Mode(self.result.mode)

    @property
    def name(self) -> str:
        return f"{self.result.scenario} {self.result.mode}"

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml as plain data."""
        value = yaml.safe_load((self.path / names.CONFIG).read_text())
        return value if isinstance(value, dict) else {}

    @property
    def nodes(self) -> list[str]:
        """Names of the machines that worked."""
        return sorted({worker.node for worker in self.result.workers if worker.node})

    def altered(self) -> Iterator[str]:
        """Logs that are no longer those that result.json was made from."""
        for name, digest in self.recorded.loadgen.sha256.items():
            if not (self.path / name).is_file() or sha256_of(self.path / name) != digest:
                yield f"{name} is not the file that result.json was made from"


@dataclass
class ScenarioRuns:
    """The runs of one scenario of one benchmark."""

    scenario: Scenario
    runs: dict[Mode, Run] = field(default_factory=dict)


@dataclass
class SystemRuns:
    """Every run of one system for one benchmark, by scenario."""

    benchmark: Benchmark
    scenarios: dict[Scenario, ScenarioRuns] = field(default_factory=dict)

    @property
    def rules(self) -> Rules:
        return DATACENTER if self.benchmark is Benchmark.DATACENTER else EDGE

    @property
    def all(self) -> list[Run]:
        return [run for scenario in self.scenarios.values() for run in scenario.runs.values()]


def find_system(directories: Iterable[Path]) -> SystemRuns:
    """Find the runs under campaign (or run) directories; those in a directory named ``smoke`` do not count.

    Raises ``UserError`` if there is none, if two are for the same purpose, or if they are of different benchmarks.
    """
    found: dict[tuple[Benchmark, Scenario, Mode], Run] = {}
    searched = list(directories)
    for directory in searched:
        if not directory.is_dir():
            raise UserError(f"{directory} is not a directory: give the directory of a campaign")
        for path in sorted({p.parent for p in directory.rglob(names.RESULT)} - {directory / "smoke"}):
            if "smoke" in path.relative_to(directory).parts:
                continue
            run = Run.load(path)
            if run.key in found and found[run.key].path != path:
                raise UserError(f"two {run.name} runs: {found[run.key].path} and {path}; give only one of them")
            found[run.key] = run
    if not found:
        raise UserError(f"no run with a {names.RESULT} in {', '.join(map(str, searched))}")
    benchmarks = {benchmark for benchmark, _, _ in found}
    if len(benchmarks) > 1:
        raise UserError(f"the runs are of {' and '.join(sorted(benchmarks))}: build one benchmark at a time")
    system = SystemRuns(benchmarks.pop())
    for (_, scenario, mode), run in found.items():
        system.scenarios.setdefault(scenario, ScenarioRuns(scenario)).runs[mode] = run
    return system


def refusals(system: SystemRuns, *, closed: bool, allow_invalid: bool = False, rehearsal: bool = False) -> list[str]:
    """Every reason why these runs make no submission; empty if they do.

    ``allow_invalid``: LoadGen's verdicts and the gate's do not count, but for what the open division is bound to, too
    (open division only). ``rehearsal``: runs that are valid but not submittable are taken (another model, a fake
    engine), to try the way.
    """
    reasons = list(_missing(system, closed=closed))
    found: dict[str, list[str]] = {}  # a reason that several runs share is given once
    for run in system.all:
        texts = list(run.altered())
        if not run.result.valid and not allow_invalid:
            texts += [f"not valid: {text}" for text in run.result.invalid_reasons]
        if closed and not rehearsal:
            texts += [f"not submittable: {text}" for text in run.result.not_submittable_reasons]
        if not closed and not rehearsal:
            told = () if allow_invalid else run.result.invalid_reasons
            refused = (reason.text for reason in refused_in_open(Evidence.load(run.path)))
            texts += [f"not for open, either: {text}" for text in refused if text not in told]
        for text in texts:
            found.setdefault(text, []).append(run.name)
    for text, runs in found.items():
        reasons.append(f"{text} [{'every run' if len(runs) == len(system.all) > 1 else ', '.join(runs)}]")
    for scenario in system.scenarios.values():
        reasons += [*same.within(scenario.runs.values()), *_lengths(scenario, above=LENGTHS_DIFFER)]
    return [*reasons, *same.across(system.all), *same.times(system.all)]


def remarks(system: SystemRuns) -> Iterator[str]:
    """What no rule forbids and a reviewer would ask about."""
    for run in system.all:
        yield from (f"{run.name}: {remark.text}" for remark in run.result.remarks)
    for scenario in system.scenarios.values():
        yield from _lengths(scenario, above=LENGTHS_ASK, below=LENGTHS_DIFFER)


def _lengths(scenario: ScenarioRuns, *, above: float, below: float = float("inf")) -> Iterator[str]:
    """Performance and accuracy run whose outputs differ in length by a share between the two."""
    pair = [scenario.runs.get(mode) for mode in (Mode.PERFORMANCE, Mode.ACCURACY)]
    timed, scored = (run.result.tokens.output_mean if run else None for run in pair)
    if timed and scored and above < abs(timed - scored) / scored <= below:
        yield (
            f"{scenario.scenario} outputs have {timed:.1f} tokens on average in the performance run, {scored:.1f} "
            "in the accuracy run: the same code gives the same outputs"
        )


def _missing(system: SystemRuns, *, closed: bool) -> Iterator[str]:
    rules = system.rules
    if closed:
        for wanted in rules.required:
            if wanted not in system.scenarios:
                yield f"no runs of {wanted}: the closed division needs {wanted.directory}"
        if rules.one_of and not set(rules.one_of) & set(system.scenarios):
            yield f"no runs of {' or '.join(rules.one_of)}: the closed division needs one of them"
    modes = (Mode.PERFORMANCE, Mode.ACCURACY) + ((Mode.COMPLIANCE,) if closed and rules.test06 else ())
    for scenario, runs in system.scenarios.items():
        for mode in modes:
            if mode not in runs.runs:
                yield f"no {scenario} {mode} run"
