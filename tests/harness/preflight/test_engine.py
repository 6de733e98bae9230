"""The engine's checks, and the smoke test against the null engine's faults."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest

from harness.preflight import engine
from harness.preflight.base import Context, Finding, Status
from sut.engines.contract import violations_of
from sut.engines.null import NullEngine
from sut.messages import EngineInfo, EngineSettings
from tests.harness.preflight.fakes import dataset_file, gpu, make, node


def test_an_installed_engine() -> None:
    finding = engine.EngineInstalled().run(make(engine__name="null"))
    assert (finding.status, finding.found) == (Status.PASS, "null imports")


@pytest.mark.parametrize(("name", "text"), [("nul", "did you mean 'null'?"), ("vllm", "mlperf-llama[vllm]")])
def test_an_engine_that_is_not_there(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "vllm" else real(n, *a))
    finding = engine.EngineInstalled().run(make(engine__name=name))
    assert finding.status is Status.FAIL
    assert text in finding.found


def test_an_engine_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = dataclasses.replace(NullEngine.facts, engine="sut.engines.no_such_module:Odd")
    monkeypatch.setattr("sut.engines.find", lambda name: facts)
    finding = engine.EngineInstalled().run(make(engine__name="odd"))
    assert (finding.status, "no_such_module" in finding.found) == (Status.FAIL, True)


def test_an_import_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IMPORT_TIMEOUT_S", 0.0)
    assert "takes over" in engine.EngineInstalled().run(make(engine__name="null")).found


def test_vllms_cuda_build_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sut.engines.check_installed", lambda name: None)
    monkeypatch.setattr("sut.engines.vllm_entry._installed", lambda name: False)
    assert "CUDA build" in engine.EngineInstalled().run(make(engine__name="vllm")).found


def test_a_server_that_answers_and_one_that_does_not() -> None:
    check = engine.EngineServer()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert check.run(make(engine__name="openai", engine__args={"urls": [url]})).status is Status.PASS
        assert check.run(make(engine__name="openai", engine__args={"urls": url})).status is Status.PASS
        assert check.run(make(engine__name="openai", engine__args={"url": url})).status is Status.PASS
    for args in ({"urls": [url]}, {"url": url}):
        finding = check.run(make(engine__name="openai", engine__args=args))
        assert (finding.status, "nobody answers" in finding.found) == (Status.FAIL, True)
    assert check.run(make()).status is Status.PASS


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"engine__name": "openai"}, "needs engine.args.url"),
        ({"engine__name": "openai", "engine__args": {"urls": ["nonsense"]}}, "give http://HOST:PORT"),
        ({"engine__name": "openai", "engine__args": {"urls": ["http://host:port"]}}, "give http://HOST:PORT"),
        ({"engine__name": "null", "engine__args": {"max_num_seq": 4}}, "did you mean 'max_num_seqs'?"),
        ({"engine__args": {"max_batch": "abc"}}, "engine.args.max_batch: input should be a valid integer"),
    ],
)
def test_arguments_that_the_engine_would_refuse(tree: dict[str, Any], text: str) -> None:
    finding = engine.EngineArguments().run(make(**tree))
    assert (finding.status, engine.EngineArguments.of_input) == (Status.FAIL, True)
    assert text in finding.found
    assert engine.EngineServer().run(make(**tree)).status is Status.PASS  # one finding is enough


def test_arguments_that_the_engine_takes() -> None:
    found = engine.EngineArguments().run(make(engine__name="openai", engine__args={"url": "http://localhost:1"})).found
    assert found == "1 given, all known"


@pytest.mark.parametrize(
    "tree",
    [
        {"engine__max_new_tokens": 64},
        {"engine__name": "vllm", "engine__args": {"enable_prefix_caching": True}},
        {"engine__name": "null"},
        {"engine__name": "vllm", "engine__args": {"speculative_config": {"model": "x"}}},
        {"engine__name": "vllm", "engine__args": {"load_format": "dummy"}},
    ],
)
def test_what_the_rules_forbid(tree: dict[str, Any]) -> None:
    finding = engine.EngineRules().run(make(**tree))
    assert (finding.status, finding.blocks_submission) == (Status.WARN, True)


def test_what_the_rules_allow() -> None:
    assert engine.EngineRules().run(make(node(gpu()), engine__args={"max_num_seqs": 512})).status is Status.PASS


def smoke(tmp_path: Path, fault: str = "", scenario: str = "server", **args: Any) -> tuple[Finding, Context]:
    data = dataset_file(tmp_path / "data.json", [("", [128000, 5, 6, 7 + i], "") for i in range(9)])
    context = make(
        engine__name="null",
        engine__args={"fault": fault, "output_tokens": 5, **args},
        scenario=scenario,
        dataset__path=str(data),
    )
    return engine.EngineSmoke().run(context), context


@pytest.mark.parametrize("scenario", ["offline", "server"])
def test_smoke(scenario: str, tmp_path: Path) -> None:
    finding, context = smoke(tmp_path, scenario=scenario)
    assert finding.status is Status.PASS, finding
    assert finding.found.startswith("4 samples answered, 5 to 5 tokens")
    assert context.facts["engine"]["name"] == "null"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("raise@2", "the engine raised"),
        ("oom@0", "out of memory"),
        ("fail@2", "failed:"),
        ("empty@2", "0 token(s)"),
        ("twice@2", "reported twice"),
        ("garbage@2", ""),
        ("exit@2", "process ended with"),
    ],
)
def test_smoke_finds_what_is_wrong(fault: str, text: str, tmp_path: Path) -> None:
    finding, _ = smoke(tmp_path, fault)
    assert finding.status is Status.FAIL
    assert text in finding.found


def test_smoke_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SMOKE_TIMEOUT_S", 3.0)
    assert "no answer" in smoke(tmp_path, "hang@1")[0].found


def test_smoke_names_a_wrong_argument(tmp_path: Path) -> None:
    assert "did you mean" in smoke(tmp_path, output_token=3)[0].found


SETTINGS = EngineSettings(name="x", model="", max_new_tokens=4)
INFO = EngineInfo(name="x", version="1", capacity=1, eos_token_ids=[9])


@pytest.mark.parametrize(
    ("first", "ids", "text"),
    [
        ([1], [1, 2, 9], None),
        ([1], [1, 2, 3, 4], None),
        ([9], [9], "LoadGen needs two"),
        ([1], [1, 2, 3, 4, 9], "more than 4"),
        ([2], [1, 2, 9], "not the head"),
        (None, [1, 2, 9], "not the head"),
        ([1], [1, 9, 9], "goes on after"),
        ([1], [1, 2], "without end-of-text"),
        ([1], [1, 77, 9], "outside the vocabulary"),
    ],
)
def test_judging_an_answer(first: list[int] | None, ids: list[int], text: str | None) -> None:
    wrong = violations_of(SETTINGS, INFO, 0, first, ids, 50)
    assert (wrong == []) if text is None else any(text in line for line in wrong)
