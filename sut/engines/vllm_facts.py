"""What a loaded vLLM says of itself, and why one did not load, in our words."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from mlperf_llama_base.errors import EnvironmentFault, HarnessError, UserError
from sut.engines.quantized import activation_scheme, weight_format
from sut.engines.vllm_args import INTERVAL, Plan
from sut.messages import EngineInfo, EngineSettings

MEMORY = re.compile(
    r"out of memory|OutOfMemory|Free memory on device|available memory for the cache blocks"
    r"|KV cache memory|can't allocate memory|Cannot allocate memory",
    re.IGNORECASE,
)
# Secrets, and names that vLLM makes up for each process.
PRIVATE = re.compile(r"KEY|TOKEN|SECRET|_IDENT$|_BUFFER_NAME$")
DEVICE = re.compile(
    r"infer device type|Device string must not be empty|No CUDA GPUs|no NVIDIA driver"
    r"|CUDA driver version|Found no NVIDIA|Invalid device id|invalid device ordinal",
    re.IGNORECASE,
)
MODEL = re.compile(
    r"SafetensorError|safetensors.*(corrupt|incomplete|invalid)|size mismatch"
    r"|Cannot find any model weights|not initialized from checkpoint",
    re.IGNORECASE,
)
KV_SCALES = "scales of the checkpoint where it holds any, else 1.0 (vLLM)"
# The messages of the processes above the one that failed name no reason.
EMPTY_CAUSE = re.compile(r"Engine core initialization failed|WorkerProc initialization failed")


def engine_facts(
    *, config: Any, settings: EngineSettings, plan: Plan, version: str, params: Any, workers: list[str]
) -> EngineInfo:
    """Build the engine's self-description from vLLM's final configuration and its workers' own words (JSON each)."""
    model, cache, scheduler = config.model_config, config.cache_config, config.scheduler_config
    observed: dict[str, Any] = json.loads(workers[0]) if workers else {}
    gemm = (config.additional_config or {}).get("fp8_gemm")
    if workers and gemm and not any("TorchScaledMM" in method for method in observed.get("layer_methods", [])):
        plan.warnings.append(
            f"engine.args.fp8_gemm={gemm} had no effect: no layer of this model multiplies FP8 "
            f"matrices that way in vLLM {version}"
        )
    compute = str(model.dtype).removeprefix("torch.")
    return EngineInfo(
        name="vllm",
        version=version,
        capacity=scheduler.max_num_seqs,
        eos_token_ids=sorted(params.all_stop_token_ids),
        vocab_size=model.get_vocab_size(),
        max_prompt_tokens=model.max_model_len - settings.max_new_tokens,
        prefix_caching=bool(cache.enable_prefix_caching),
        weight_dtype=weight_dtype(config),
        kv_cache_dtype=compute if str(cache.cache_dtype) == "auto" else str(cache.cache_dtype),
        facts=_facts(config, plan) | observed,
        not_submittable=plan.not_submittable,
    )


def _facts(config: Any, plan: Plan) -> dict[str, Any]:
    model, cache, scheduler = config.model_config, config.cache_config, config.scheduler_config
    compute = str(model.dtype).removeprefix("torch.")
    scheduler_class = scheduler.get_scheduler_cls()
    return {
        "dtype": compute,
        "quantization": quantization(config),
        "max_num_seqs": scheduler.max_num_seqs,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "max_model_len": model.max_model_len,
        "async_scheduling": bool(scheduler.async_scheduling),
        "scheduler": f"{scheduler_class.__module__}.{scheduler_class.__name__}",
        "num_gpu_blocks": cache.num_gpu_blocks,
        "block_size": cache.block_size,
        "kv_cache_tokens": (cache.num_gpu_blocks or 0) * (cache.block_size or 0),
        "tensor_parallel": config.parallel_config.tensor_parallel_size,
        "compilation_mode": str(getattr(config.compilation_config, "mode", "unknown")),
        "seed": model.seed,
        "arguments": {k: repr(v) for k, v in sorted(plan.vllm.items())},
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith("VLLM_") and not PRIVATE.search(k)},
        **({"kv_cache_scales": KV_SCALES} if "fp8" in str(cache.cache_dtype) else {}),
        "step_time_ms": plan.step_time_ms,
        "late_after_ms": plan.late_after_ms,
        INTERVAL: getattr(scheduler, INTERVAL, 1),
        "last_layer": plan.last_layer,
        "mixed_attention": plan.mixed_attention,
        "dropped_args": plan.dropped,
        "overridden_args": plan.overridden,
        "warnings": plan.warnings,
    }


def quantization(config: Any) -> dict[str, Any] | None:
    """Tell how the weights are quantised: method, whether the checkpoint holds them so, scales of the activations."""
    quant = getattr(config, "quant_config", None)
    if quant is None:
        return None
    stated = getattr(config.model_config.hf_config, "quantization_config", None)
    return {
        "method": config.model_config.quantization,
        "from_checkpoint": bool(stated),
        "activation_scheme": getattr(quant, "activation_scheme", None) or activation_scheme(stated),
    }


def weight_dtype(config: Any) -> str:
    """Return the number format of the weights of the linear layers, as a submission names it."""
    method = config.model_config.quantization
    if not method:
        return str(config.model_config.dtype).removeprefix("torch.")
    stated = getattr(config.model_config.hf_config, "quantization_config", None)
    if told := weight_format(stated):
        return told
    return "fp8" if "fp8" in method else str(method)


def explain(error: BaseException, *, version: str, log_start: int | None) -> HarnessError:
    """Turn an exception of vLLM's start into one line. ``log_start``: what :func:`log_position` gave before."""
    cause = one_line(error)
    if EMPTY_CAUSE.search(cause):
        cause = root_cause(log_start) or f"{cause} (the reason is in the worker's log)"
    if MEMORY.search(cause):
        return EnvironmentFault(
            f"vLLM {version} did not start for lack of memory: {cause}; free the device, or lower "
            "engine.args.gpu_memory_utilization, max_num_batched_tokens or max_num_seqs"
        )
    if DEVICE.search(cause):
        return EnvironmentFault(
            f"vLLM {version} found no usable device: {cause}; check the driver, "
            "CUDA_VISIBLE_DEVICES and that this is vLLM's build for the device"
        )
    if MODEL.search(cause):
        return UserError(f"vLLM {version} cannot load the model: {cause}; check the model folder")
    return EnvironmentFault(f"vLLM {version} did not start: {cause}")


def one_line(error: BaseException, limit: int = 400) -> str:
    """Return type and text of ``error`` without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:limit]


def log_position() -> int | None:
    """Return where standard error's file ends now; None if it is no file (then the core's words cannot be found)."""
    try:
        status = os.fstat(2)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def root_cause(log_start: int | None) -> str | None:
    """Find the last exception that vLLM's core process logged since ``log_start``."""
    if log_start is None:
        return None
    try:
        with Path("/proc/self/fd/2").open("rb") as log:
            log.seek(log_start)
            text = log.read(4_000_000).decode(errors="replace")
    except OSError:
        return None
    found = re.findall(r"(?:^|\] |\) )((?:[A-Za-z_.]*)(?:Error|Exception|Interrupt): .*)$", text, re.MULTILINE)
    causes = [line for line in found if not EMPTY_CAUSE.search(line)]
    return " ".join(causes[-1].split())[:400] if causes else None
