"""What can be known of a model without loading it: is it the benchmark's, which ids end a text, what identifies it.

Reads the small files of the folder (config, generation config, index, tokenizer files) and never a weight; no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.inventory import calibration
from mlperf_llama_base.errors import EnvironmentFault, UserError
from mlperf_llama_base.files import expanded
from sut.engines.eos import eos_ids

HUB_ID = "meta-llama/Llama-3.1-8B-Instruct"
HUB_REVISION = "be673f326cab4cd22ccfef76109faf68e41aa5f1"  # mlcommons/inference language/llama3.1-8b/README.md

# What makes a config that of Llama 3.1 8B (its config.json on the hub)
SHAPE: dict[str, str | int] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
ROPE_TYPE = "llama3"  # 3.0 has the same shape, and neither this rope scaling nor this context
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")
SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    calibration.FILE,
)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """``digest``: sha256 over the small files and the names and sizes of all files, cheap and not of the weights.

    ``reasons``: why it is not Llama 3.1 8B. ``revision``: the commit on the hub (of a calibrated model: its
    source's) where it is known. ``folder``: where the files are on this machine. ``max_positions``: prompt and
    generated tokens together, at most.
    """

    path: str
    folder: str
    is_llama_3_1_8b: bool
    reasons: list[str]
    architecture: str
    vocab_size: int | None
    eos_token_ids: list[int]
    max_positions: int | None
    has_tokenizer: bool
    has_weights: bool
    digest: str
    revision: str | None


def inspect_model(path: str | os.PathLike[str], *, revision: str | None = None) -> ModelInfo:
    """Describe the model in folder ``path`` or under that hub id (``ORG/NAME``).

    Of a hub model only the small files are downloaded, or taken from the local cache where the hub is out of reach.
    Raises ``UserError`` for a folder that is none or has no valid config.json, ``EnvironmentFault`` where the hub model
    cannot be fetched.
    """
    name = os.fspath(path)
    folder = expanded(name)
    sizes: dict[str, int]
    if folder.is_dir():
        commit = revision or _recorded_commit(folder)
        sizes = _sizes(folder)
    elif folder.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UserError(f"model {name}: not a folder of a Hugging Face model and not a hub id like {HUB_ID}")
    else:
        folder, commit, sizes = _from_hub(name, revision)
    config = _read_json(folder / "config.json", name, required=True)
    generation = _read_json(folder / "generation_config.json", name, required=False)
    text: dict[str, Any] = config.get("text_config") or config
    reasons = _differences(text)
    architectures = config.get("architectures") or []
    return ModelInfo(
        path=name,
        folder=str(folder),
        is_llama_3_1_8b=not reasons,
        reasons=reasons,
        architecture=architectures[0] if architectures else str(config.get("model_type", "unknown")),
        vocab_size=text.get("vocab_size"),
        eos_token_ids=eos_ids(generation.get("eos_token_id"), text.get("eos_token_id"), model=name),
        max_positions=text.get("max_position_embeddings"),
        has_tokenizer=any(file in sizes for file in TOKENIZER_FILES),
        has_weights=any(file.endswith((".safetensors", ".bin", ".gguf")) for file in sizes),
        digest=_digest(folder, sizes),
        revision=commit or _calibrated_revision(folder),
    )


def _calibrated_revision(folder: Path) -> str | None:
    """Of the checkpoint that was calibrated: its weights are the starting weights."""
    record = calibration.read_calibration(folder)
    return record.model.revision if record else None


def _differences(config: dict[str, Any]) -> list[str]:
    reasons = [
        f"{key} is {config.get(key)}, that of Llama 3.1 8B is {wanted}"
        for key, wanted in SHAPE.items()
        if config.get(key) != wanted
    ]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != ROPE_TYPE:
        reasons.append(f"rope_type is {kind}, that of Llama 3.1 8B is {ROPE_TYPE}")
    return reasons


def _read_json(path: Path, name: str, *, required: bool) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise UserError(f"model {name}: there is no {path.name} in it: give the folder of a Hugging Face model")
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"model {name}: {path.name} cannot be read ({error}): fetch the model again") from error
    if not isinstance(content, dict):
        raise UserError(f"model {name}: {path.name} is not a JSON object: fetch the model again")
    return content


def _digest(folder: Path, sizes: dict[str, int]) -> str:
    digest = hashlib.sha256()
    for file in SMALL_FILES:
        if (folder / file).is_file():
            digest.update(file.encode() + b"\0" + (folder / file).read_bytes() + b"\0")
    digest.update(json.dumps(sorted(sizes.items())).encode())
    return digest.hexdigest()


def _sizes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")}


def _recorded_commit(folder: Path) -> str | None:
    """From the hub's cache (``.../snapshots/COMMIT``), or the note that ``hf download --local-dir`` leaves."""
    name = folder.resolve().name
    if folder.resolve().parent.name != "snapshots":
        note = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
        name = next(iter(note.read_text().splitlines()), "") if note.is_file() else ""
    return name if len(name) == 40 else None


def _from_hub(name: str, revision: str | None) -> tuple[Path, str | None, dict[str, int]]:
    """Folder with the small files, commit, and the size of every file at the top of the repository."""
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError as error:
        raise EnvironmentFault(f"model {name}: a hub id needs huggingface_hub: pip install huggingface_hub") from error
    sizes: dict[str, int] = {}

    def ask() -> Path:
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
        sizes.update({s.rfilename: s.size or 0 for s in info.siblings or [] if "/" not in s.rfilename})
        return Path(snapshot_download(name, revision=info.sha, allow_patterns=list(SMALL_FILES)))

    def look() -> Path:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))

    folder = _first(ask, look, name)
    if not sizes:
        sizes = _sizes(folder)
    return folder, _recorded_commit(folder) or revision, sizes


def _first(ask: Callable[[], Path], look: Callable[[], Path], name: str) -> Path:
    """The hub's answer, or what is in its local cache where the hub is out of reach."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  (network, authorisation and hub errors of several libraries)
        cause = error
    try:
        return look()
    except Exception as missing:
        first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        if getattr(getattr(cause, "response", None), "status_code", None) in (401, 403, 404):
            raise EnvironmentFault(
                f"model {name}: the Hugging Face hub refuses it ({first}): check the name, accept "
                f"the model's licence on its page, and run 'hf auth login'"
            ) from missing
        raise EnvironmentFault(
            f"model {name}: the Hugging Face hub cannot be reached ({first}) and the model is not "
            f"in its local cache: connect to the network or give a folder"
        ) from missing
