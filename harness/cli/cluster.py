"""``mlperf-llama benchmark cluster``: every benchmark of a cluster in one command, and the document about it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.cli.cluster_plans import ClusterSetup, base_config, plans
from harness.config import Mode, RunConfig, Scenario
from mlperf_llama_base import interrupt
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError, nearest

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
    from harness.campaign.runner import locked

    console = terminal.console()
    wanted = chosen(setup.only)
    setup = with_demo(setup, console)
    config = base_config(setup, output)
    if setup.dry_run:
        show_plan(planned(setup, config, wanted, console), console)
        return
    make(output)
    try:
        with locked(output.resolve()) as lock:
            carry_out(setup, config, wanted, lock=lock, console=console)
    finally:
        remove_unused(output)


def with_demo(setup: ClusterSetup, console: Console) -> ClusterSetup:
    """The demo where nothing else was asked for."""
    if not (setup.profile is None and setup.engine is None and setup.model is None):
        return setup
    console.print(f"neither --profile nor --engine nor --model: the demo ({DEMO})", highlight=False)
    if setup.samples is None:
        console.print("at full length, which takes a demo many hours: --samples 10 takes minutes", highlight=False)
    return replace(setup, profile=DEMO)


def planned(setup: ClusterSetup, config: RunConfig, wanted: list[PartName], console: Console) -> Execution:
    """Look at the nodes, and at what an earlier command did in the directory of ``config``."""
    from harness.execution.nodes import look_at_nodes
    from harness.execution.runner import Execution
    from harness.rundir.execution import Asked

    directory = Path(config.output)
    nodes = look_at_nodes(config)
    execution = Execution(
        directory=directory,
        plans=plans(wanted, setup, nodes, directory),
        nodes=nodes,
        asked=Asked(
            parts=wanted,
            nodes=nodes.names,
            samples_per_node=setup.samples,
            scenario=Scenario.OFFLINE.value,
        ),
        command=typed(),
        console=console,
    )
    execution.load()
    return execution


def carry_out(setup: ClusterSetup, config: RunConfig, wanted: list[PartName], *, lock: int, console: Console) -> None:
    """From the first look at the nodes to the document, which is there too where the user ends it in between."""
    from harness.run import writing

    directory = Path(config.output)
    execution = None
    try:
        execution = planned(setup, config, wanted, console)
        show_plan(execution, console)
        with writing(directory):
            if not setup.skip_preflight:
                check(execution, config, console)
            conclude(directory, execution.run(lock), console)
    except KeyboardInterrupt:
        with interrupt.unheard(), writing(directory):
            tell_interruption(directory, execution, wanted, console)
        raise RunError(f"interrupted; the same command goes on from here ({directory})") from None


def tell_interruption(directory: Path, execution: Execution | None, wanted: list[PartName], console: Console) -> None:
    """The document of what was done. ``execution``: None before the nodes were known."""
    from harness.execution.interruption import before_anything

    console.print("interrupted: writing the document", highlight=False)
    record = execution.interrupted() if execution else before_anything(directory, wanted, command=typed())
    document(directory, record, console)


def typed() -> str:
    """The command line."""
    return shlex.join(["mlperf-llama", *sys.argv[1:]])


def chosen(only: str | None) -> list[PartName]:
    """The parts to run, in their order. Raises ``UserError``."""
    from harness.execution.parts import NAMES

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
    from harness.campaign.runner import LOCK
    from harness.rundir import names

    try:
        output.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in output.iterdir()}
    except OSError as error:
        what = f"output directory {output} cannot be written ({error.strerror}): choose another"
        raise UserError(what) from error
    if there and not there & {names.EXECUTION, LOCK}:
        raise UserError(f"output directory {output} holds something else: choose another")


def remove_unused(output: Path) -> None:
    """Leave no directory behind that has but our lock: nothing was begun."""
    from harness.campaign.runner import LOCK

    with contextlib.suppress(OSError):
        if [path.name for path in output.iterdir()] == [LOCK]:
            (output / LOCK).unlink()
            output.rmdir()


def check(execution: Execution, config: RunConfig, console: Console) -> None:
    """The pre-flight of every node. What fails is in the document, and raised."""
    from harness.execution.nodes import note_preflight
    from harness.preflight import Status, run_preflight
    from harness.rundir.execution import Cause

    scored = any(plan.name == "datacenter" for plan in execution.plans)
    mode = Mode.ACCURACY if scored else Mode.PERFORMANCE
    report = run_preflight(
        config.model_copy(update={"overwrite": True, "mode": mode}),
        loadgen_everywhere=any(plan.name == "coordinated" for plan in execution.plans),
    )
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
        document(execution.directory, execution.save(), console)
        raise


def conclude(directory: Path, record: ExecutionRecord, console: Console) -> None:
    """Write the document; raises what the exit code is for."""

    page = document(directory, record, console)
    bad = [part for part in record.parts if part.status not in ("done", "not valid")]
    if bad:
        worst = bad[0]
        kind: type[HarnessError] = {2: UserError, 3: EnvironmentFault}.get(worst.exit_code or 0, RunError)
        why = worst.cause.first_error if worst.cause else worst.status
        more = f" (and {len(bad) - 1} more)" if bad[1:] else ""
        raise kind(f"{worst.name} has no result{more}: {why} [{page}]")
    if record.grave or any(part.status != "done" for part in record.parts):
        raise typer.Exit(1)


def document(directory: Path, record: ExecutionRecord, console: Console) -> Path:
    """report.html, report.md and samples.parquet from what is in the directory."""
    from harness.execution.samples import write_samples
    from harness.report import write_report

    write_samples(directory, directory / "samples.parquet", {part.name: part.runs for part in record.parts})
    page, _ = write_report([directory])
    for finding in record.grave:
        console.print(f"{finding.severity}: {finding.text}", highlight=False, markup=False)
    console.print(record.conclusion, highlight=False, markup=False)
    console.print(f"report: {page}", highlight=False)
    return page
