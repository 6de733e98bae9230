"""What ``mlperf-llama benchmark cluster`` runs: from its options to the three command lines."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.config import Benchmark, RunConfig, Scenario

if TYPE_CHECKING:
    from harness.execution.nodes import Nodes
    from harness.execution.parts import PartPlan
    from harness.rundir.execution import PartName

OFFLINE = Scenario.OFFLINE
SHORT = "accuracy,performance"  # TEST06 issues a hundred queries whatever is asked for


@dataclass(frozen=True, kw_only=True)
class ClusterSetup(o.Setup):
    """Which benchmarks, and how large."""

    only: Annotated[
        str | None, typer.Option("--only", help="Comma-separated: datacenter, distributed, coordinated (default: all).")
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help="Samples a node (alone: a worker) in every test, for minutes (default: by profile and rules).",
        ),
    ] = None
    scenarios: Annotated[
        str | None, typer.Option("--scenarios", help="Of the datacenter benchmark, comma-separated (default: all).")
    ] = None
    target_qps: Annotated[
        list[str] | None, typer.Option("--target-qps", help="SCENARIO=RATE in samples/s, of the whole cluster.")
    ] = None
    user_conf_dir: Annotated[
        Path | None, typer.Option("--user-conf-dir", help="Holds user.conf, or SCENARIO/user.conf for each scenario.")
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with an estimate of the time.")] = False
    skip_preflight: Annotated[bool, typer.Option("--skip-preflight", help="Skip the pre-flight checks.")] = False


def base_config(setup: ClusterSetup, output: Path, *, nodes: int = 1, share: int = 1) -> RunConfig:
    """One Offline test of the cluster, with the demo's files where none were given.

    ``nodes``: how many times ``--samples`` it has (alone, each worker's share of the machine counts as a node, so that
    the distributed benchmark is as large as the coordinated one); ``share``: how many LoadGens the rate is for.
    """
    from harness.campaign.plan import parse_rates
    from harness.preflight.base import Context
    from harness.preflight.loadgen_conf import target
    from harness.run import with_defaults

    setup = replace(setup, settings=_settings(setup, nodes))
    rates = parse_rates(setup.target_qps or [], directory=setup.user_conf_dir, scenarios=list(Scenario))
    config = with_defaults(setup.config(output=output, scenario=OFFLINE, loadgen=rates.loadgen(OFFLINE)))
    rate, _ = target(Context(config))
    if share > 1 and rate is not None:
        config.loadgen.target_qps, config.loadgen.user_conf = rate / share, None
    return config


def plans(wanted: list[PartName], setup: ClusterSetup, nodes: Nodes, output: Path) -> list[PartPlan]:
    """The parts as they will run. Raises ``UserError`` for what none of them could use."""
    make = {"datacenter": _datacenter, "distributed": _distributed, "coordinated": _coordinated}
    return [make[name](setup, nodes, output / name) for name in wanted]


def _datacenter(setup: ClusterSetup, nodes: Nodes, output: Path) -> PartPlan:
    from harness.cli.benchmark import CampaignSetup, planned
    from harness.execution.parts import PartPlan

    shared = {f.name: getattr(setup, f.name) for f in fields(CampaignSetup) if hasattr(setup, f.name)}
    campaign = replace(
        CampaignSetup(**shared),
        dry_run=False,
        skip_preflight=_checked(setup),
        no_smoke=setup.samples is not None,
        modes=SHORT if setup.samples is not None else None,
        settings=_settings(setup, nodes.loadgens),
    )
    steps = planned(Benchmark.DATACENTER, output, campaign)
    lengths = [step.seconds() for step in steps]
    return PartPlan(
        name="datacenter",
        arguments=["benchmark", "datacenter", *campaign.arguments()],
        config=steps[-1].config,
        seconds=None if None in lengths else sum(length or 0.0 for length in lengths),
        steps=steps,
    )


def _distributed(setup: ClusterSetup, nodes: Nodes, output: Path) -> PartPlan:
    config = base_config(setup, output, nodes=nodes.loadgens)
    checked = ["--skip-preflight"] if _checked(setup) else []
    options = [*_options(setup, config, nodes.loadgens), *checked]
    return _offline("distributed", ["run", "--scenario", "offline", *options], config)


def _coordinated(setup: ClusterSetup, nodes: Nodes, output: Path) -> PartPlan:
    config = base_config(setup, output, share=nodes.loadgens)
    options = _options(setup, config, 1)
    plan = _offline("coordinated", ["benchmark", "coordinated", "--scenario", "offline", *options], config)
    return replace(plan, seconds=None if plan.seconds is None else 2 * plan.seconds)  # with the baseline before it


def _offline(name: PartName, arguments: list[str], config: RunConfig) -> PartPlan:
    from harness.campaign.plan import Kind, Step
    from harness.execution.parts import PartPlan

    seconds = Step(name=name, kind=Kind.PERFORMANCE, config=config).seconds()
    return PartPlan(name=name, arguments=arguments, config=config, fresh=True, seconds=seconds)


def _options(setup: ClusterSetup, config: RunConfig, nodes: int) -> list[str]:
    """What an Offline test is told: the options that all commands have, its size, its rate."""
    shared = {f.name: getattr(setup, f.name) for f in fields(o.Setup)}
    rate, conf = config.loadgen.target_qps, config.loadgen.user_conf
    settings = _settings(setup, nodes) if conf is None else [f"loadgen.user_conf={conf}", *_settings(setup, nodes)]
    target = [] if rate is None else ["--target-qps", f"{rate:g}"]
    return [*o.Setup(**shared | {"settings": settings}).arguments(), *target]


def _checked(setup: ClusterSetup) -> bool:
    """The pre-flight of the whole is enough: none of these short runs is for a submission, which wants one of each."""
    return setup.skip_preflight or setup.samples is not None


def _settings(setup: ClusterSetup, nodes: int) -> list[str]:
    """The size first, so that a ``--set`` of the user's own wins."""
    from harness.execution.parts import sized

    return [*sized(setup.samples and setup.samples * nodes), *(setup.settings or [])]
