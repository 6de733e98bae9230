"""``mlperf-llama serve``."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from harness.cli import options as o
from harness.config import Scenario
from harness.serve.settings import USUAL_STREAMS, ServeSettings


@dataclass(frozen=True, kw_only=True)
class ServeSetup(o.Setup):
    """What serves, and how clients reach it."""

    panel: ClassVar[str] = "Endpoint"

    host: Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0: all.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: any that is free.")] = 8000
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable with the key that clients must send.")
    ] = None
    served_model_name: Annotated[
        str | None, typer.Option("--served-model-name", help="What clients call the model (default: its folder).")
    ] = None
    chat_template: Annotated[
        str,
        typer.Option(
            "--chat-template",
            help="For conversations: model (its tokenizer's), llama-3.1, plain (MLPerf's), auto: the first.",
        ),
    ] = "auto"
    max_streams: Annotated[
        int | None,
        typer.Option("--max-streams", min=1, help=f"Requests open at once (default: up to {USUAL_STREAMS})."),
    ] = None
    chunk_ms: Annotated[
        float, typer.Option("--chunk-ms", min=0, max=10_000, help="Least time between two chunks of a stream.")
    ] = 0.0
    drain_s: Annotated[
        float, typer.Option("--drain-s", min=0, help="Seconds that open requests have after SIGTERM.")
    ] = 60.0

    def endpoint(self) -> ServeSettings:
        return ServeSettings(
            host=self.host,
            port=self.port,
            api_key_env=self.api_key_env,
            max_streams=self.max_streams,
            chat_template=self.chat_template,
            name=self.served_model_name,
            drain_s=self.drain_s,
            chunk_ms=self.chunk_ms,
        )


@o.with_groups
def serve(
    setup: ServeSetup,
    output: Annotated[
        Path | None, typer.Option("--output", help="Directory for logs (default: a new one in runs/).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier one left there.")] = False,
) -> None:
    """Answer OpenAI's API with a run's workers. Without a profile, model and engine: the demo model, on any machine."""
    from harness import terminal
    from harness.serve.needs import check

    settings = setup.endpoint()
    check(settings)
    if not any((setup.profile, setup.model, setup.engine)):
        setup = replace(setup, profile="cpu-demo")
    output = output or Path("runs") / f"serve-{time.strftime('%Y%m%d-%H%M%S')}"
    config = setup.config(output=output, overwrite=overwrite or None, scenario=Scenario.SERVER)
    from harness.serve.server import serve as run

    raise typer.Exit(run(config, settings, terminal.console()))
