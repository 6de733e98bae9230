"""``mlperf-llama benchmark``: all runs of a benchmark, one after the other, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.cli.cluster import cluster
from harness.cli.endpoints import endpoints
from harness.cli.scaling import coordinated
from harness.config import Benchmark, Mode, RunConfig, Scenario

if TYPE_CHECKING:
    from rich.console import Console

    from harness.campaign.plan import Step

app = o.sub_commands("Run everything that a submission needs.")
app.command("coordinated")(coordinated)
app.command("cluster")(cluster)
app.command("endpoints")(endpoints)

OutputOption = Annotated[Path, typer.Option("--output", help="Directory; the same command continues in it.")]


@dataclass(frozen=True, kw_only=True)
class CampaignSetup(o.Setup):
    """Which runs, and how to go about them."""

    scenarios: Annotated[
        str | None, typer.Option("--scenarios", help="Comma-separated; default: all of the benchmark.")
    ] = None
    modes: Annotated[
        str | None,
        typer.Option("--modes", help="Comma-separated: accuracy, compliance, performance; a submission needs all."),
    ] = None
    target_qps: Annotated[
        list[str] | None, typer.Option("--target-qps", help="SCENARIO=RATE in samples/s, or ms for singlestream.")
    ] = None
    user_conf_dir: Annotated[
        Path | None, typer.Option("--user-conf-dir", help="Holds user.conf, or SCENARIO/user.conf for each scenario.")
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with an estimate of the time.")] = False
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Carry on with what a failed run would block.")] = (
        False
    )
    no_smoke: Annotated[bool, typer.Option("--no-smoke", help="Leave out the short run at the start.")] = False
    skip_preflight: Annotated[bool, typer.Option("--skip-preflight", help="Skip the pre-flight checks.")] = False


@app.command("datacenter")
@o.with_groups
def datacenter(output: OutputOption, setup: CampaignSetup) -> None:
    """llama3.1-8b: Offline, Server and Interactive; accuracy, TEST06 and performance of each."""
    campaign(Benchmark.DATACENTER, output, setup)


@app.command("edge")
@o.with_groups
def edge(output: OutputOption, setup: CampaignSetup) -> None:
    """llama3.1-8b-edge: SingleStream and Offline; accuracy, TEST06 and performance of each."""
    campaign(Benchmark.EDGE, output, setup)


def campaign(benchmark: Benchmark, output: Path, setup: CampaignSetup) -> None:
    """Plan, check, run and sum up. Exit code 1 if a run is not valid."""
    from harness import terminal
    from harness.campaign.plan import Kind
    from harness.campaign.runner import Campaign
    from harness.campaign.summary import plan_table, summary_table

    steps = planned(benchmark, output, setup)
    scenarios = {step.config.scenario for step in steps}
    console = terminal.console()
    runs = Campaign(output, steps, keep_going=setup.keep_going, console=console)
    console.print(plan_table(steps, runs.reasons()))
    if setup.dry_run:
        return
    if not setup.skip_preflight:
        scored = [step for step in steps if step.kind is Kind.ACCURACY][:1]  # what scoring needs is known before it too
        check([*steps[-len(scenarios) :], *scored], console)
    all_valid = runs.run()
    console.print(summary_table(output, steps))
    if not all_valid:
        raise typer.Exit(1)
    console.print(
        f"next: mlperf-llama submission build {output} --submitter ORG --system-id ID --output TREE", highlight=False
    )


def planned(benchmark: Benchmark, output: Path, setup: CampaignSetup) -> list[Step]:
    """The runs of a campaign. Raises ``UserError`` for a scenario or a rate that cannot be."""
    from harness.campaign.plan import choose_modes, choose_scenarios, make_plan, parse_rates
    from harness.run import with_defaults

    chosen = choose_scenarios(benchmark, [name.strip() for name in (setup.scenarios or "").split(",") if name.strip()])
    rates = parse_rates(setup.target_qps or [], directory=setup.user_conf_dir, scenarios=chosen)

    def configure(scenario: Scenario, mode: Mode) -> RunConfig:
        return with_defaults(
            setup.config(
                output=output / scenario / mode,
                benchmark=benchmark,
                scenario=scenario,
                mode=mode,
                loadgen=rates.loadgen(scenario),
                skip_preflight=setup.skip_preflight or None,
            )
        )

    modes = choose_modes([name.strip() for name in (setup.modes or "").split(",") if name.strip()])
    return make_plan(chosen, configure, smoke=not setup.no_smoke, modes=modes)


def check(steps: Sequence[Step], console: Console) -> None:
    """Check these runs before anything starts. Raises what the first that would fail is about."""
    from harness.preflight import Status, run_preflight

    shown = set()
    for step in steps:
        report = run_preflight(step.config.model_copy(update={"overwrite": True}))
        for finding in report.findings:
            line = (finding.check, finding.found)
            if finding.status is not Status.PASS and line not in shown:
                shown.add(line)
                console.print(
                    f"{finding.status} {finding.check}: {finding.found}. {finding.advice}",
                    highlight=False,
                    markup=False,
                )
        report.raise_failure("correct it, or add --skip-preflight", of=step.name)
    scenarios = {step.config.scenario for step in steps}
    console.print(f"pre-flight: {len(scenarios)} scenarios checked", highlight=False)
