"""One calibration from the checkpoint to the folder that appears when all of it is there."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__
from harness.calibrate import compressor, data
from harness.calibrate.scales import check_scales
from harness.calibrate.scheme import Plan
from harness.inventory.calibration import FILE, CalibrationData, CalibrationRecord, Compared, Recipe, SourceModel
from harness.inventory.model import ModelInfo, inspect_model
from mlperf_llama_base.errors import EnvironmentFault, UserError
from qsl.dataset import Dataset

KEPT = (  # of the source, byte for byte: tokenizer and how a text ends
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
RECIPE = "recipe.yaml"


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that was checked, ready to be carried out. ``marks``: what the rows of ``rows`` are known by."""

    model: ModelInfo
    rows: Dataset
    plan: Plan
    output: Path
    marks: list[str]
    compared: Compared | None


def source(path: str, *, revision: str | None = None) -> ModelInfo:
    """Describe the checkpoint. Raises ``UserError`` for one without weights, or that is quantised already."""
    model = inspect_model(path, revision=revision)
    if not model.has_weights:
        raise UserError(f"model {path}: there are no weights (*.safetensors) in it: download the complete model")
    if config_of(model).get("quantization_config"):
        raise UserError(f"model {path} is quantised already: give the checkpoint as published, in bfloat16")
    return model


def config_of(model: ModelInfo) -> dict[str, Any]:
    """The checkpoint's config.json."""
    config: dict[str, Any] = json.loads((Path(model.folder) / "config.json").read_text(encoding="utf-8"))
    return config


def widths(model: ModelInfo) -> list[int]:
    """Inputs of the layers of a Llama: of the attention, of what follows it, of the end of the MLP."""
    config = config_of(model)
    heads = config.get("num_attention_heads", 1)
    inner = heads * (config.get("head_dim") or config["hidden_size"] // heads)
    return [config["hidden_size"], inner, config["intermediate_size"]]


def prepare(
    *, model: ModelInfo, calibration: Path, evaluation: Path | None, plan: Plan, output: Path, samples: int | None
) -> Order:
    """Check everything that can be checked at once. Raises ``UserError``."""
    rows = data.load(calibration, limit=samples, vocab_size=model.vocab_size, max_tokens=model.max_positions)
    marks, compared = data.compare(rows, evaluation)
    return Order(model=model, rows=rows, plan=plan, output=output, marks=marks, compared=compared)


def carry_out(order: Order, *, device: str, overwrite: bool, on_step: compressor.OnStep) -> CalibrationRecord:
    """Write the calibrated model. Raises ``UserError``, ``EnvironmentFault`` or ``RunError``; then nothing is left."""
    refuse_output(order.output, model=Path(order.model.folder), overwrite=overwrite)
    begun = time.monotonic()
    with _new_folder(order.output) as folder:
        where = compressor.compress(
            order.model.folder if order.model.has_weights and Path(order.model.path).is_dir() else order.model.path,
            order.rows,
            plan=order.plan,
            revision=order.model.revision,
            output=folder,
            device=device,
            on_step=on_step,
        )
        for name in KEPT:
            if (found := Path(order.model.folder) / name).is_file():
                shutil.copyfile(found, folder / name)
        record = _record(order, folder, where=where, seconds=time.monotonic() - begun)
        (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    return record


def refuse_output(output: Path, *, model: Path, overwrite: bool) -> None:
    """Raises ``UserError`` for a folder that is there, unless it is a calibrated model that may be replaced."""
    if not output.exists():
        return
    if output.resolve() == model.resolve():
        raise UserError(f"--output {output} is the model itself: give another folder")
    if not (output / FILE).is_file():
        raise UserError(f"{output} already exists and is no calibrated model: give another name")
    if not overwrite:
        raise UserError(f"{output} already holds a calibrated model: give another name or --overwrite")


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A folder beside ``output`` that takes its place at the end of the block, or leaves nothing."""
    scratch = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        if output.exists():
            shutil.rmtree(output)
        scratch.replace(output)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _record(order: Order, folder: Path, *, where: str, seconds: float) -> CalibrationRecord:
    model, rows = order.model, order.rows
    text = folder / RECIPE
    words = order.plan.words()
    return CalibrationRecord(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        model=SourceModel(
            path=model.path, digest=model.digest, revision=model.revision, is_llama_3_1_8b=model.is_llama_3_1_8b
        ),
        data=CalibrationData(
            file=rows.path.name,
            sha256=rows.sha256,
            format=rows.format,
            label=rows.label,
            rows=rows.count,
            file_rows=rows.file_count,
            tokens=int(rows.lengths.sum()),
        ),
        recipe=Recipe(
            scheme=order.plan.scheme.value, text=text.read_text(encoding="utf-8") if text.is_file() else "", **words
        ),
        scales=check_scales(folder, order.plan),
        compared=order.compared,
        versions={"mlperf-llama": __version__} | compressor.versions(),
        device=where,
        seconds=round(seconds, 1),
        marks=order.marks,
    )
