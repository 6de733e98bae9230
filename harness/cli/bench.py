"""``mlperf-llama bench``: measure the harness itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o
from harness.config import Scenario
from harness.rounds import ENDPOINTS

app = o.sub_commands("Measure the harness itself.")
STREAMS = [1024, ENDPOINTS.samples]


@app.command()
@o.with_groups
def engine(
    output: Annotated[Path, typer.Option("--output", help="Directory for the run and bench.json.")],
    setup: o.Setup,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Prompts, without --dataset.")] = 2000,
    raw: Annotated[bool, typer.Option(help="Run the raw engine as well and report the ratio.")] = True,
    static_batches: Annotated[
        int | None,
        typer.Option(help="Also drive the raw engine as the reference does: one batch of N at a time."),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Report what a step takes, in three numbers (vLLM; sets step_log).")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the directory.")] = False,
) -> None:
    """The same prompts through the raw engine and through LoadGen and the harness, Offline, one permutation."""
    from harness import terminal
    from harness.bench import engine as bench
    from qsl.dataset import Dataset

    console = terminal.console()
    workload = setup.dataset or bench.workload(output.parent / f"workload-{samples}.parquet", count=samples)
    setup = replace(setup, dataset=str(workload))
    config = setup.config(output=output, scenario=Scenario.OFFLINE, overwrite=overwrite or None)
    if steps:
        config.engine.args["step_log"] = True
    count = Dataset.load(Path(workload), limit=config.dataset.limit).count
    figures = bench.measure_engine(config, samples=count, raw=raw, static_batches=static_batches, console=console)
    for name in ("raw", "static_batches", "harness"):
        if name in figures:
            console.print(
                f"{name:<15}{figures[name]['tokens_per_second']:>12.1f} tokens/s"
                f"{figures[name]['samples_per_second']:>10.2f} samples/s",
                highlight=False,
            )
    if "ratio" in figures:
        console.print(f"harness / raw  {figures['ratio']:.4f}", highlight=False)
    if steps:
        console.print(figures["steps"] or "the steps were too few or too alike to tell what one takes", highlight=False)


@app.command()
def overhead(
    output: Annotated[Path, typer.Option("--output", help="Directory for the runs and overhead.json.")],
    workers: Annotated[list[int], typer.Option("--workers", min=1, help="Numbers of workers.")] = [1, 8, 64],  # noqa: B006
    rates: Annotated[list[float], typer.Option("--rate", min=1, help="Server rates, q/s.")] = [2000.0, 10000.0],  # noqa: B006
    offline_samples: Annotated[int, typer.Option(min=1, help="Samples of an Offline run.")] = 200_000,
    seconds: Annotated[float, typer.Option(min=1, help="Minimum length of a Server run.")] = 20.0,
    overload: Annotated[
        bool, typer.Option(help="Double the highest rate until it is more than the host can dispatch.")
    ] = True,
    processes: Annotated[int, typer.Option(min=1, help="Dispatching processes (dispatch.processes).")] = 1,
    profiled: Annotated[
        bool, typer.Option("--profile", help="Write where the LoadGen process's time goes (extra 'profile': py-spy).")
    ] = False,
) -> None:
    """LoadGen, harness and the null engine beside LoadGen alone: samples/s, added TTFT, CPU per sample, memory."""
    from harness import terminal
    from harness.bench import overhead as bench
    from harness.bench import profile

    console = terminal.console()
    plan = bench.Plan(
        output=output,
        workers=workers,
        rates=rates,
        offline_samples=offline_samples,
        seconds=seconds,
        overload=overload,
        processes=processes,
        profiler=profile.find() if profiled else None,
        console=console,
    )
    console.print(bench.table(bench.measure_overhead(plan)))


@app.command()
def links(
    numbers: Annotated[list[int], typer.Option("--links", min=1, help="Numbers of workers.")] = [8, 128, 1024],  # noqa: B006
    answers: Annotated[list[int], typer.Option("--answers", min=1, help="Answers in a message.")] = [4, 64],  # noqa: B006
    samples: Annotated[int, typer.Option(min=1, help="Samples to dispatch.")] = 400_000,
    processes: Annotated[
        list[int] | None,
        typer.Option("--processes", min=1, help="Dispatching processes behind the real LoadGen, Offline."),
    ] = None,
) -> None:
    """What a thousand workers cost the thread that dispatches: its real sockets, and one process that stands in."""
    from harness import terminal
    from harness.bench import links as bench
    from harness.bench import shares

    console = terminal.console()
    for number in numbers:
        for several in answers:
            for count in processes or ():
                console.print(
                    shares.line(shares.measure(processes=count, links=number, answers=several, samples=samples)),
                    highlight=False,
                )
            if processes:
                continue
            cost = bench.measure(links=number, answers=several, samples=samples)
            console.print(
                f"{number:>5} links, {several:>3} answers a message: {cost.samples_per_second:>8.0f} samples/s, "
                f"hub's thread {cost.hub_us:5.2f} us a sample, the rest of its process {cost.other_us:5.2f}",
                highlight=False,
            )


@app.command()
def serve(
    output: Annotated[Path, typer.Option("--output", help="Directory for logs and endpoint.json.")],
    streams: Annotated[list[int], typer.Option("--streams", min=1, help="Numbers of open streams.")] = STREAMS,
    tokens: Annotated[int, typer.Option("--tokens", min=2, help="Tokens of an answer.")] = 128,
    step_ms: Annotated[float, typer.Option(min=1, help="A step of the engine: a token for every stream.")] = 500.0,
    rates: Annotated[
        list[float], typer.Option("--rate", min=1, help="Requests/s to an engine that answers at once.")
    ] = [200],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=1, help="Length of a rate's measurement.")] = 20.0,
    client: Annotated[
        Path | None,
        typer.Option("--client", help="MLCommons' endpoints client, or its environment: the same streams with it too."),
    ] = None,
) -> None:
    """The endpoint with the null engine: CPU for a streamed chunk, streams open at once, time to the first token."""
    from harness import terminal
    from harness.bench import serve as bench
    from harness.endpoints import bench as official
    from harness.endpoints.client import find_client

    console = terminal.console()
    theirs = find_client(client) if client else None  # before anything is measured
    rows = bench.measure_serve(
        output=output, streams=streams, tokens=tokens, step_ms=step_ms, rates=rates, seconds=seconds, console=console
    )
    good = not any(row.failed for row in rows)
    if theirs:
        told = official.measure_with(
            theirs, output=output, streams=streams, tokens=tokens, step_ms=step_ms, console=console
        )
        good = good and all(row.whole for row in told)
    raise typer.Exit(int(not good))


@app.command()
def weights(
    output: Annotated[Path, typer.Option("--output", help="Model folder to write (8.5 GB).")],
    shape: Annotated[str, typer.Option(help="Packaged shape with static FP8 scales.")] = "llama-3.1-8b-fp8-static",
    device: Annotated[str, typer.Option(help="cpu or cuda: where the random numbers are drawn.")] = "cpu",
    seed: Annotated[int, typer.Option(help="The same seed makes the same weights.")] = 0,
) -> None:
    """Write random weights in the form of a calibrated FP8 checkpoint, for speed measurements without the real ones."""
    from harness.bench import weights as bench

    bench.write(output, shape=shape, seed=seed, device=device, on_file=lambda name: typer.echo(name))


@app.command()
def simulate(
    nodes: Annotated[list[int], typer.Option("--nodes", min=1, help="Numbers of nodes.")] = [1, 4, 16, 32],  # noqa: B006
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of a node.")] = 8,
    slow: Annotated[float, typer.Option(min=0.05, max=1.0, help="First node's speed relative to the others.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1, help="Simulated length of the test; the rules ask for 600.")] = 60.0,
    hub_us: Annotated[
        float, typer.Option(help="CPU of the dispatching thread for a sample; see docs/scaling.md.")
    ] = 7.2,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Samples/s of a GPU alone; none: those of the engine's times, about 60.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Dispatching processes (dispatch.processes).")] = 1,
    front_us: Annotated[
        float,
        typer.Option(help="CPU of the LoadGen process for a sample, with several; see docs/scaling.md."),
    ] = 2.3,
    policy: Annotated[str, typer.Option(help="Dispatch policy (dispatch.policy).")] = "auto",
    order: Annotated[str, typer.Option(help="Order in a block (dispatch.order).")] = "issue",
    steps_of: Annotated[
        Path | None,
        typer.Option("--steps-of", help="A run with a step log: simulate engines like its own."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write the figures there as JSON.")] = None,
) -> None:
    """The real dispatcher in a simulated machine room, Offline: what share of the time GPUs have nothing to do."""
    from harness import terminal
    from harness.bench import simulate as bench
    from harness.bench import simulate_shares
    from mlperf_llama_base import files

    console = terminal.console()
    rows = []
    engine = bench.engine_of(steps_of) if steps_of else {}
    for count in nodes:
        room = bench.Room(nodes=count, gpus=gpus, slow=slow, seconds=seconds, hub_us=hub_us, policy=policy, order=order)
        room = replace(room, **engine)
        room = bench.at_rate(room, rate) if rate else room
        if processes > 1:
            rows.append(simulate_shares.SharedSimulation(room, shares=processes, front_us=front_us).run())
        else:
            rows.append(bench.Simulation(room).run())
        console.print(bench.line(rows[-1]), highlight=False)
        if output:
            files.write_json(output, rows)


@app.command()
def card(
    output: Annotated[Path, typer.Option("--output", help="Directory for runs and records; the same goes on there.")],
    profile: Annotated[str, typer.Option("--profile", help="Profile of the card.")] = "h100-fp8",
    model: Annotated[
        str, typer.Option("--model", help="Model, or a shape with random weights.")
    ] = "shape:llama-3.1-8b",
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Data set; none: 2,000 made-up prompts of CNN/DailyMail's lengths.")
    ] = None,
    fp8_last_layer: Annotated[
        str | None, typer.Option("--fp8-last-layer", help="Checkpoint whose lm_head is FP8 too, for that lever.")
    ] = None,
    int4: Annotated[str | None, typer.Option("--int4", help="Checkpoint with 4-bit weights, for that lever.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Steps whose names begin so.")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Begin no step that would end later than that.")
    ] = None,
    list_steps: Annotated[bool, typer.Option("--list", help="Say which steps there are, and do nothing.")] = False,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Short runs of the null engine, on any machine.")
    ] = False,
) -> None:
    """All that an hour of a rented card should tell, step by step; a cut loses one step, the same call goes on."""
    from harness import terminal
    from harness.bench import card as bench
    from harness.bench.card_plan import Order, steps

    data = dataset or output / ("rehearsal.parquet" if rehearse else "g2000.parquet")
    order = Order(
        dataset=data, profile=profile, model=model, fp8_last_layer=fp8_last_layer, int4=int4, rehearse=rehearse
    )
    if list_steps:
        for step in bench.chosen(steps(order), only or []):
            typer.echo(f"{step.name:<22} {step.minutes:5.1f} min  {step.what}")
        return
    failed = bench.Hour(output, order, minutes=minutes, console=terminal.console()).go(only or [])
    raise typer.Exit(int(failed > 0))
