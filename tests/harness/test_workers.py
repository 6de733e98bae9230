"""The engine is checked before anything is started, by every command, and its warnings are seen."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import config
from harness.config import RunConfig
from harness.run import with_defaults
from harness.rundir.result import Result
from harness.rundir.session import Engine
from harness.verdict.printed import print_result
from harness.workers import check_engine, plan_workers, wants_gpus
from mlperf_llama_base.errors import EnvironmentFault, UserError


def make(**engine: Any) -> RunConfig:
    return config.build({"engine": engine, "output": "/tmp/x"})


def test_what_every_command_fills_in_is_checked_first() -> None:
    with pytest.raises(UserError, match="did you mean 'max_num_seqs'"):
        with_defaults(make(name="null", args={"max_num_seq": 4}))


def test_packages_must_be_where_the_workers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "vllm" else real(name, *a))
    local = make(name="vllm")
    with pytest.raises(EnvironmentFault, match=r"mlperf-llama\[vllm\]"):
        check_engine(local)
    local.cluster.address = "auto"
    assert check_engine(local) == {}


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [("null", False), ("openai", False), ("transformers", True), ("vllm", True)],
)
def test_who_takes_gpus(engine: str, wanted: bool) -> None:
    assert wants_gpus(make(name=engine)) is wanted
    assert not wants_gpus(make(name=engine, device="cpu"))


def test_one_worker_a_server() -> None:
    servers = make(name="openai", args={"urls": ["http://a:1", "http://b:1", "http://c:1"]})
    assert len(plan_workers(servers, run_dir=Path("/tmp/x"), endpoint="")) == 3
    servers.workers.count = 2
    assert len(plan_workers(servers, run_dir=Path("/tmp/x"), endpoint="")) == 2


def test_a_run_shows_what_the_engine_warned_of() -> None:
    text = "engine.args.old is known to vLLM 0.26, not to the installed release, and has no effect"
    result = Result(
        valid=True,
        submittable=True,
        scenario="offline",
        mode="performance",
        benchmark="datacenter",
        model_name="m",
        engine=Engine(facts={"warnings": [text]}),
    )
    out = io.StringIO()
    print_result(result, Path("/tmp/x"), Console(file=out, width=200))
    assert f"warning of the engine: {text}" in out.getvalue()
