"""The options that several commands share, each declared once, and the way from them to a configuration.

A command takes a *group* of options, a dataclass, as one argument; ``with_groups`` shows typer the group's fields in
its place::

    @with_groups
    def scaling(output: OutputOption, setup: Setup) -> None:
        config = setup.config(output=output)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import typer
from typer.models import OptionInfo

import harness
from harness.config import Benchmark, Mode, RunConfig, Scenario, Tree, build, load_profile, merge, parse_set
from mlperf_llama_base.errors import UserError


@dataclass(frozen=True)
class Sets:
    """In an option's annotation: the configuration key that it sets."""

    path: str


PROFILES = ", ".join(sorted(path.stem for path in (Path(harness.__file__).parent / "profiles").glob("*.yaml")))
BENCHMARKS = " or ".join(f"{b.value} ({b.sample_count:,} samples)" for b in Benchmark)
ScenarioOption = Annotated[
    Scenario | None,
    typer.Option("--scenario", help="Scenario (default: offline).", case_sensitive=False),
    Sets("scenario"),
]
BenchmarkOption = Annotated[
    Benchmark | None,
    typer.Option("--benchmark", help=f"Rules of {BENCHMARKS}."),
    Sets("benchmark"),
]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What to run and on what: every command that starts an engine has these."""

    panel: ClassVar[str] = "Engine, model and data"

    profile: Annotated[
        str | None, typer.Option("--profile", help=f"Profile: {PROFILES}; or a YAML file (default: none).")
    ] = None
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", help="Engine: null, transformers (the default), vllm, openai, or package.module:Class."
        ),
        Sets("engine.name"),
    ] = None
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model folder or hub id (default: the demo model)."),
        Sets("model.path"),
    ] = None
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="Folder, hub id or Meta's tokenizer.model, if it is not with the model."),
        Sets("model.tokenizer"),
    ] = None
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Data set file (default: the demo articles)."), Sets("dataset.path")
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Worker processes (default: one per GPU)."),
        Sets("workers.count"),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="local (the default), auto, or a Ray cluster's address."),
        Sets("cluster.address"),
    ] = None
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any configuration key: key.path=value.")] = None

    def config(self, **over: Any) -> RunConfig:
        """Merge profile, options, ``over`` and ``--set``, the later over the earlier. Raises ``UserError``.

        ``over``: top-level keys of the configuration; None leaves a key alone.
        """
        flags = merge(self.flags(), {key: _plain(value) for key, value in over.items() if value is not None})
        sets = parse_set(self.settings or [])
        scenario = sets.get("scenario") or flags.get("scenario")
        profile = load_profile(self.profile, str(scenario) if scenario else None) if self.profile else {}
        return build(profile, flags, sets)

    def arguments(self) -> list[str]:
        """The options that were given, as they would be typed."""
        given: list[str] = []
        for name, hint in self._declared().items():
            declared = next(extra for extra in get_args(hint) if isinstance(extra, OptionInfo))
            option = str(declared.default)  # where typer keeps the first name of an annotated option
            value = getattr(self, name)
            if value is True:
                given.append(option)
            elif value is not None and value is not False:
                values = value if isinstance(value, list) else [value]
                given += [part for one in values for part in (option, str(one))]
        return given

    def flags(self) -> Tree:
        """The options that were given, as a tree of configuration keys."""
        tree: Tree = {}
        for name, hint in self._declared().items():
            value = getattr(self, name)
            path = next((extra.path for extra in get_args(hint) if isinstance(extra, Sets)), None)
            if value == "":
                raise UserError(f"--{name} is empty: give a value, or leave the option out")
            if path and value is not None:
                node: Any = _plain(value)
                for part in reversed(path.split(".")):
                    node = {part: node}
                tree = merge(tree, node)
        return tree

    def _declared(self) -> dict[str, Any]:
        """The annotation of each option; the class's own names, such as ``panel``, are none."""
        hints = get_type_hints(type(self), include_extras=True)
        return {f.name: hints[f.name] for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class RunSetup(Setup):
    """One test of LoadGen: the scenario, the mode and the rate as well."""

    panel: ClassVar[str] = "Test"

    scenario: ScenarioOption = None
    mode: Annotated[
        Mode | None, typer.Option("--mode", help="Mode (default: performance).", case_sensitive=False), Sets("mode")
    ] = None
    benchmark: BenchmarkOption = None
    target_qps: Annotated[
        float | None, typer.Option("--target-qps", help="LoadGen's target_qps."), Sets("loadgen.target_qps")
    ] = None
    target_latency_ms: Annotated[
        float | None,
        typer.Option("--target-latency-ms", help="SingleStream: expected mean latency of a sample."),
        Sets("loadgen.target_latency_ms"),
    ] = None
    user_conf: Annotated[
        Path | None, typer.Option("--user-conf", help="LoadGen user.conf."), Sets("loadgen.user_conf")
    ] = None


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Show the fields of a parameter that is an option group in its place, and collect them for the call."""
    shown: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        group = parameter.annotation
        if not (isinstance(group, type) and is_dataclass(group)):
            shown.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = group
        hints = get_type_hints(group, include_extras=True)
        for f in fields(group):
            _into_panel(hints[f.name], _panel_of(group, f.name))
        shown += [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
            for f in fields(group)
        ]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{f.name: values.pop(f.name) for f in fields(group)})
        command(**values)

    signature = inspect.Signature(shown)
    vars(call).update(__signature__=signature, __annotations__={p.name: p.annotation for p in shown})
    return call


def _panel_of(group: type, name: str) -> str | None:
    """The heading of the group that declares the option ``name``, in the help."""
    for base in reversed(group.__mro__):
        if name in inspect.get_annotations(base):
            return vars(base).get("panel")
    return None


def _into_panel(hint: Any, panel: str | None) -> None:
    for extra in get_args(hint):
        if isinstance(extra, OptionInfo) and extra.rich_help_panel is None:
            extra.rich_help_panel = panel


def sub_commands(help: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=help,
    )
