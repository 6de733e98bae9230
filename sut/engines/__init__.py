"""The engine registry. Lazy: a back end is imported only by the worker that uses it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from mlperf_llama_base.errors import EnvironmentFault, UserError, nearest

if TYPE_CHECKING:
    from sut.engines.base import Engine
    from sut.messages import EngineSettings

# name -> (module, class, packages it needs, the extra that installs them)
ENGINES: dict[str, tuple[str, str, tuple[str, ...], str | None]] = {
    "null": ("sut.engines.null", "NullEngine", (), None),
    "transformers": ("sut.engines.transformers", "TransformersEngine", ("torch", "transformers"), None),
    "vllm": ("sut.engines.vllm", "VllmEngine", ("vllm",), "vllm"),
    "openai": ("sut.engines.openai", "OpenAIEngine", ("aiohttp",), "openai"),
}


def check_installed(name: str) -> None:
    """Raise ``UserError`` for an unknown engine and ``EnvironmentFault`` for one whose packages are missing."""
    if name not in ENGINES:
        raise UserError(f"engine {name!r} is not known{nearest(name, ENGINES)} (engines: {', '.join(ENGINES)})")
    _, _, packages, extra = ENGINES[name]
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if missing:
        how = f"pip install 'mlperf-llama[{extra}]'" if extra else f"pip install {' '.join(missing)}"
        raise EnvironmentFault(f"engine {name!r} needs {', '.join(missing)}, not installed here: {how}")


def create(settings: EngineSettings) -> Engine:
    """Build (not load) the engine that ``settings.name`` names."""
    check_installed(settings.name)
    module, cls, _, _ = ENGINES[settings.name]
    engine: Engine = getattr(importlib.import_module(module), cls)(settings)
    return engine
