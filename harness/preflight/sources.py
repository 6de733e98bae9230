"""Where model, tokenizer and data set of a configuration are. Nothing is downloaded or prepared here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from harness.config import RunConfig
from harness.preflight.model_files import ModelFolder
from mlperf_llama_base.errors import UserError
from qsl.dataset import Dataset
from sut import engines
from sut.engines.facts import ModelUse


class Tokenizer(Protocol):
    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, special tokens included."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of ``ids`` without special tokens."""


class FastTokenizer:
    """``tokenizer.json`` through the tokenizers library: a tenth of the time that transformers takes to import."""

    def __init__(self, path: Path) -> None:
        import tokenizers

        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))

    @property
    def vocab_size(self) -> int:
        """Highest id plus one, added tokens included."""
        return 1 + max(int(i) for i in self._tokenizer.get_vocab(with_added_tokens=True).values())

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids))


def uses_model(config: RunConfig) -> bool:
    """The configuration has a model to look at; a server's is elsewhere, unless its folder is given too."""
    use = engines.find(config.engine.name).model
    return use is ModelUse.LOADED or (use is ModelUse.SERVED and config.model.path is not None)


def model_path(config: RunConfig) -> Path | None:
    """The model's folder: as given, ``shape:NAME``, the local copy of a hub id, or the demo model. None: not here."""
    if not uses_model(config):
        return None
    return locate(config.model.path, config.model.revision)


def locate(name: str | None, revision: str | None = None) -> Path | None:
    """The folder that ``name`` means on this machine (None: the demo model), or None if there is none."""
    from sut.engines import shapes

    if name is None:
        from harness import demo

        folder = demo.home() / "models" / demo.MODEL
        return folder if folder.is_dir() else None
    if shapes.is_shape(name):
        return Path(shapes.resolve(name))
    if Path(name).exists():
        return Path(name)
    return hub_copy(name, revision)


def hub_copy(name: str, revision: str | None) -> Path | None:
    """The snapshot of a hub id in the local cache, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def tokenizer_of(config: RunConfig, model: ModelFolder | None) -> FastTokenizer | None:
    """The tokenizer that belongs to the model: ``model.tokenizer`` if given, else the model folder's."""
    folder = locate(config.model.tokenizer) if config.model.tokenizer else model.path if model else None
    path = folder / "tokenizer.json" if folder else None
    return FastTokenizer(path) if path and path.is_file() else None


def with_model(config: RunConfig) -> RunConfig:
    """The configuration with the model's folder filled in, as a run does it."""
    filled = config.model_copy(deep=True)
    if filled.model.path is None and (path := model_path(config)):
        filled.model.path = str(path)
    return filled


def dataset_of(config: RunConfig) -> Dataset:
    """Load the data set. Raises ``UserError`` for one that is missing or broken."""
    path = config.dataset.path
    if path is None:
        from harness import demo

        found = sorted((demo.home() / "models").glob("demo-articles-*.json"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise UserError("the demo data set is not made yet: a run makes it, or give --dataset")
        path = str(found[-1])
    return Dataset.load(given_file(path), limit=config.dataset.limit)


def given_file(path: str) -> Path:
    """The data set's file. Raises ``UserError`` if there is none."""
    if Path(path).is_dir():
        inside = sorted(p.name for p in Path(path).iterdir() if p.suffix in (".json", ".parquet"))[:5]
        advice = f"give the file in it ({', '.join(inside)})" if inside else "'mlperf-llama data prepare' makes a file"
        raise UserError(f"data set {path} is a directory: {advice}")
    if not Path(path).is_file():
        raise UserError(f"data set {path} does not exist: 'mlperf-llama data prepare' makes it")
    return Path(path)
