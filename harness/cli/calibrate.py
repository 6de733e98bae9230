"""``mlperf-llama calibrate``: from a BF16 checkpoint to the quantised one that the fast profiles run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from harness.calibrate.scheme import Activations, KvCache, Plan, Scheme, group_size
from harness.cli.options import with_groups

if TYPE_CHECKING:
    from harness.calibrate.order import Order


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What numbers to use where, besides the scheme."""

    panel: ClassVar[str] = "Numbers"

    activations: Annotated[
        Activations, typer.Option("--activations", help="Their scales: from the calibration set, or at run time.")
    ] = Activations.STATIC
    kv_cache: Annotated[KvCache, typer.Option("--kv-cache", help="FP8 with static scales, or as computed.")] = (
        KvCache.FP8
    )
    quantize_last_layer: Annotated[
        bool, typer.Option("--quantize-last-layer", help="lm_head too; look at the accuracy before you keep it.")
    ] = False
    group: Annotated[
        int | None, typer.Option("--group-size", min=1, help="w4a16: weights that share a scale (default: 128).")
    ] = None

    def plan(self, scheme: Scheme, *, widths: list[int]) -> Plan:
        """``widths``: see :func:`group_size`. Raises ``UserError``."""
        return Plan(
            scheme=scheme,
            activations=self.activations,
            kv_cache=self.kv_cache,
            quantize_last_layer=self.quantize_last_layer,
            group_size=group_size(scheme, asked=self.group, widths=widths),
        )


@with_groups
def calibrate(
    model: Annotated[str, typer.Option("--model", help="Checkpoint as published: a folder or a hub id.")],
    scheme: Annotated[Scheme, typer.Option("--scheme", help="FP8, INT8 (w8a8), or INT4 weights alone (w4a16).")],
    calibration: Annotated[
        Path, typer.Option("--calibration", help="Calibration set ('data prepare --split train --ids FILE').")
    ],
    output: Annotated[Path, typer.Option("--output", help="Model folder to write.")],
    numbers: Numbers,
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", help="Evaluation set: refuse calibration data that share a row.")
    ] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="The first rows only (default: all).")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    revision: Annotated[str | None, typer.Option("--revision", help="Revision of a hub id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and say what would be made.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier calibrated model.")] = False,
) -> None:
    """Quantise a checkpoint with llm-compressor, on calibration data that share nothing with the evaluation."""
    from harness.calibrate import order as orders
    from mlperf_llama_base.files import expanded

    info = orders.source(model, revision=revision)
    plan = numbers.plan(scheme, widths=orders.widths(info))
    output = expanded(output)
    orders.refuse_output(output, model=Path(info.folder), overwrite=overwrite)
    order = orders.prepare(
        model=info, calibration=calibration, evaluation=evaluation, plan=plan, output=output, samples=samples
    )
    if dry_run:
        typer.echo("\n".join(_lines(order)))
    else:
        _carry_out(order, device=device, overwrite=overwrite)


def _carry_out(order: Order, *, device: str, overwrite: bool) -> None:
    from harness.calibrate import compressor
    from harness.calibrate.order import carry_out
    from harness.cli.progress_bar import progress_bar

    compressor.require()
    typer.echo("\n".join(_lines(order)))
    with progress_bar("Calibrating") as on_step:
        record = carry_out(order, device=device, overwrite=overwrite, on_step=on_step)
    counts = ", ".join(f"{count:,} {name}" for name, count in record.scales.items())
    typer.echo(f"{order.output}: {counts}; {record.seconds:,.0f} s on {record.device}")


def _lines(order: Order) -> list[str]:
    rows, words = order.rows, order.plan.words()
    of = "" if rows.count == rows.file_count else f" of {rows.file_count:,}"
    compared = (
        f"no row shared with the {order.compared.rows:,} of {order.compared.file}"
        if order.compared
        else "not compared with an evaluation set (--evaluation); the pre-flight of every run compares with its own"
    )
    shown = {
        "model": order.model.path,
        **{name.replace("_", " "): text for name, text in words.items()},
        "data": f"{rows.count:,}{of} rows, {int(rows.lengths.sum()):,} tokens, sha256 {rows.sha256[:12]}…",
        "evaluation": compared,
    }
    return [f"{name:<12} {text}" for name, text in shown.items()]
