"""The engine registry: by name, from an installed package's entry point, or as ``package.module:Class``.

Lazy: a back end is imported only by the worker that uses it. Before that, its :class:`~sut.engines.facts.EngineFacts`
say what the harness must know.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlperf_llama_base.errors import EnvironmentFault, UserError, nearest
from sut.engines.facts import EngineFacts

if TYPE_CHECKING:
    from sut.engines.base import Engine
    from sut.messages import EngineSettings

# Where an engine's facts are: an ``EngineFacts``, or an ``Engine`` class that has them as ``facts``
ENGINES = {
    "null": "sut.engines.null:NullEngine",
    "transformers": "sut.engines.transformers_args:FACTS",
    "vllm": "sut.engines.vllm_entry:FACTS",
    "openai": "sut.engines.openai_args:FACTS",
}
GROUP = "mlperf_llama.engines"


def names() -> dict[str, str]:
    """Every engine that has a name here, and where its facts are. Our own names cannot be taken."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP)} | ENGINES


def find(name: str) -> EngineFacts:
    """The facts of an engine: one of :func:`names`, or ``package.module:Class``.

    Raises ``UserError`` if there is none, ``EnvironmentFault`` if its module needs a package that is not installed.
    """
    if name in ENGINES:
        return _load(ENGINES[name])
    known = names()
    if name not in known and ":" not in name:
        raise UserError(
            f"engine {name!r} is not known{nearest(name, known)} (engines: {', '.join(known)}, or package.module:Class)"
        )
    return _load(known.get(name, name))


def check_installed(name: str) -> None:
    """Raise ``UserError`` for an unknown engine and ``EnvironmentFault`` for one whose packages are missing."""
    find(name).check_installed(name)


def check(settings: EngineSettings) -> dict[str, str]:
    """Check the engine's name and arguments before anything is started; see :meth:`EngineFacts.check`."""
    return find(settings.name).check(settings)


def create(settings: EngineSettings) -> Engine:
    """Build (not load) the engine that ``settings.name`` names."""
    facts = find(settings.name)
    facts.check_installed(settings.name)
    engine: Engine = _attribute(facts.engine)(settings)
    return engine


def foreign_module(name: str) -> Path | None:
    """The file of the engine's module, if it is not one of ours."""
    module = find(name).engine.partition(":")[0]
    spec = None if name in ENGINES or module.startswith("sut.") else importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin else None


def raw_driver(name: str) -> Callable[..., tuple[float, int]] | None:
    """The function that drives the engine's library without our adapter (:attr:`EngineFacts.raw`), if it has one."""
    raw = find(name).raw
    return _attribute(raw) if raw else None


@cache
def _load(target: str) -> EngineFacts:
    found = _attribute(target)
    facts = found if isinstance(found, EngineFacts) else getattr(found, "facts", None)
    if not isinstance(facts, EngineFacts):
        raise UserError(f"engine {target!r} is neither a subclass of sut.engines.base.Engine nor an EngineFacts")
    return facts if facts.engine else dataclasses.replace(facts, engine=target)


def _attribute(target: str) -> Any:
    """The object that ``package.module:Name`` names."""
    module, _, attribute = target.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"engine {target!r}: there is no module {error.name!r}: install its package, or name its folder in "
                "PYTHONPATH"
            ) from error
        raise EnvironmentFault(f"engine {target!r} needs {error.name}, which is not installed here") from error
    except (ImportError, ValueError, TypeError) as error:
        raise EnvironmentFault(f"engine {target!r} cannot be imported: {' '.join(str(error).split())}") from error
    if not hasattr(found, attribute):
        raise UserError(f"engine {target!r}: module {module} has no {attribute!r}{nearest(attribute, dir(found))}")
    return getattr(found, attribute)
