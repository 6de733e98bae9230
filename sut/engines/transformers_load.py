"""Loading a causal language model with transformers, with an error that says what is wrong and what to do.

transformers fills weights that a checkpoint lacks with random numbers and goes on with a warning; a benchmark of such a
model would be worthless, so it is an error here.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from mlperf_llama_base.errors import EnvironmentFault, UserError
from mlperf_llama_base.files import expanded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json")


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``. Raises if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"engine.device {name!r} is not a device: use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"engine.device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            why = "this torch is built without CUDA" if torch.version.cuda is None else "no usable CUDA device is found"
            raise EnvironmentFault(
                f"engine.device is {name}, but {why} (torch {torch.__version__}): use --set "
                f"engine.device=cpu, or install a CUDA build of torch and the NVIDIA driver"
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise EnvironmentFault(f"engine.device is {name}, but there are {torch.cuda.device_count()} CUDA devices")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype | str:
    """The number format to load in; ``"auto"`` means the checkpoint's own."""
    if name == "auto":
        return "auto" if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UserError(f"engine.args.dtype {name!r} is not known: use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def load_model(
    path: str, *, revision: str | None, device: torch.device, dtype: torch.dtype | str, attention: str
) -> Any:
    """Load the causal language model in folder (or hub id) ``path`` onto ``device``, ready for inference.

    Raises ``UserError`` for a folder that is none, or has no config, no weights, incomplete or broken weights, or not a
    causal language model; ``EnvironmentFault`` if the hub cannot be reached or memory does not suffice.
    """
    transformers_logging.disable_progress_bar()
    _check_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
        _check_causal(path, config)
        model, info = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, config=config, dtype=dtype, attn_implementation=attention, output_loading_info=True
        )
    except torch.OutOfMemoryError as error:
        raise _no_memory(path, device) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except MemoryError as error:
        raise _no_memory(path, device) from error
    except UserError:
        raise
    except Exception as error:
        if "memory" in str(error).lower():
            raise _no_memory(path, device) from error
        raise UserError(f"model {path}: cannot be loaded: {type(error).__name__}: {_first_line(error)}") from error
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"model {path}: the weight files lack {len(missing)} tensors of {type(model).__name__} "
            f"(first: {missing[0]}): download the complete model again"
        )
    try:
        model = model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise _no_memory(path, device) from error
    return model


def _check_folder(path: str) -> None:
    folder = expanded(path)
    if not folder.is_dir():
        if folder.exists() or path.startswith((".", "/", "~")) or path.count("/") != 1:
            raise UserError(f"model {path}: not a folder of a Hugging Face model and not a hub id like ORG/NAME")
        return
    if not (folder / "config.json").is_file():
        raise UserError(f"model {path}: there is no config.json in the folder: give the folder of a Hugging Face model")
    if not any(next(folder.glob(pattern), None) for pattern in WEIGHTS):
        raise UserError(
            f"model {path}: there are no weights (*.safetensors) in the folder: download the complete model"
        )


def _check_causal(path: str, config: Any) -> None:
    names = config.architectures or []
    if names and not any(name.endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")) for name in names):
        raise UserError(f"model {path}: {', '.join(names)} is not a causal language model and cannot generate text")
    if not hasattr(config.get_text_config(), "max_position_embeddings"):
        raise UserError(
            f"model {path}: {config.model_type} does not say how long a context it takes "
            f"(max_position_embeddings in config.json)"
        )


def _unreadable(path: str, error: OSError) -> Exception:
    if expanded(path).is_dir():
        return UserError(f"model {path}: cannot be read: {_first_line(error)}")
    return EnvironmentFault(
        f"model {path}: cannot be fetched from the Hugging Face hub ({_first_line(error)}): check the "
        f"name, the network and 'hf auth login', or give a folder"
    )


def _no_memory(path: str, device: torch.device) -> EnvironmentFault:
    return EnvironmentFault(
        f"model {path}: not enough memory on {device} to load it: free some, choose a smaller "
        f"engine.args.dtype (bfloat16), or take a larger device"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
