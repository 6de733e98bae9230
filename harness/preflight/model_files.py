"""A model folder as it lies on disk: what config.json says, and whether the weights are all there and whole.

Reads no tensor: the header of a safetensors file says which tensors it holds and how long it must be, so a download
that was cut short, a missing shard or a Git LFS pointer is found in milliseconds, for any size.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"
MERGED = "model.safetensors"
LFS_POINTER = b"version https://git-lfs"
SAMPLE = 2**16


@dataclass(kw_only=True)
class ModelFolder:
    """``problems``: each makes the model unusable. ``weight_bytes``: of all weight files.

    ``stale_index``: the index names shards that are not there, beside a ``model.safetensors`` (as merging them leaves
    it); an engine that looks for the one file first copes.

    ``fingerprint``: hex digest of config, headers, sizes and samples of the weights. Equal copies have equal ones; it
    is no proof of every byte.
    """

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    weight_bytes: int = 0
    shards: int = 0
    problems: list[str] = field(default_factory=list)
    stale_index: str = ""
    fingerprint: str | None = None

    @property
    def vocab_size(self) -> int | None:
        return self._integer("vocab_size")

    @property
    def max_position_embeddings(self) -> int | None:
        return self._integer("max_position_embeddings")

    @property
    def quantized(self) -> bool:
        """The weights on disk are quantised already."""
        return "quantization_config" in self.config

    def _integer(self, key: str) -> int | None:
        value = self.config.get(key)
        return value if isinstance(value, int) else None


def read_folder(path: Path) -> ModelFolder:
    """Look at the folder. Never raises for what is wrong in it: that is in ``problems``."""
    folder = ModelFolder(path=path)
    try:
        config = json.loads((path / "config.json").read_text())
        if not isinstance(config, dict):
            raise ValueError("not an object")
        folder.config = config
    except FileNotFoundError:
        folder.problems.append("config.json is missing")
    except (OSError, ValueError) as error:
        folder.problems.append(f"config.json cannot be read: {error}")
    digest = hashlib.sha256(json.dumps(folder.config, sort_keys=True).encode())
    index = path / INDEX
    files = sorted(path.glob("*.safetensors"))
    wanted: dict[str, str] = {}
    if index.is_file():
        wanted = _weight_map(index, folder)
        shards = [path / name for name in sorted(set(wanted.values()))]
        gone = [shard.name for shard in shards if not shard.is_file()]
        if gone and (path / MERGED).is_file():
            folder.stale_index = f"{INDEX} names {gone[0]}, which is not there, beside {MERGED}"
            wanted, shards = {}, [path / MERGED]
        files = shards or files
    held: dict[str, str] = {}
    for file in files:
        for tensor in _shard(file, folder, digest):
            held[tensor] = file.name
    lost = [name for name, shard in wanted.items() if (path / shard).is_file() and held.get(name) != shard]
    if lost and not folder.problems:
        folder.problems.append(f"{len(lost)} tensors of {INDEX} are not in their shards (first: {lost[0]})")
    if not files:
        _other_weights(folder)
    folder.shards = len(files)
    folder.fingerprint = digest.hexdigest() if files else None
    return folder


def _weight_map(index: Path, folder: ModelFolder) -> dict[str, str]:
    try:
        return {str(k): str(v) for k, v in json.loads(index.read_text())["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        folder.problems.append(f"{INDEX} cannot be read: {type(error).__name__}: {error}")
        return {}


def _shard(file: Path, folder: ModelFolder, digest: Any) -> list[str]:
    """Check one safetensors file; returns the names of its tensors."""
    if not file.is_file():
        folder.problems.append(f"{file.name} is missing (named in {INDEX})")
        return []
    size = file.stat().st_size
    with file.open("rb") as handle:
        start = handle.read(8)
        if LFS_POINTER.startswith(start) and start:
            folder.problems.append(f"{file.name} is a Git LFS pointer, not the weights: git lfs pull")
            return []
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            folder.problems.append(f"{file.name} is truncated or not a safetensors file ({size:,} bytes)")
            return []
        header = handle.read(length)
        try:
            tensors = {name: value for name, value in json.loads(header).items() if name != "__metadata__"}
            end = 8 + length + max((value["data_offsets"][1] for value in tensors.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError):
            folder.problems.append(f"{file.name} has a broken header")
            return []
        if end != size:
            folder.problems.append(f"{file.name} has {size:,} bytes, its header says {end:,}: copy it again")
        digest.update(header)
        digest.update(size.to_bytes(8, "little"))
        for place in (8 + length, (8 + length + size) // 2, max(8 + length, size - SAMPLE)):
            handle.seek(place)
            digest.update(handle.read(SAMPLE))
    folder.weight_bytes += size
    return list(tensors)


def _other_weights(folder: ModelFolder) -> None:
    others = [p for pattern in ("*.bin", "*.pt", "*.gguf") for p in folder.path.glob(pattern)]
    folder.weight_bytes = sum(p.stat().st_size for p in others)
    if not others:
        folder.problems.append("there are no weights (*.safetensors)")
