"""``mlperf-llama benchmark``: all runs of a benchmark, one after the other, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.cli.scaling import coordinated
from harness.config import Benchmark, Mode, RunConfig, Scenario

if TYPE_CHECKING:
    from rich.console import Console

    from harness.campaign.plan import Step

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run everything that a submission needs.",
)

OutputOption = Annotated[Path, typer.Option("--output", help="Directory of the campaign; runs in it go on.")]
ScenariosOption = Annotated[str, typer.Option("--scenarios", help="Comma-separated; default: all of the benchmark.")]
RatesOption = Annotated[
    list[str] | None, typer.Option("--target-qps", help="SCENARIO=RATE in samples/s, or ms for singlestream.")
]
ConfsOption = Annotated[
    Path | None, typer.Option("--user-conf-dir", help="Holds user.conf, or SCENARIO/user.conf for each scenario.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan with an estimate of the time.")]
KeepGoingOption = Annotated[bool, typer.Option("--keep-going", help="Go on with what a failed run would hold up.")]
NoSmokeOption = Annotated[bool, typer.Option("--no-smoke", help="Leave the short run at the start out.")]
SkipPreflightOption = Annotated[bool, typer.Option("--skip-preflight", help="Do not check before the runs.")]


app.command("coordinated")(coordinated)


@app.command("datacenter")
def datacenter(
    output: OutputOption,
    profile: o.ProfileOption = None,
    scenarios: ScenariosOption = "",
    engine: o.EngineOption = None,
    model: o.ModelOption = None,
    dataset: o.DatasetOption = None,
    workers: o.WorkersOption = None,
    target_qps: RatesOption = None,
    user_conf_dir: ConfsOption = None,
    cluster: o.ClusterOption = None,
    settings: o.SetOption = None,
    dry_run: DryRunOption = False,
    keep_going: KeepGoingOption = False,
    no_smoke: NoSmokeOption = False,
    skip_preflight: SkipPreflightOption = False,
) -> None:
    """llama3.1-8b: Offline, Server and Interactive; accuracy, TEST06 and performance of each."""
    _campaign(**locals(), benchmark=Benchmark.DATACENTER)


@app.command("edge")
def edge(
    output: OutputOption,
    profile: o.ProfileOption = None,
    scenarios: ScenariosOption = "",
    engine: o.EngineOption = None,
    model: o.ModelOption = None,
    dataset: o.DatasetOption = None,
    workers: o.WorkersOption = None,
    target_qps: RatesOption = None,
    user_conf_dir: ConfsOption = None,
    cluster: o.ClusterOption = None,
    settings: o.SetOption = None,
    dry_run: DryRunOption = False,
    keep_going: KeepGoingOption = False,
    no_smoke: NoSmokeOption = False,
    skip_preflight: SkipPreflightOption = False,
) -> None:
    """llama3.1-8b-edge: SingleStream and Offline; accuracy, TEST06 and performance of each."""
    _campaign(**locals(), benchmark=Benchmark.EDGE)


def _campaign(
    *,
    benchmark: Benchmark,
    output: Path,
    profile: str | None,
    scenarios: str,
    engine: str | None,
    model: str | None,
    dataset: str | None,
    workers: int | None,
    target_qps: list[str] | None,
    user_conf_dir: Path | None,
    cluster: str | None,
    settings: list[str] | None,
    dry_run: bool,
    keep_going: bool,
    no_smoke: bool,
    skip_preflight: bool,
) -> None:
    from rich.console import Console

    from harness.campaign.plan import choose_scenarios, make_plan, parse_rates
    from harness.campaign.runner import Campaign
    from harness.campaign.summary import plan_table, summary_table
    from harness.run import with_defaults

    chosen = choose_scenarios(benchmark, [name.strip() for name in scenarios.split(",") if name.strip()])
    rates = parse_rates(target_qps or [], directory=user_conf_dir, scenarios=chosen)

    def configure(scenario: Scenario, mode: Mode) -> RunConfig:
        rate, single = rates.values.get(scenario), scenario is Scenario.SINGLESTREAM
        return with_defaults(
            o.make_config(
                profile=profile,
                scenario=scenario,
                mode=mode,
                benchmark=benchmark,
                engine=engine,
                model=model,
                dataset=dataset,
                workers=workers,
                target_qps=None if single else rate,
                target_latency_ms=rate if single else None,
                user_conf=rates.confs.get(scenario),
                cluster=cluster,
                output=output / scenario / mode,
                settings=settings,
                skip_preflight=skip_preflight or None,
            )
        )

    console = Console()
    steps = make_plan(chosen, configure, smoke=not no_smoke)
    campaign = Campaign(output, steps, keep_going=keep_going, console=console)
    console.print(plan_table(steps, campaign.reasons()))
    if dry_run:
        return
    if not skip_preflight:
        _preflight(steps[-len(chosen) :], console)
    all_valid = campaign.run()
    console.print(summary_table(output, steps))
    if not all_valid:
        raise typer.Exit(1)
    console.print(
        f"next: mlperf-llama submission build {output} --submitter ORG --system-id ID --output TREE", highlight=False
    )


def _preflight(steps: Sequence[Step], console: Console) -> None:
    """Check every scenario's long run before anything starts. Raises ``EnvironmentFault`` at the first that would
    fail.
    """
    from harness.preflight import Status, run_preflight
    from mlperf_llama_base.errors import EnvironmentFault

    shown = set()
    for step in steps:
        report = run_preflight(step.config.model_copy(update={"overwrite": True}))
        for finding in report.findings:
            line = (finding.check, finding.found)
            if finding.status in (Status.WARN, Status.FAIL) and line not in shown:
                shown.add(line)
                console.print(f"{finding.status} {finding.check}: {finding.found}. {finding.advice}", highlight=False)
        if failed := [f for f in report.findings if f.status is Status.FAIL]:
            what = f"{failed[0].check}: {failed[0].found}"
            raise EnvironmentFault(f"pre-flight of {step.name} failed: {what}; correct it, or add --skip-preflight")
    console.print(f"pre-flight: {len(steps)} scenarios checked", highlight=False)
