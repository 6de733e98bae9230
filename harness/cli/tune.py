"""``mlperf-llama tune``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from harness.cli import options as o
from harness.config import Scenario
from mlperf_llama_base.errors import UserError

if TYPE_CHECKING:
    from harness.tune.state import Options


@dataclass(frozen=True, kw_only=True)
class SearchSetup:
    """How to search."""

    panel: ClassVar[str] = "Search"

    probe_seconds: Annotated[float, typer.Option(min=0.5, help="Seconds of a probe that are judged.")] = 20.0
    margin: Annotated[
        float, typer.Option(min=0, max=0.5, help="How far to stay below the knee, as a fraction of it.")
    ] = 0.01
    tolerance: Annotated[
        float,
        typer.Option(
            min=1e-4, max=0.5, help="Stop when the knee is known this well: standard error as a fraction of it."
        ),
    ] = 0.0075
    max_probes: Annotated[int, typer.Option(min=2, help="Largest number of probes.")] = 12
    confirm: Annotated[bool, typer.Option(help="Confirm the rate with a run of LoadGen.")] = True
    confirm_seconds: Annotated[
        float | None, typer.Option(min=1, help="Length of a shorter confirmation, for smoke tests; never submittable.")
    ] = None
    search: Annotated[
        list[str] | None, typer.Option("--search", help="Engine setting to search as well: name=v1,v2,...")
    ] = None
    budget_minutes: Annotated[float, typer.Option(min=0.1, help="Time for --search.")] = 60.0
    seed: Annotated[int, typer.Option(help="Seed of the probes' arrival times.")] = 0

    def options(self) -> Options:
        """The same for the tuner. Raises ``UserError`` for a ``--search`` that is none."""
        from harness.tune.state import Options

        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return Options(**given | {"search": parse_search(self.search or [])})


@o.with_groups
def tune(
    output: Annotated[Path, typer.Option("--output", help="Directory of the search; the same command continues it.")],
    setup: o.Setup,
    how: SearchSetup,
    scenario: o.ScenarioOption = Scenario.SERVER,
    benchmark: o.BenchmarkOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard an earlier search in the directory.")] = False,
    skip_preflight: Annotated[bool, typer.Option("--skip-preflight", help="Skip the pre-flight checks.")] = False,
) -> None:
    """Find the highest rate that LoadGen calls valid, confirm it, and write the lines for user.conf."""
    from harness import terminal
    from harness.tune.command import execute

    config = setup.config(
        output=output,
        scenario=scenario,
        benchmark=benchmark,
        overwrite=overwrite or None,
        skip_preflight=skip_preflight or None,
    )
    raise typer.Exit(execute(config, how.options(), console=terminal.console()))


def parse_search(texts: list[str]) -> dict[str, list[Any]]:
    """``["a=1,2", "b=x,y"]`` as names and YAML scalars. Raises ``UserError``."""
    import yaml

    space: dict[str, list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            parsed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            parsed = None
        if not name.strip() or not parsed or not all(isinstance(v, bool | int | float | str) for v in parsed):
            raise UserError(f"--search {text!r}: expected name=value,value,...")
        if len(set(parsed)) != len(parsed):
            raise UserError(f"--search {text!r}: a value is given twice")
        space[name.strip()] = parsed
    return space
