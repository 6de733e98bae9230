"""``mlperf-llama benchmark endpoints``: a curve of MLPerf Endpoints, from the plan to the checked tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from harness.cli import options as o
from harness.rounds import ENDPOINTS
from mlperf_llama_base.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.endpoints.benchmark import Benchmark, Built, Options
    from harness.endpoints.runner import Curve

SHOWN = 12


class OfflineForm(StrEnum):
    """How the curve gets its Offline result."""

    ELECTED = "elected"
    DEDICATED = "dedicated"


@dataclass(frozen=True, kw_only=True)
class CurveSetup(o.Setup):
    """Which points, whose client, which server."""

    panel: ClassVar[str] = "Curve, client and server"

    url: Annotated[str | None, typer.Option("--url", help="Measure a server that runs already (http://HOST:PORT).")] = (
        None
    )
    host: Annotated[str, typer.Option("--host", help="Address of the server that is started.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Its port.")] = 8000
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable that holds the server's key.")
    ] = None
    served_model: Annotated[
        str | None, typer.Option("--served-model", help="Model name in the requests (default: the hub's).")
    ] = None
    client: Annotated[
        Path | None, typer.Option("--client", help="inference-endpoint, MLCommons' client, or its environment.")
    ] = None
    checker: Annotated[
        Path | None, typer.Option("--checker", help="endpoints-submission-cli, the official checker.")
    ] = None
    system: Annotated[
        Path | None, typer.Option("--system", help="Description of the system (default: OUTPUT/system.yaml).")
    ] = None
    cohort: Annotated[
        str | None, typer.Option("--cohort", help="Publication cohort, YYYY-MM-C0 or C1 (default: the next).")
    ] = None
    max_concurrency: Annotated[
        int | None, typer.Option("--max-concurrency", help="C_max (default: found by a probe).")
    ] = None
    min_concurrency: Annotated[
        int, typer.Option("--min-concurrency", help="C_min, 1 to 32: lower ones take hours.")
    ] = ENDPOINTS.low
    offline: Annotated[
        OfflineForm, typer.Option("--offline", help="elected: the point at C_max; dedicated: a run of its own.")
    ] = OfflineForm.ELECTED
    spares: Annotated[int, typer.Option("--spares", min=0, max=20, help="Points beyond the required ones.")] = 1
    chunk_ms: Annotated[
        float, typer.Option("--chunk-ms", min=0, help="serve --chunk-ms: least time between two chunks of a stream.")
    ] = 0.0
    stream_all_chunks: Annotated[
        bool, typer.Option("--stream-all-chunks", help="The client notes the time of every chunk, not of the first.")
    ] = False
    no_hub: Annotated[
        bool, typer.Option("--no-hub", help="The client fetches nothing: ROUGE and punkt from this installation.")
    ] = False
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="One pass a point, any data and engine; the tree says so.")
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with the hours it takes.")] = False


@o.with_groups
def endpoints(
    output: Annotated[Path, typer.Option("--output", help="Directory; the same command continues in it.")],
    setup: CurveSetup,
) -> None:
    """MLPerf Endpoints: the curve of llama3_1-8b with MLCommons' client, up to the tree that its checker takes."""
    from harness import terminal
    from harness.endpoints.benchmark import Benchmark
    from harness.endpoints.summary import plan_table

    console = terminal.console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    bench = Benchmark(_options(output, setup, say=say))
    if setup.dry_run:
        console.print(plan_table(bench.preview(), preview=True))
        return
    with bench.measuring(bench.prepare()) as curve:
        _measure(bench, curve, console)


def _measure(bench: Benchmark, curve: Curve, console: Console) -> None:
    """Run what is left, show the curve, build and check the tree. Exit code 1 if something does not count."""
    from harness.endpoints.summary import curve_table, plan_table
    from harness.report import write_report

    bench.plan(curve)
    console.print(plan_table(curve))
    counts = curve.run()
    curve.endpoint.stop()
    console.print(curve_table(curve))
    built = bench.build(curve) if counts else None
    page, _ = write_report([curve.directory])
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    if built is None:
        raise typer.Exit(1)
    _verdict(built, bench.options, console)


def _verdict(built: Built, options: Options, console: Console) -> None:
    from harness.endpoints import official
    from harness.submission.check import Severity

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"tree: {built.tree}")
    listed = [f for f in built.findings if f.severity is not Severity.NOTE]
    for finding in listed[:SHOWN]:
        say(f"  {finding.severity} {finding.path}: {finding.message} [{finding.rule}]")
    if len(listed) > SHOWN:
        say(f"  ... and {len(listed) - SHOWN} more: mlperf-llama submission check {built.tree}")
    errors = sum(f.severity is Severity.ERROR for f in built.findings)
    say(f"our check: {errors} errors, {len(listed) - errors} warnings")
    if built.verdict is None:
        say(f"the official checker is not installed, so it has not judged the tree: {official.INSTALL}")
    else:
        for found in built.verdict.found[:SHOWN]:
            say(f"  {found.severity} {found.message} [{found.rule}]")
        say(str(built.verdict))
    if options.rehearsal:
        say("a rehearsal: nothing of it can be submitted")
    passed = built.verdict is None or built.verdict.passed
    if not (passed if options.rehearsal else built.good):
        raise typer.Exit(1)


def _options(output: Path, setup: CurveSetup, *, say: Callable[[str], None]) -> Options:
    from harness.endpoints.benchmark import Options
    from harness.endpoints.plan import Offline
    from harness.endpoints.workspace import check_tokenizer
    from harness.inventory.model import HUB_ID

    tokenizer = setup.tokenizer or setup.model
    if tokenizer is None and not setup.dry_run:
        raise UserError("the client needs the model's tokenizer: give --tokenizer, or --model with one in its folder")
    if setup.url and any((setup.profile, setup.engine, setup.cluster, setup.settings, setup.chunk_ms)):
        given = "--profile, --engine, --cluster, --set and --chunk-ms"
        raise UserError(f"--url measures a server that runs already: leave out {given}")
    return Options(
        output=output,
        tokenizer=check_tokenizer(tokenizer) if tokenizer and not setup.dry_run else tokenizer or "",
        dataset=Path(setup.dataset) if setup.dataset else None,
        serve=_serve_arguments(setup),
        url=setup.url,
        host=setup.host,
        port=setup.port,
        api_key_env=setup.api_key_env,
        client=setup.client,
        checker=setup.checker,
        system=setup.system,
        cohort=setup.cohort,
        model=setup.served_model or HUB_ID,
        c_max=setup.max_concurrency,
        c_min=setup.min_concurrency,
        offline=Offline(setup.offline),
        spares=setup.spares,
        workers=setup.workers,
        chunk_ms=setup.chunk_ms,
        stream_all=setup.stream_all_chunks,
        no_hub=setup.no_hub,
        rehearsal=setup.rehearsal,
        say=say,
    )


def _serve_arguments(setup: CurveSetup) -> list[str]:
    """The engine's options, for ``mlperf-llama serve``."""
    given: dict[str, str | int | float | None] = {
        "--profile": setup.profile,
        "--engine": setup.engine,
        "--model": setup.model,
        "--tokenizer": setup.tokenizer,
        "--workers": setup.workers,
        "--cluster": setup.cluster,
    }
    given |= {"--chunk-ms": setup.chunk_ms} if setup.chunk_ms else {}
    arguments = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    return arguments + [part for text in setup.settings or [] for part in ("--set", text)]
