"""From our settings to vLLM's arguments: what the rules force, what we prefer, what the installed release knows.

vLLM's arguments come and go between releases, so they are filtered against the installed ``EngineArgs``: what only
another release knows is dropped and reported, what none knows is refused.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError
from sut.engines import shapes, vllm_attention, vllm_models, vllm_release, vllm_step_log
from sut.messages import EngineSettings, RawArguments
from sut.steps import StepTimes

OLDEST, NEWEST = (0, 26), (0, 33)

# inference_rules.adoc: the longest prompt of the data set (2,540 tokens) and max_new_tokens (128).
MAX_MODEL_LEN = 2668

# Against the rules or meaningless here, whatever the user says.
FORCED: RawArguments = {
    "enable_prefix_caching": False,  # inference_rules.adoc: no reuse of prefixes or KV across queries
    "skip_tokenizer_init": True,
    "disable_log_stats": True,
    "worker_extension_cls": "sut.engines.vllm_probe.Probe",
}

# Async scheduling is left to vLLM: on by itself wherever its executor can, an error where it is asked for and cannot.
DEFAULTS: RawArguments = {"max_model_len": MAX_MODEL_LEN, "seed": 0}
GPU_DEFAULTS: RawArguments = {"max_num_seqs": 512, "max_num_batched_tokens": 8192}
CPU_DEFAULTS: RawArguments = {"max_num_seqs": 64}

# Who multiplies FP8 matrices: see vllm_gemm.py.
FP8_GEMM = ("vllm", "torch")

# Which rows the last layer computes: see vllm_last_layer.py.
LAST_LAYER = ("all", "needed")

# One attention call for a step's prompts and decoding sequences, or two: see vllm_attention.py.
MIXED_ATTENTION = ("together", "apart")

# vLLM captures CUDA graphs for steps of up to 512 tokens. Launching a larger step kernel by kernel takes its process 30
# to 40 ms (32 layers), more than an H100 needs for it until it has about 2,000 tokens. See docs/performance.md.
OWN_GRAPHS = 512
LARGEST_GRAPH = 4096
GRAPH_STEP = 64

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # greedy decoding samples nothing: spare the extra dependency
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would copy the worker's threads' locks
}
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1"}  # GiB; vLLM itself takes nearly half of the machine

# vLLM's own, for data parallelism; with one engine our scheduler goes by it: see vllm_steps.py.
INTERVAL = "prefill_schedule_interval"

# See split(); the rest is vLLM's.
OWN = (
    "env",
    "fp8_gemm",
    "ignore_eos",
    "last_layer",
    "late_after_ms",
    "mixed_attention",
    "multiprocessing",
    "step_log",
    "step_time_ms",
    "step_times",
)


@dataclasses.dataclass
class Plan:
    """``vllm``: arguments for ``EngineArgs``. ``dropped``: not known to this release. ``overridden``: not allowed."""

    vllm: RawArguments
    ignore_eos: bool = False
    step_log: bool = False
    step_time_ms: float | None = None
    step_times: StepTimes | None = None
    late_after_ms: float | None = None
    last_layer: str = "all"
    mixed_attention: str = "together"
    multiprocessing: bool | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    dropped: list[str] = dataclasses.field(default_factory=list)
    overridden: RawArguments = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    not_submittable: list[str] = dataclasses.field(default_factory=list)

    @property
    def own_scheduler(self) -> str | None:
        """The argument that asks for a scheduler of ours, if any."""
        asked = {
            "step_log": self.step_log,
            "step_time_ms": self.step_time_ms,
            "late_after_ms": self.late_after_ms,
            INTERVAL: self.vllm.get(INTERVAL, 1) != 1,
        }
        return next((name for name, value in asked.items() if value), None)

    def scheduling(self) -> dict[str, str | None]:
        """Environment variables of that scheduler."""
        known = msgspec.json.encode(self.step_times).decode() if self.step_times else None
        return {
            vllm_step_log.STEP_TIME: None if self.step_time_ms is None else str(self.step_time_ms),
            vllm_step_log.LATE_AFTER: None if self.late_after_ms is None else str(self.late_after_ms),
            vllm_step_log.KNOWN_TIMES: known,
        }


def split(settings: EngineSettings, *, look_at_model: bool = True) -> Plan:
    """Separate our own arguments (``ignore_eos``, ``multiprocessing``, ``env``, ``step_log``, ``step_time_ms``,
    ``step_times``, ``late_after_ms``, ``fp8_gemm``, ``last_layer``, ``mixed_attention``).

    ``look_at_model``: check its folder too. Needs no vLLM. Raises ``UserError`` for a wrong type or a model folder
    without a model.
    """
    args = dict(settings.args)
    environment = args.pop("env", None) or {}
    if not isinstance(environment, dict):
        raise UserError("engine.args.env must be a mapping of environment variables to values")
    plan = Plan({}, environment={str(k): str(v) for k, v in environment.items()})
    plan.ignore_eos = _flag(args, "ignore_eos") or False
    plan.step_log = _flag(args, "step_log") or False
    plan.step_time_ms = _positive(args, "step_time_ms")
    plan.late_after_ms = _positive(args, "late_after_ms")
    plan.step_times = _step_times(args)
    if plan.late_after_ms and args.get("scheduling_policy", "fcfs") != "fcfs":
        raise UserError("engine.args.late_after_ms orders vLLM's queue: leave engine.args.scheduling_policy out")
    plan.multiprocessing = _flag(args, "multiprocessing")
    gemm = _choice(args, "fp8_gemm", FP8_GEMM)
    if gemm != "vllm":
        args["additional_config"] = {**(args.get("additional_config") or {}), "fp8_gemm": gemm}
    plan.last_layer = _choice(args, "last_layer", LAST_LAYER)
    plan.mixed_attention = _choice(args, "mixed_attention", MIXED_ATTENTION)
    if shapes.is_shape(settings.model):
        args["load_format"] = "dummy"
    args["model"] = shapes.resolve(settings.model)
    if look_at_model:
        check_model(args["model"], dummy=args.get("load_format") == "dummy")
    if plan.last_layer == "needed":
        own = {"architectures": [vllm_models.LAST_LAYER]}
        args["hf_overrides"] = {**(args.get("hf_overrides") or {}), **own}
    _check_interval(args)
    plan.vllm = args
    if (name := plan.own_scheduler) and args.get("scheduler_cls"):
        raise UserError(f"engine.args.{name} takes the place of vLLM's scheduler: leave engine.args.scheduler_cls out")
    plan.not_submittable += _not_submittable(args, ignore_eos=plan.ignore_eos)
    return plan


def _not_submittable(args: RawArguments, *, ignore_eos: bool) -> Iterator[str]:
    if ignore_eos:
        yield "ignore_eos: answers continue past the end-of-sequence token"
    if args.get("load_format") == "dummy":
        yield "load_format dummy: random weights"
    if args.get("speculative_config"):
        yield "speculative_config: the rules allow no speculative decoding for this benchmark"
    if args.get("kv_transfer_config"):
        yield "kv_transfer_config: the KV cache must not be shared across queries"


def complete(plan: Plan, settings: EngineSettings, *, known: Iterable[str], cpu: bool) -> RawArguments:
    """Return the arguments for an ``EngineArgs`` with the fields ``known``; record in ``plan`` what was changed.

    Raises ``UserError`` for an argument that no release of vLLM knows.
    """
    known = set(known)
    args = {**DEFAULTS, **(CPU_DEFAULTS if cpu else GPU_DEFAULTS), **plan.vllm}
    forced = {**FORCED, "tensor_parallel_size": settings.tensor_parallel}
    for name, value in forced.items():
        if name in plan.vllm and plan.vllm[name] != value:
            plan.overridden[name] = plan.vllm[name]
        args[name] = value
    if not cpu and not args.get("enforce_eager") and not _sizes_chosen(args):
        args["cudagraph_capture_sizes"] = capture_sizes(
            sequences=args["max_num_seqs"], tokens=args["max_num_batched_tokens"]
        )
    stated = checkpoint_quantization(args["model"])
    if stated and args.get("quantization") not in (None, stated):
        given = args.pop("quantization")
        plan.warnings.append(f"quantization {given!r} was dropped: the checkpoint is already quantised ({stated})")
    unknown = set(args) - known
    dropped = vllm_release.other_releases(unknown & set(plan.vllm), {*known, *OWN})
    plan.dropped += dropped
    plan.warnings += dropped.values()
    return {name: value for name, value in args.items() if name not in unknown}


def set_environment(plan: Plan) -> None:
    """What vLLM reads from the environment: what the user says in the arguments, else what is there, else ours."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.update(plan.environment)
    os.environ[vllm_attention.VARIABLE] = plan.mixed_attention


def own_process(plan: Plan, *, cpu: bool) -> bool:
    """Decide whether vLLM's core gets a process of its own: our argument, else vLLM's variable, else by device."""
    choice = plan.multiprocessing
    if choice is None:
        choice = os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING", "0" if cpu else "1") == "1"
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = str(int(choice))
    return choice


def for_installed(plan: Plan, settings: EngineSettings, *, cpu: bool) -> RawArguments:
    """As :func:`complete`, for the vLLM that is installed."""
    from vllm.engine.arg_utils import EngineArgs

    return complete(plan, settings, known={field.name for field in dataclasses.fields(EngineArgs)}, cpu=cpu)


def capture_sizes(*, sequences: int, tokens: int) -> list[int]:
    """Return the sizes of CUDA graphs, in tokens of a step, for at most ``sequences`` and ``tokens`` a step.

    vLLM's own list up to the number of sequences, so that decoding is padded little; wider apart beyond.
    """
    fine = max(OWN_GRAPHS, sequences)
    own = [1, 2, 4, *range(8, 256, 8), *range(256, fine + 1, 16)]
    return [size for size in (*own, *range(fine + GRAPH_STEP, LARGEST_GRAPH + 1, GRAPH_STEP)) if size <= tokens]


def check_version(version: str) -> str | None:
    """Return a warning for a release that this engine was not written for."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if match and OLDEST <= (int(match[1]), int(match[2])) <= NEWEST:
        return None
    first, last = (".".join(map(str, v)) for v in (OLDEST, NEWEST))
    return f"vLLM {version} is outside the releases that this engine knows ({first} to {last})"


def check_model(model: str, *, dummy: bool) -> None:
    """Raise ``UserError`` for a folder that holds no model. A hub id is left to vLLM."""
    folder = Path(model)
    if not folder.exists():
        if model.startswith((".", "/", "~")) or model.count("/") != 1:
            raise UserError(f"model {model!r}: there is no such folder; give a folder or a hub id (ORG/NAME)")
        return
    if not (folder / "config.json").is_file():
        raise UserError(f"model folder {model}: no config.json; give the folder of a Hugging Face checkpoint")
    weights = ("*.safetensors", "*.bin", "*.pt")
    if not dummy and not any(path for pattern in weights for path in folder.glob(pattern)):
        raise UserError(
            f"model folder {model}: no weights (*.safetensors); to measure speed without them: "
            "--set engine.args.load_format=dummy"
        )


def checkpoint_quantization(model: str) -> str | None:
    """Return the quantisation that a checkpoint's folder states (such as ``compressed-tensors``), if any."""
    path = Path(model) / "config.json"
    if not path.is_file():
        return None
    try:
        stated = json.loads(path.read_text()).get("quantization_config") or {}
    except (ValueError, AttributeError) as error:
        raise UserError(f"model folder {model}: config.json is not a JSON mapping") from error
    return stated.get("quant_method") if isinstance(stated, dict) else None


def _flag(args: RawArguments, name: str) -> bool | None:
    value = args.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise UserError(f"engine.args.{name} must be true or false (got {value!r})")
    return value


def _choice(args: RawArguments, name: str, choices: tuple[str, ...]) -> str:
    """Take one of ``choices``; the first is the default."""
    if (value := args.pop(name, choices[0])) not in choices:
        raise UserError(f"engine.args.{name} must be one of {', '.join(choices)} (got {value!r})")
    return str(value)


def _positive(args: RawArguments, name: str) -> float | None:
    value = args.pop(name, None)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise UserError(f"engine.args.{name} must be a number above 0 (got {value!r})")
    return value


def _check_interval(args: RawArguments) -> None:
    value = args.get(INTERVAL, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"engine.args.{INTERVAL} must be a whole number of steps, 1 or more (got {value!r})")


def _step_times(args: RawArguments) -> StepTimes | None:
    value = args.pop("step_times", None)
    if value is None:
        return None
    try:
        known = typed.convert(value, StepTimes)
    except msgspec.ValidationError as error:
        raise UserError(f"engine.args.step_times: {error}; give a_ms, c_us and p_us (bench engine --steps)") from error
    if not known.sound:
        raise UserError(
            f"engine.args.step_times: no engine has a_ms {known.a_ms}, c_us {known.c_us}, p_us {known.p_us}"
        )
    return known


def _sizes_chosen(args: RawArguments) -> bool:
    compilation = args.get("compilation_config") or {}
    return any(
        args.get(name) or (isinstance(compilation, dict) and compilation.get(name))
        for name in ("max_cudagraph_capture_size", "cudagraph_capture_sizes")
    )
