"""``mlperf-llama benchmark cluster``: every benchmark of a cluster in one command, and the document about it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.cli.cluster_plans import ClusterSetup, base_config, plans
from harness.config import Mode, RunConfig, Scenario

if TYPE_CHECKING:
    from rich.console import Console

    from harness.execution.runner import Execution
    from harness.rundir.execution import ExecutionRecord, PartName

OutputOption = Annotated[Path, typer.Option("--output", help="Directory; the same command continues in it.")]
DEMO = "cpu-demo"


@o.with_groups
def cluster(output: OutputOption, setup: ClusterSetup) -> None:
    """Datacenter, distributed and coordinated benchmark of a cluster (or this machine), and one report of them all."""
    from harness import terminal
    from harness.execution.nodes import look_at_nodes
    from harness.execution.runner import Execution
    from harness.rundir.execution import Asked
    from mlperf_llama_base.errors import RunError

    console = terminal.console()
    wanted = chosen(setup.only)
    if setup.profile is None and setup.engine is None and setup.model is None:
        console.print(f"neither --profile nor --engine nor --model: the demo ({DEMO})", highlight=False)
        if setup.samples is None:
            console.print("at full length, which takes a demo many hours: --samples 10 takes minutes", highlight=False)
        setup = replace(setup, profile=DEMO)
    config = base_config(setup, output)
    nodes = look_at_nodes(config)
    execution = Execution(
        directory=output.resolve(),
        plans=plans(wanted, setup, nodes, output.resolve()),
        nodes=nodes,
        asked=Asked(
            parts=wanted,
            nodes=nodes.names,
            samples_per_node=setup.samples,
            scenario=Scenario.OFFLINE.value,
        ),
        command=shlex.join(["mlperf-llama", *sys.argv[1:]]),
        console=console,
    )
    execution.load()
    show_plan(execution, console)
    if setup.dry_run:
        return
    make(output)
    if not setup.skip_preflight:
        check(execution, config, console)
    try:
        record = execution.run()
    except RunError:  # interrupted
        document(execution, execution.save(), console)
        raise
    conclude(execution, record, console)


def chosen(only: str | None) -> list[PartName]:
    """The parts to run, in their order. Raises ``UserError``."""
    from harness.execution.parts import NAMES
    from mlperf_llama_base.errors import UserError, nearest

    asked = [name.strip() for name in (only or ",".join(NAMES)).split(",") if name.strip()]
    if not asked:
        raise UserError(f"--only {only} names no benchmark: give some of {', '.join(NAMES)}, or leave it out")
    for name in asked:
        if name not in NAMES:
            raise UserError(f"--only {name}: expected some of {', '.join(NAMES)}{nearest(name, NAMES)}")
    return [name for name in NAMES if name in asked]


def show_plan(execution: Execution, console: Console) -> None:
    from rich.table import Table

    from harness.text import duration

    table = Table(title="Plan", title_justify="left")
    for name in ("benchmark", "state", "runs", "estimated"):
        table.add_column(name)
    total = 0.0
    for plan in execution.plans:
        part = execution.parts[plan.name]
        done = part.status in ("done", "not valid")
        total += 0.0 if done else plan.seconds or 0.0
        runs = {"datacenter": len(plan.steps), "distributed": 1}.get(plan.name, 1 + execution.nodes.loadgens)
        estimate = "-" if done else duration(plan.seconds, rough=True)
        table.add_row(plan.name, part.verdict if done else "to run", str(runs), estimate)
    table.add_section()
    where = ", ".join(execution.nodes.names) or execution.nodes.nodes[0].name
    table.add_row(execution.nodes.kind, where, "plus loading the model, each time", duration(total, rough=True))
    console.print(table)


def make(output: Path) -> None:
    """The directory. Raises ``UserError`` where it cannot be, or holds something else."""
    from harness.rundir import names
    from mlperf_llama_base.errors import UserError

    try:
        output.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in output.iterdir()}
    except OSError as error:
        what = f"output directory {output} cannot be written ({error.strerror}): choose another"
        raise UserError(what) from error
    if there and names.EXECUTION not in there and ".campaign.lock" not in there:
        raise UserError(f"output directory {output} holds something else: choose another")


def check(execution: Execution, config: RunConfig, console: Console) -> None:
    """The pre-flight of every node. What fails is in the document, and raised."""
    from harness.execution.nodes import note_preflight
    from harness.preflight import Status, run_preflight
    from harness.rundir.execution import Cause
    from mlperf_llama_base.errors import HarnessError

    scored = any(plan.name == "datacenter" for plan in execution.plans)
    mode = Mode.ACCURACY if scored else Mode.PERFORMANCE
    report = run_preflight(config.model_copy(update={"overwrite": True, "mode": mode}))
    report.save(execution.directory / "preflight.json")
    note_preflight(execution.nodes, report.findings)
    for finding in report.findings:
        if finding.status is not Status.PASS:
            text = f"{finding.status} {finding.check}: {finding.found}. {finding.advice}"
            console.print(text, highlight=False, markup=False)
    console.print(report.summary(), highlight=False)
    try:
        report.raise_failure("correct it, or add --skip-preflight")
    except HarnessError as error:
        probes = execution.nodes.infrastructure.probes
        bad = next((probe.node for probe in probes if probe.preflight == Status.FAIL), None)
        for part in execution.parts.values():
            if part.status == "not run":
                part.cause = Cause(first_error=str(error), node=bad, log="preflight.json")
                part.analysis = f"Not started: {error}."
        document(execution, execution.save(), console)
        raise


def conclude(execution: Execution, record: ExecutionRecord, console: Console) -> None:
    """Write the document; raises what the exit code is for."""
    from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError

    page = document(execution, record, console)
    bad = [part for part in record.parts if part.status not in ("done", "not valid")]
    if bad:
        worst = bad[0]
        kind: type[HarnessError] = {2: UserError, 3: EnvironmentFault}.get(worst.exit_code or 0, RunError)
        why = worst.cause.first_error if worst.cause else worst.status
        more = f" (and {len(bad) - 1} more)" if bad[1:] else ""
        raise kind(f"{worst.name} has no result{more}: {why} [{page}]")
    if record.grave or any(part.status != "done" for part in record.parts):
        raise typer.Exit(1)


def document(execution: Execution, record: ExecutionRecord, console: Console) -> Path:
    """report.html, report.md and samples.parquet from what is in the directory."""
    from harness.execution.samples import write_samples
    from harness.report import write_report

    directory = execution.directory
    write_samples(directory, directory / "samples.parquet", {part.name: part.runs for part in record.parts})
    page, _ = write_report([directory])
    for finding in record.grave:
        console.print(f"{finding.severity}: {finding.text}", highlight=False, markup=False)
    console.print(record.conclusion, highlight=False, markup=False)
    console.print(f"report: {page}", highlight=False)
    return page
