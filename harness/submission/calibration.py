"""documentation/calibration.md: how the numbers are represented, as reported by the engine that ran.

Rule: mlcommons/inference_policies inference_rules.adoc, Weight Definition and Quantization: the method must be
described publicly.
"""

from __future__ import annotations

from typing import Any

from harness.inventory.calibration import CalibrationRecord
from harness.rundir.session import Engine, Model
from harness.submission.measurements import UNTRANSFORMED, short_format, starting_weights
from harness.submission.runs import Run
from mlperf_llama_base.errors import UserError

TITLE = """\
# Number formats and calibration

What the engines reported of themselves when they had loaded the model, run by run; nothing here was written by hand
unless it says so. No weights were retrained, pruned or otherwise changed.
"""
UNTOLD = "not reported by the engine"
SHOWN = ("dtype", "quantization", "layer_methods", "attention_backend", "attention", "dropped_args", "overridden_args")


# Dead code elimination is among what inference_rules.adoc allows of an equivalent model.
LAST_LAYER = (
    "of the last layer, for the prompt tokens that yield no logits: all but K and V; nothing reads it (dead code "
    "elimination), the generated tokens are the same"
)


def section(title: str, runs: list[Run], *, notes: str = "") -> str:
    """One system's part, as Markdown. ``notes``: the submitter's own words on calibration data.

    Raises ``UserError`` if scales are static, so that calibration data were used, and no notes say which.
    """
    lines = [f"## {title}", ""]
    for engine, model, names in _distinct(runs):
        quantization = engine.facts.get("quantization")
        scheme = quantization.get("activation_scheme") if isinstance(quantization, dict) else None
        record = model.calibration if model else None
        if scheme == "static" and not (notes or record):
            raise UserError(
                f"{title}: the engine used static activation scales, so calibration data were used: say which with "
                "--calibration-notes FILE (only MLCommons' calibration set is allowed), or use a model made by "
                "'mlperf-llama calibrate', which keeps a record of it"
            )
        lines += [
            f"Runs: {', '.join(names)}. Engine: {engine.name} {engine.version}.",
            "",
            "| what | how |",
            "|---|---|",
            f"| starting weights | {starting_weights(model)} |",
            f"| weights | {_weights(engine, quantization)} |",
            f"| activations | {_activations(engine, quantization, scheme)} |",
            f"| KV cache | {_kv_cache(engine)} |",
            f"| calibration data | {_record_data(record) if record else _data(quantization, scheme)} |",
            *([f"| calibration: {key} | {_cell(value)} |" for key, value in _method(record)] if record else []),
            *([f"| not computed | {LAST_LAYER} |"] if engine.facts.get("last_layer") == "needed" else []),
            *(f"| engine: {key} | `{_cell(value)}` |" for key, value in _facts(engine)),
            "",
        ]
    return "\n".join(lines) + (f"{notes.strip()}\n\n" if notes else "")


def _distinct(runs: list[Run]) -> list[tuple[Engine, Model | None, list[str]]]:
    """(engine, model, names of the runs) once for each different pair of number formats."""
    groups: dict[str, tuple[Engine, Model | None, list[str]]] = {}
    for run in runs:
        engine = run.result.engine or Engine()
        key = repr([engine.version, engine.weight_dtype, engine.kv_cache_dtype, _facts(engine)])
        groups.setdefault(key, (engine, run.result.model, []))[2].append(run.name)
    return list(groups.values())


def _facts(engine: Engine) -> list[tuple[str, Any]]:
    return [(key, engine.facts[key]) for key in SHOWN if engine.facts.get(key) not in (None, [], {}, "")]


def _weights(engine: Engine, quantization: Any) -> str:
    name = str(engine.weight_dtype)
    if name in UNTRANSFORMED:
        return f"{short_format(name)}, as published, no transformation"
    if isinstance(quantization, dict):
        origin = "in the checkpoint" if quantization.get("from_checkpoint") else "by the engine while loading"
        return f"{short_format(name)}, quantised {origin} (method {quantization.get('method')})"
    return f"{short_format(name)}, quantised (method {quantization or UNTOLD})"


def _activations(engine: Engine, quantization: Any, scheme: Any) -> str:
    compute = short_format(str(engine.facts.get("dtype") or UNTOLD))
    if not quantization:
        return compute
    words = {"dynamic": "scales computed at run time (dynamic)", "static": "scales fixed beforehand (static)"}
    return f"{words.get(str(scheme), f'scheme {UNTOLD}')}; unquantised operations in {compute}"


def _kv_cache(engine: Engine) -> str:
    scales = engine.facts.get("kv_cache_scales")
    return short_format(str(engine.kv_cache_dtype)) + (f"; {scales}" if scales else "")


def _data(quantization: Any, scheme: Any) -> str:
    if not quantization or scheme == "dynamic":
        return "none was used"
    return "see the notes below" if scheme == "static" else UNTOLD


def _record_data(record: CalibrationRecord) -> str:
    data, compared = record.data, record.compared
    told = f"{data.rows:,} of {data.file_rows:,} rows" if data.rows != data.file_rows else f"{data.rows:,} rows"
    disjoint = (
        f"; none is among the {compared.rows:,} rows of the evaluation set {compared.file} (sha256 {compared.sha256})"
        if compared
        else ""
    )
    return f"{_cell(data.file)}: {told}, {data.tokens:,} tokens, sha256 {data.sha256}{disjoint}"


def _method(record: CalibrationRecord) -> list[tuple[str, str]]:
    """What the calibrated folder says of how it was made."""
    recipe = record.recipe
    return [
        ("scheme", f"{recipe.scheme}; {recipe.method}"),
        ("weights", recipe.weights),
        ("activations", recipe.activations),
        ("KV cache", recipe.kv_cache),
        ("last layer (lm_head)", recipe.last_layer),
        ("scales", ", ".join(f"{count} {kind}" for kind, count in record.scales.items())),
        ("made by", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("`", "'")


def document(parts: dict[str, str]) -> str:
    """The whole file from its sections, by title."""
    return TITLE + "\n" + "".join(parts[title] for title in sorted(parts))


def read_sections(text: str) -> dict[str, str]:
    """The sections of an earlier document by title, so that another system's stays."""
    parts = text.split("\n## ")[1:]
    return {part.splitlines()[0].strip(): f"## {part.rstrip()}\n\n" for part in parts}
