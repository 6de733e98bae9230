"""A campaign over the stand-in."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import config
from harness.campaign.plan import Step, make_plan
from harness.campaign.runner import Campaign
from harness.config import Benchmark, Mode, RunConfig, Scenario

STAND_IN = Path(__file__).with_name("stand_in.py")


def stand_in(config_file: Path, output: Path, overwrite: bool) -> list[str]:
    return [sys.executable, str(STAND_IN), str(config_file), str(output), str(overwrite)]


def score(step: Step, output: Path) -> list[str]:
    """Stands in for ``mlperf-llama accuracy``: notes the call, and makes the run's result valid."""
    program = (
        "import json, pathlib, sys; run = pathlib.Path(sys.argv[1]);"
        "result = json.loads((run / 'result.json').read_text());"
        "log = (run.parents[1] / 'starts.log').open('a'); log.write(f'score {run.parent.name} {sys.argv[2]}\\n');"
        "scores = dict.fromkeys(('rouge1', 'rouge2', 'rougeL', 'rougeLsum', 'gen_len', 'gen_num'), 38);"
        "(run / 'accuracy.json').write_text(json.dumps(scores | {'expected': 38}));"
        "(run / 'result.json').write_text(json.dumps(result | {'valid': True, 'accuracy': scores}))"
    )
    return [sys.executable, "-c", program, str(output), str(step.config.model.tokenizer)]


def steps_of(directory: Path, benchmark: Benchmark = Benchmark.DATACENTER, **changes: Any) -> list[Step]:
    """A plan on the null engine, with a data set and a user.conf for each scenario in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    data = directory / "data.json"
    if not data.exists():
        data.write_text("[]")

    def configure(scenario: Scenario, mode: Mode) -> RunConfig:
        conf = directory / f"{scenario}.conf"
        if not conf.exists():
            key = "target_latency" if scenario is Scenario.SINGLESTREAM else "target_qps"
            conf.write_text(f"*.{scenario.loadgen_name}.{key} = 100\n")
        tree = {"scenario": scenario, "mode": mode, "benchmark": benchmark, "engine": {"name": "null"}}
        tree |= {"dataset": {"path": str(data)}, "loadgen": {"user_conf": str(conf)}}
        return config.build(tree, changes)

    return make_plan(benchmark.scenarios, configure)


class Stage:
    """A campaign directory, its inputs, and what the stand-in did in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "campaign"
        self.inputs = directory / "inputs"
        self.output = io.StringIO()
        self.campaign: Campaign

    def run(self, *, keep_going: bool = False, **changes: Any) -> bool:
        self.campaign = Campaign(
            self.directory,
            steps_of(self.inputs, **changes),
            keep_going=keep_going,
            command=stand_in,
            score=score,
            console=Console(file=self.output, width=200),
        )
        return self.campaign.run()

    def behave(self, **behaviour: str) -> None:
        """``server_accuracy="invalid"`` and so on."""
        self.directory.mkdir(parents=True, exist_ok=True)
        named = {name.replace("_", "/"): what for name, what in behaviour.items()}
        (self.directory / "behaviour.json").write_text(json.dumps(named))

    def starts(self) -> list[str]:
        """The runs started since the last call."""
        log = self.directory / "starts.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return lines


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)
