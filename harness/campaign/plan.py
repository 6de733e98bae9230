"""What a campaign will run, in which order, and how long it will take.

Accuracy comes before the long performance runs: a model that misses the targets makes every figure of speed worthless.
Scenarios of each benchmark: mlcommons/inference_policies inference_rules.adoc, Benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.config import Benchmark, Mode, RunConfig, Scenario
from harness.loadgen.length import planned
from harness.preflight.base import Context
from harness.preflight.loadgen_conf import target
from mlperf_llama_base.errors import UserError, nearest

SMOKE_SAMPLES = 64
SMOKE_MS = 2000


class Kind(StrEnum):
    """In the order of running."""

    SMOKE = "smoke"
    ACCURACY = "accuracy"
    COMPLIANCE = "compliance"
    PERFORMANCE = "performance"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run. ``name``: its directory below the campaign's; ``config``: complete except for the output directory."""

    name: str
    kind: Kind
    config: RunConfig

    def seconds(self) -> float | None:
        """Estimated length of the test itself, without loading the model. None without a target rate."""
        context = Context(self.config)
        rate, _ = target(context)
        if rate is None:
            return None
        single = self.config.scenario is Scenario.SINGLESTREAM
        return planned(self.config, 1000 / rate if single else rate).seconds


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Target rates by scenario: samples/s, for SingleStream the mean latency in ms; ``confs``: user.conf files."""

    values: dict[Scenario, float] = field(default_factory=dict)
    confs: dict[Scenario, Path] = field(default_factory=dict)

    def loadgen(self, scenario: Scenario) -> dict[str, float | str]:
        """What is known for a scenario, as keys of ``LoadGenConfig``."""
        keys: dict[str, float | str] = {}
        if scenario in self.values:
            name = "target_latency_ms" if scenario is Scenario.SINGLESTREAM else "target_qps"
            keys[name] = self.values[scenario]
        if scenario in self.confs:
            keys["user_conf"] = str(self.confs[scenario])
        return keys


def parse_rates(texts: Sequence[str], *, directory: Path | None, scenarios: Sequence[Scenario]) -> Rates:
    """Read ``scenario=rate`` texts and a directory of user.conf files.

    In the directory, for each scenario the first found of ``<scenario>/user.conf``, ``tune-<scenario>/user.conf``,
    ``<scenario>.conf`` and ``user.conf``: the directories may be those of searches (``mlperf-llama tune``).
    Raises ``UserError`` for what is no rate, a scenario that does not run, or a directory without any file.
    """
    values: dict[Scenario, float] = {}
    for text in texts:
        name, sign, number = text.partition("=")
        if name not in list(Scenario) or not sign:
            raise UserError(
                f"--target-qps {text!r}: expected SCENARIO=RATE{nearest(name, [s.value for s in Scenario])}"
            )
        if name not in scenarios:
            raise UserError(f"--target-qps {text!r}: scenario {name} is not part of this campaign")
        try:
            values[Scenario(name)] = float(number)
        except ValueError as error:
            raise UserError(f"--target-qps {text!r}: {number!r} is not a number") from error
        if not 0 < values[Scenario(name)] < float("inf"):
            raise UserError(f"--target-qps {text!r}: the rate must be positive")
    confs: dict[Scenario, Path] = {}
    if directory is not None:
        for scenario in scenarios:
            names = (f"{scenario}/user.conf", f"tune-{scenario}/user.conf", f"{scenario}.conf", "user.conf")
            if found := next((directory / name for name in names if (directory / name).is_file()), None):
                confs[scenario] = found
        if not confs:
            raise UserError(
                f"{directory} holds no user.conf: expected user.conf, or SCENARIO/user.conf for each scenario"
            )
    return Rates(values=values, confs=confs)


def choose_scenarios(benchmark: Benchmark, names: Sequence[str]) -> list[Scenario]:
    """The scenarios to run, in the benchmark's order; all of them if none is named."""
    allowed = benchmark.scenarios
    for name in names:
        if name not in allowed:
            raise UserError(f"scenario {name!r} is not one of the {benchmark} benchmark's: {', '.join(allowed)}")
    return [scenario for scenario in allowed if not names or scenario in names]


def choose_modes(names: Sequence[str]) -> list[Mode]:
    """The modes to run each scenario in; all of them if none is named."""
    for name in names:
        if name not in list(Mode):
            raise UserError(f"mode {name!r} is not known: {', '.join(Mode)}{nearest(name, list(Mode))}")
    return [mode for mode in Mode if not names or mode in names]


def make_plan(
    scenarios: Sequence[Scenario],
    configure: Callable[[Scenario, Mode], RunConfig],
    *,
    smoke: bool = True,
    modes: Sequence[Mode] = tuple(Mode),
) -> list[Step]:
    """Every run in its order. ``configure`` gives the configuration of a scenario in a mode.

    Raises ``UserError`` if a scenario has no target rate: LoadGen would take one sample a second.
    """
    steps = []
    for kind, mode in (
        (Kind.ACCURACY, Mode.ACCURACY),
        (Kind.COMPLIANCE, Mode.COMPLIANCE),
        (Kind.PERFORMANCE, Mode.PERFORMANCE),
    ):
        for scenario in scenarios if mode in modes else ():
            config = configure(scenario, mode)
            if target(Context(config))[0] is None:
                unit = "its mean latency in ms" if scenario is Scenario.SINGLESTREAM else "samples/s"
                raise UserError(
                    f"{scenario} has no target rate: give --target-qps {scenario}=X ({unit}) or --user-conf-dir"
                )
            steps.append(Step(name=f"{scenario}/{mode}", kind=kind, config=config))
    if smoke:
        # one with first tokens, where there is one: it exercises all that Offline does and more
        scenario = next((s for s in scenarios if s is not Scenario.OFFLINE), scenarios[0])
        steps.insert(
            0, Step(name=f"smoke/{scenario}", kind=Kind.SMOKE, config=_smoke(configure(scenario, Mode.PERFORMANCE)))
        )
    return steps


def _smoke(config: RunConfig) -> RunConfig:
    """The same run on a few samples for some seconds."""
    short = config.model_copy(deep=True)
    short.dataset.limit = min(SMOKE_SAMPLES, config.dataset.limit or SMOKE_SAMPLES)
    short.loadgen.min_duration_ms = min(SMOKE_MS, config.loadgen.min_duration_ms or SMOKE_MS)
    short.loadgen.min_query_count = 1
    return short
