"""What the harness must know of an engine before it is loaded: importable without the engine's own library.

A fact stands here once, so that nothing in the harness compares engines' names: planning, pre-flight, a cluster's
resources and the record of a model ask the facts. An engine of yours has them too (docs/engines.md).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mlperf_llama_base.errors import EnvironmentFault, UserError, nearest
from sut.messages import EngineSettings, RawArguments


class ModelUse(StrEnum):
    """NONE: the engine has no model, and what the configuration says of one is not read. SERVED: a server has it; a
    folder may be named so that it can be inspected. LOADED: the worker loads it; where none is named, the demo model.
    """

    NONE = "none"
    SERVED = "served"
    LOADED = "loaded"


class Arguments(BaseModel):
    """Base of an engine's ``engine.args``: pydantic fields with a default and a description. Others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """The facts of one engine. Subclass it where an answer depends on the arguments.

    ``engine``: ``package.module:Class``; the registry fills it in where the class itself was named. ``packages``: what
    must be installed for it (names to import). ``install``: what installs them, if not ``pip install`` of these names.
    ``uses_gpu``: a worker takes GPUs where there are any (and ``engine.device`` is not cpu). ``several_gpus``: it can
    spread over more than one (``workers.tensor_parallel``). ``prefers_merged_weights``: it reads ``model.safetensors``
    where there is one, whatever an index beside it says. ``not_submittable``: why no result of it counts, ever.
    ``raw``: ``package.module:function`` that drives the library without our adapter, for ``bench engine``; it takes
    ``(settings, prompts, *, warm_up, batch)`` and returns seconds and generated tokens.
    """

    engine: str = ""
    packages: tuple[str, ...] = ()
    install: str = ""
    model: ModelUse = ModelUse.LOADED
    uses_gpu: bool = True
    several_gpus: bool = False
    prefers_merged_weights: bool = False
    arguments: type[Arguments] = Arguments
    not_submittable: tuple[str, ...] = ()
    raw: str = ""

    def largest_answer_id(self, args: RawArguments) -> int | None:
        """The largest id that an answer holds whatever the model, of an engine without one; None if none is known."""
        return None

    def check_installed(self, name: str) -> None:
        """Raise ``EnvironmentFault`` if packages are missing here."""
        missing = [p for p in self.packages if importlib.util.find_spec(p) is None]
        if missing:
            how = self.install or f"pip install {' '.join(missing)}"
            raise EnvironmentFault(f"engine {name!r} needs {', '.join(missing)}, not installed here: {how}")

    def check(self, settings: EngineSettings) -> dict[str, str]:
        """Refuse wrong settings before anything is started. Reads no model and needs none of ``packages``.

        Returns arguments that will have no effect, each with the reason. Raises ``UserError`` naming the key.
        """
        if settings.tensor_parallel > 1 and self.uses_gpu and not self.several_gpus:
            raise UserError(
                f"engine {settings.name!r} uses one device per worker: set workers.tensor_parallel=1 or use vllm"
            )
        parse(self.arguments, settings)
        return {}

    def workers(self, args: RawArguments) -> int | None:
        """How many workers the arguments ask for; None: one per GPU, or one without a GPU."""
        return None

    def servers(self, settings: EngineSettings) -> list[str]:
        """URLs that the engine's requests go to, if it only forwards them."""
        return []

    def gpu_memory_share(self, args: RawArguments) -> float | None:
        """Share of a GPU's whole memory that must be free at the start, where the engine insists on one."""
        return None

    def random_weights(self, args: RawArguments) -> bool:
        """The arguments ask for a model without its weights (speed only)."""
        return False

    def forbidden(self, args: RawArguments) -> list[tuple[str, str]]:
        """Arguments that the benchmark's rules forbid: what is wrong, and what to do. They run, and do not count."""
        return []

    def unfit(self, *, gpus: int) -> tuple[str, str] | None:
        """Why the build installed here cannot run on a machine with this many GPUs, and what to do; None: it can."""
        return None


def parse(arguments: type[A], settings: EngineSettings) -> A:
    """``settings.args`` as ``arguments``. Raises ``UserError`` naming the key, what is expected, the nearest name."""
    try:
        return arguments.model_validate(settings.args)
    except ValidationError as error:
        known = list(arguments.model_fields)
        raise UserError("; ".join(_explain(e, known, settings.name) for e in error.errors())) from None


def unknown_argument(name: str, known: list[str], engine: str) -> str:
    """The one sentence about an argument that an engine does not have."""
    listed = f" (arguments: {', '.join(known)})" if 0 < len(known) <= 20 else ""
    hint = nearest(name, known) or (listed if known else " (it takes none)")
    return f"engine.args.{name} is not known to engine {engine!r}{hint}"


def _explain(error: Any, known: list[str], engine: str) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return unknown_argument(key, known, engine)
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    got = "" if not key else f" (got {error['input']!r})"
    return f"engine.args{'.' if key else ''}{key}: {message[0].lower()}{message[1:]}{got}"
