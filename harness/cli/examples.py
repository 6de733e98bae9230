"""An example of each command, shown at the end of its help; a test parses every one of them."""

from __future__ import annotations

import textwrap
from typing import Any

WIDTH = 76  # a longer example is broken as a shell takes it, rather than by a terminal of 80 columns

EXAMPLES: dict[str, tuple[str, ...]] = {
    "quickstart": ("quickstart runs/first",),
    "run": (
        "run --scenario server --target-qps 0.5",
        "run --scenario offline --profile h100-fp8 --model MODEL --dataset cnn_eval.json --target-qps 58",
    ),
    "preflight": ("preflight --profile h100-fp8 --model MODEL --dataset cnn_eval.json --smoke",),
    "serve": ("serve", "serve --profile h100-fp8 --model MODEL --host 0.0.0.0 --api-key-env KEY"),
    "benchmark cluster": (
        "benchmark cluster --samples 10 --output runs/first",
        "benchmark cluster --cluster auto --profile h100-fp8 --model MODEL --dataset cnn_eval.json "
        "--target-qps offline=1056 --target-qps server=912 --target-qps interactive=736 --output runs/cluster",
    ),
    "benchmark endpoints": (
        "benchmark endpoints --profile h100-fp8 --model MODEL --dataset cnn_eval.json --output runs/curve --dry-run",
    ),
    "benchmark datacenter": (
        "benchmark datacenter --profile h100-fp8 --model MODEL --dataset cnn_eval.json --user-conf-dir runs "
        "--output runs/campaign --dry-run",
    ),
    "benchmark edge": ("benchmark edge --target-qps singlestream=450 --target-qps offline=2 --output runs/edge",),
    "benchmark coordinated": ("benchmark coordinated --cluster auto --target-qps 60 --output runs/coordinated",),
    "tune": (
        "tune --scenario server --profile h100-fp8 --model MODEL --dataset cnn_eval.json --output runs/tune-server",
    ),
    "scaling": (
        "scaling --cluster auto --profile h100-fp8 --model MODEL --dataset cnn_eval.json --output runs/scaling",
    ),
    "judge": ("judge runs/offline",),
    "accuracy": ("accuracy runs/offline-accuracy --tokenizer MODEL",),
    "report": ("report runs/offline", "report runs/a runs/b --output both.html"),
    "compare": ("compare runs/a runs/b",),
    "summarize": ("summarize runs",),
    "runs": (
        "runs",
        "runs runs/sweep --scenario server --verdict valid --since 7d",
        "runs runs --csv",
        "runs runs --mlflow sqlite:///runs/mlflow.db",
    ),
    "watch": ("watch runs/offline",),
    "submission build": ("submission build runs/campaign --submitter ORG --system-id my_8xh100 --output tree",),
    "submission check": ("submission check tree --backup tree-accuracy-logs",),
    "data prepare": (
        "data prepare --output cnn_eval.json --tokenizer meta-llama/Llama-3.1-8B-Instruct",
        "data prepare --split train --ids calibration-list.txt --output calibration.json --tokenizer MODEL",
    ),
    "data inspect": ("data inspect cnn_eval.json",),
    "data synthesize": ("data synthesize --count 2000 --output w2000.parquet",),
    "calibrate": (
        "calibrate --model MODEL --scheme fp8 --calibration calibration.json --evaluation cnn_eval.json "
        "--output llama-fp8",
    ),
    "bench engine": ("bench engine --profile h100-fp8 --model shape:llama-3.1-8b --output runs/bench",),
    "bench overhead": ("bench overhead --output runs/overhead",),
    "bench serve": ("bench serve --streams 1024 --output runs/bench-serve",),
    "bench weights": ("bench weights --output models/random-fp8",),
    "bench links": ("bench links --links 8 --links 1024",),
    "bench card": (
        "bench card --output runs/card --list",
        "bench card --output runs/card --minutes 50",
    ),
    "bench simulate": ("bench simulate --nodes 1 --nodes 32",),
}


def epilog(path: str) -> str | None:
    """The examples of a command as the end of its help: paragraphs, so that each line stays one of its own."""
    examples = EXAMPLES.get(path)
    if examples is None:
        return None
    lines = [line for example in examples for line in _lines(f"mlperf-llama {example}")]
    return "\n\n".join(["Example:" if len(examples) == 1 else "Examples:", *lines])


def _lines(command: str) -> list[str]:
    *broken, last = textwrap.wrap(command, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [*(f"{line} \\" for line in broken), last]


def add(app: Any, name: str) -> None:
    """Give the commands of a typer app of several their examples."""
    for info in app.registered_commands:
        own = info.name or (info.callback.__name__.replace("_", "-") if info.callback else "")
        info.epilog = info.epilog or epilog(f"{name} {own}")
