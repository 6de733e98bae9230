"""llm-compressor, kept quiet: its words go to a file, its steps to our bar, its failures into one line."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from harness.calibrate.scheme import Plan
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError
from qsl.dataset import Dataset

LOG = "calibration.log"
VERSIONS = ("llmcompressor", "compressed-tensors", "torch", "transformers")
PASSES = 2  # a layer sees every row to be measured, then again to hand on what the quantised layer gives
INSTALL = (
    "it has an environment of its own, since it needs an older transformers: python3 -m venv .venv-calibrate && "
    ".venv-calibrate/bin/pip install -c constraints-calibrate.txt '.[calibrate]', then .venv-calibrate/bin/mlperf-llama"
)

OnStep = Callable[[int, int | None], None]


def require() -> None:
    """Raises ``EnvironmentFault`` with the lines that install it if llm-compressor is not there."""
    if find_spec("llmcompressor") is None:
        raise EnvironmentFault(f"calibrate needs llm-compressor, which is not installed here; {INSTALL}")


def versions() -> dict[str, str]:
    """Versions of what shapes the result."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def compress(
    model: str, data: Dataset, *, plan: Plan, revision: str | None, output: Path, device: str, on_step: OnStep
) -> str:
    """Calibrate the model and save it in the folder ``output``. Returns where it was computed.

    Raises ``EnvironmentFault`` for missing memory or an unfit device, ``UserError`` for a model that cannot be loaded,
    ``RunError`` for what llm-compressor says instead of finishing.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with _said_to(output / LOG):
        from sut.engines.transformers_load import load_model, pick_device

        where = pick_device(device)
        # in main memory and the checkpoint's own format: llm-compressor takes a layer at a time to the device
        loaded = load_model(model, revision=revision, device=pick_device("cpu"), dtype="auto", attention="sdpa")
        try:
            _oneshot(loaded, data, plan, on_step)
            loaded.save_pretrained(output, save_compressed=True)
        except HarnessError:
            raise
        except Exception as error:
            raise _explained(error) from error
    return str(where)


def _oneshot(model: Any, data: Dataset, plan: Plan, on_step: OnStep) -> None:
    import torch
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from torch.utils.data import DataLoader

    kind = {"GPTQModifier": GPTQModifier, "QuantizationModifier": QuantizationModifier}[plan.modifier]
    prompts = [torch.from_numpy(data.tokens(i).astype(np.int64)) for i in range(data.count)]
    rows: Any = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in prompts]
    _count_steps(model, len(rows), on_step)
    oneshot(
        model=model,
        dataset=DataLoader(rows, batch_size=1),  # one row at a time: whole, and without padding
        processor=object(),  # it would be read from the folder, to make token ids, which ours are
        recipe=kind(**plan.arguments),
        tie_word_embeddings=not plan.quantize_last_layer,  # a quantised last layer can no longer be the embedding
    )


def _count_steps(model: Any, rows: int, on_step: OnStep) -> None:
    """A step: one row through one layer."""
    layers = model.model.layers
    total, done = len(layers) * rows * PASSES, 0

    def step(*_: Any) -> None:
        nonlocal done
        done = min(done + 1, total)
        on_step(done, total)

    for layer in layers:
        layer.register_forward_pre_hook(step)


@contextlib.contextmanager
def _said_to(path: Path) -> Iterator[None]:
    """What the libraries print goes to a file, their bars and warnings too.

    The file is not closed: loggers that were made meanwhile keep it until the process ends.
    """
    log = path.open("a", encoding="utf-8", buffering=1)
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _explained(error: Exception) -> HarnessError:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "memory" in line.lower():
        return EnvironmentFault(
            f"not enough memory to calibrate: {line}; free some, or take a larger device (--device cpu needs twice the "
            "size of the model in main memory)"
        )
    return RunError(f"llm-compressor did not finish: {type(error).__name__}: {line}")
