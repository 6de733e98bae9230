"""What is not installed here, and the line that installs it: exit code 3, never an internal error.

The light installation (requirements-light.txt) lacks LoadGen, torch and transformers by design: it reports and checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from mlperf_llama_base.errors import EnvironmentFault

LOADGEN, TRANSFORMERS = "mlperf_loadgen", "transformers"
NEEDS = {  # commands that start a test of LoadGen
    ("quickstart",): (LOADGEN, TRANSFORMERS),
    ("run",): (LOADGEN,),
    ("benchmark",): (LOADGEN,),
    ("tune",): (LOADGEN,),
    ("scaling",): (LOADGEN,),
    ("bench", "engine"): (LOADGEN,),
    ("bench", "overhead"): (LOADGEN,),
}
EXTRA = {  # the name that is imported -> the extra that brings it; all else belongs to the base
    "aiohttp": "openai",
    "jinja2": "report",
    "llmcompressor": "calibrate",
    "mlflow": "mlflow",
    "optuna": "tune",
    "prometheus_client": "metrics",
    "ray": "ray",
    "tiktoken": "llama-tokenizer",
    "vllm": "vllm",
}
BASE = {
    "accelerate": "accelerate",
    "datasets": "datasets",
    "evaluate": "evaluate",
    "gguf": "gguf",
    LOADGEN: "mlcommons-loadgen",
    "nltk": "nltk",
    "pyarrow": "pyarrow",
    "pynvml": "nvidia-ml-py",
    "rouge_score": "rouge-score",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "torch": "torch",
    TRANSFORMERS: "transformers",
    "zmq": "pyzmq",
}


def check(argv: Sequence[str]) -> None:
    """Raise ``EnvironmentFault`` for a command that could not end well here. A question for its help is no call."""
    if {"-h", "--help", "--dry-run"} & set(argv):
        return
    for command, modules in NEEDS.items():
        if tuple(argv[: len(command)]) == command:
            for module in modules:
                if find_spec(module) is None and (lacking := fault(module, " ".join(command))):
                    raise lacking


def fault(module: str | None, command: str) -> EnvironmentFault | None:
    """The error that names what is missing; None for a module that is none of ours to install."""
    name = (module or "").partition(".")[0]
    if extra := EXTRA.get(name):
        return EnvironmentFault(
            f"{command} needs {name}, not installed here: pip install '.[{extra}]' in the project's folder"
        )
    if package := BASE.get(name):
        return EnvironmentFault(
            f"{command} needs {package}, not installed here: pip install . in the project's folder, which installs all "
            "that runs need (a light installation only reports and checks)"
        )
    return None
