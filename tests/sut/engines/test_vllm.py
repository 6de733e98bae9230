"""The vLLM engine with a real vLLM: the same tokens as transformers, in both places where the core can run."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here (scripts/test.sh uses an environment of its own)")

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut import engines
from sut.engines import contract, vllm_release
from sut.engines.base import Engine
from sut.messages import Completion, EngineInfo, EngineSettings, Event, Failure, FirstToken, Request
from tests.sut.engines import tiny_llama
from tests.sut.engines.tiny_llama import TinyLlama

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

ARGS = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16, "max_model_len": 256}
ROOT = Path(__file__).parents[3]


def settings(model: Path | str, *, max_new_tokens: int = tiny_llama.MAX_NEW_TOKENS, **args: Any) -> EngineSettings:
    return EngineSettings(name="vllm", model=str(model), max_new_tokens=max_new_tokens, args={**ARGS, **args})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return tiny_llama.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", params=[False, True], ids=["in-process", "own-process"])
def loaded(request: pytest.FixtureRequest, tiny: TinyLlama) -> Iterator[tuple[Engine, EngineInfo]]:
    own = bool(request.param)
    engine = engines.create(
        settings(tiny.folder, multiprocessing=own, enable_prefix_caching=True, override_attention_dtype=None)
    )
    try:
        info = engine.load()
        assert engine.concurrent is own
        engine.warm_up(tiny.prompts[:2])
        yield engine, info
    finally:
        engine.close()


def requests(prompts: list[Any], start: int = 0) -> list[Request]:
    return [Request(start + i, np.asarray(p, dtype="<i4").tobytes()) for i, p in enumerate(prompts)]


def drain(engine: Engine) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + 60
    while engine.outstanding:
        assert time.monotonic() < deadline
        events += engine.poll(1.0)
    return events


def ids(tokens: bytes) -> list[int]:
    return [int(i) for i in np.frombuffer(tokens, dtype="<i4")]


def test_tokens_are_those_of_transformers_and_end_with_eos(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, _ = loaded
    engine.submit(requests(tiny.prompts))
    events = drain(engine)
    answers = {e.id: ids(e.tokens) for e in events if isinstance(e, Completion)}
    assert [answers[i] for i in range(len(tiny.prompts))] == tiny.answers
    assert answers[0][-1] == tiny.eos and len(answers[0]) < tiny_llama.MAX_NEW_TOKENS
    assert any(len(answer) == tiny_llama.MAX_NEW_TOKENS for answer in answers.values())


def test_the_first_token_comes_once_before_the_rest(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, _ = loaded
    engine.submit(requests(tiny.prompts, 100))
    seen: dict[int, list[Event]] = {}
    for event in drain(engine):
        seen.setdefault(event.id, []).append(event)
    assert len(seen) == len(tiny.prompts)
    for first, last in seen.values():
        assert isinstance(first, FirstToken) and isinstance(last, Completion)
        assert first.tokens == last.tokens[:4]


def test_without_first_tokens_there_are_completions_alone(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, _ = loaded
    engine.settings.first_tokens = False
    try:
        engine.submit(requests(tiny.prompts, 200))
        events = drain(engine)
    finally:
        engine.settings.first_tokens = True
    assert {type(e) for e in events} == {Completion}
    assert sorted(e.id for e in events) == list(range(200, 200 + len(tiny.prompts)))


def test_more_requests_than_capacity(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, info = loaded
    prompts = tiny.prompts * 5
    engine.submit(requests(prompts, 300))
    assert engine.outstanding == len(prompts)
    assert engine.running == info.capacity == 16
    answers = {e.id - 300: ids(e.tokens) for e in drain(engine) if isinstance(e, Completion)}
    assert [answers[i] for i in range(len(prompts))] == tiny.answers * 5


def test_a_prompt_that_cannot_be_served_fails_alone(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, info = loaded
    assert info.max_prompt_tokens == 256 - tiny_llama.MAX_NEW_TOKENS
    bad = [[5] * (info.max_prompt_tokens + 1), [], [tiny_llama.VOCABULARY], [-1]]
    engine.submit(requests([*bad, tiny.prompts[0], [5] * info.max_prompt_tokens], 500))
    events = drain(engine)
    assert sorted(e.id for e in events if isinstance(e, Failure)) == [500, 501, 502, 503]
    assert sorted(e.id for e in events if isinstance(e, Completion)) == [504, 505]


def test_requests_that_come_during_generation(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    """From another thread where the engine allows it, from the same one where it does not."""
    engine, _ = loaded
    engine.submit(requests(tiny.prompts, 600))
    late = requests(tiny.prompts, 700)
    if engine.concurrent:

        def send() -> None:
            for request in late:
                engine.submit([request])
                time.sleep(0.005)

        sender = threading.Thread(target=send)
        sender.start()
    answers: dict[int, list[int]] = {}
    while len(answers) < 2 * len(tiny.prompts):
        if not engine.concurrent and late:
            engine.submit([late.pop(0)])
        answers |= {e.id: ids(e.tokens) for e in engine.poll(0.5) if isinstance(e, Completion)}
    assert [answers[700 + i] for i in range(len(tiny.prompts))] == tiny.answers


def test_poll_returns_at_its_timeout(loaded: tuple[Engine, EngineInfo]) -> None:
    engine, _ = loaded
    assert engine.poll(0.05) == []


def test_what_it_says_of_itself(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, info = loaded
    assert info.prefix_caching is False
    assert info.facts["overridden_args"] == {"enable_prefix_caching": True}
    assert info.facts["dropped_args"] == ["override_attention_dtype"]
    assert info.eos_token_ids == sorted([tiny.eos, 128_009])
    assert (info.vocab_size, info.weight_dtype, info.kv_cache_dtype) == (tiny_llama.VOCABULARY, "float32", "float32")
    assert info.facts["attention_backend"]
    assert info.facts["num_gpu_blocks"] > 0
    assert info.facts["own_process"] is engine.concurrent
    assert info.not_submittable == []
    told = engine.live_facts()
    assert (told["compilations_after_warm_up"], told["compiled_after_warm_up"]) == (0, {})


def test_how_long_its_launches_took(loaded: tuple[Engine, EngineInfo], tiny: TinyLlama) -> None:
    engine, _ = loaded
    engine.submit(requests(tiny.prompts, 900))
    drain(engine)
    deadline = time.monotonic() + 30  # a process of its own tells every second
    while len(launches := engine.live_facts()["launches"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert set(launches) == {"decode", "with prompts"}
    assert all(kind["count"] > 0 and kind["mean_ms"] > 0 for kind in launches.values())


def test_ignore_eos_with_dummy_weights_and_a_product_that_nobody_computes() -> None:
    engine = engines.create(
        settings(
            "shape:llama-3.1-8b",
            ignore_eos=True,
            max_new_tokens=8,
            fp8_gemm="torch",
            hf_overrides={
                "hidden_size": 64,
                "intermediate_size": 64,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "head_dim": 32,
            },
        )
    )
    try:
        info = engine.load()
        engine.submit(requests([[1, 2, 3]] * 4))
        lengths = [len(ids(e.tokens)) for e in drain(engine) if isinstance(e, Completion)]
    finally:
        engine.close()
    assert lengths == [8] * 4
    assert [reason.split(":")[0] for reason in info.not_submittable] == ["ignore_eos", "load_format dummy"]
    assert set(info.eos_token_ids) == {128_001, 128_008, 128_009}
    assert "fp8_gemm=torch had no effect" in "; ".join(info.facts["warnings"])


@pytest.mark.parametrize("own", [False, True], ids=["in-process", "own-process"])
def test_the_steps_are_counted_by_what_is_in_them(tiny: TinyLlama, own: bool) -> None:
    engine = engines.create(settings(tiny.folder, multiprocessing=own, step_log=True, ignore_eos=True))
    try:
        info = engine.load()
        engine.warm_up(tiny.prompts[:2])
        engine.submit(requests(tiny.prompts))
        answers = [len(ids(e.tokens)) for e in drain(engine) if isinstance(e, Completion)]
        deadline = time.monotonic() + 10
        while tokens(engine.live_facts()["steps"]) < sum(map(len, tiny.prompts)) + sum(answers) - len(answers):
            assert time.monotonic() < deadline
        steps = engine.live_facts()["steps"]
    finally:
        engine.close()
    assert info.facts["scheduler"].startswith("sut.engines.vllm_steps.")
    # the last token of an answer is computed by no further step
    assert tokens(steps) == sum(map(len, tiny.prompts)) + sum(answers) - len(answers)
    assert set(steps) >= {"decode"} and len(steps) > 1
    assert all(k["mean_ms"] > 0 and k["mean_requests"] <= len(tiny.prompts) for k in steps.values())
    assert steps["decode"]["mean_tokens"] == steps["decode"]["mean_requests"]


def tokens(steps: dict[str, Any]) -> int:
    return sum(round(k["count"] * k["mean_tokens"]) for k in steps.values())


def test_a_killed_core_is_noticed(tiny: TinyLlama) -> None:
    engine = engines.create(settings(tiny.folder, multiprocessing=True, max_new_tokens=200))
    others = set(psutil.Process().children(recursive=True))
    try:
        engine.load()
        engine.submit(requests([[7] * 20] * 4))
        ours = set(psutil.Process().children(recursive=True)) - others
        core = next(process for process in ours if "EngineCore" in process.name())
        core.kill()
        with pytest.raises(RunError, match="dead"):
            while True:
                engine.poll(1.0)
        engine.submit(requests([[7] * 20], 10))  # from a thread that cannot know yet: not its error
        with pytest.raises(RunError, match="dead"):
            engine.poll(1.0)
    finally:
        engine.close()


OWNER = """
import sys, time
import numpy as np
from sut import engines
from sut.engines import contract, vllm_release
from sut.messages import EngineSettings, Request
if __name__ == "__main__":
    engine = engines.create(EngineSettings(name="vllm", model=sys.argv[1], args={
        "dtype": "float32", "enforce_eager": True, "max_model_len": 256, "multiprocessing": True}))
    engine.load()
    print("loaded", flush=True)
    time.sleep(120)
"""


def test_the_core_does_not_outlive_its_owner(tiny: TinyLlama, tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, str(script), str(tiny.folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as owner,
    ):
        assert owner.stdout is not None
        assert any(line == "loaded\n" for line in owner.stdout), (tmp_path / "log").read_text()[-2000:]
        children = psutil.Process(owner.pid).children(recursive=True)
        engine_processes = [p for p in children if "VLLM" in p.name()]
        assert engine_processes
        owner.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(engine_processes, timeout=10)
        for process in alive:
            process.kill()
        assert alive == []


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_contract(
    check: Callable[[contract.Subject], None], loaded: tuple[Engine, EngineInfo], tiny: TinyLlama
) -> None:
    engine, info = loaded
    check(contract.Subject(engine.settings, engine, info, next_id=100_000))


def test_arguments_are_read_from_vllms_source_as_vllm_has_them() -> None:
    from vllm.engine.arg_utils import EngineArgs

    known = vllm_release.installed_arguments()
    assert known is not None and set(known) == {field.name for field in dataclasses.fields(EngineArgs)}
    assert (known["max_num_seqs"], known["gpu_memory_utilization"]) == ((int,), (float,))
    with pytest.raises(UserError, match="did you mean 'max_num_seqs'"):
        engines.check(settings("shape:llama-3.1-8b", max_num_seq=4))


def test_an_argument_that_vllm_rejects(tiny: TinyLlama) -> None:
    with pytest.raises(UserError, match="rejects the model or an engine argument"):
        engines.create(settings(tiny.folder, max_num_seqs=-3)).load()


def test_the_other_device() -> None:
    wrong = settings("shape:llama-3.1-8b")
    wrong.device = "cuda"
    with pytest.raises(EnvironmentFault, match=r"runs on cpu"):
        engines.create(wrong).load()


FAILING = """
import sys
from mlperf_llama_base.errors import HarnessError
from sut import engines
from sut.engines import contract, vllm_release
from sut.messages import EngineSettings
if __name__ == "__main__":
    try:
        engines.create(EngineSettings(name="vllm", model=sys.argv[1], args={
            "dtype": "float32", "enforce_eager": True, "multiprocessing": True,
            "env": {"VLLM_CPU_KVCACHE_SPACE": "100000"}})).load()
    except HarnessError as error:
        print(error.exit_code, error)
"""


def test_want_of_memory_in_the_core_is_told_in_one_line(tiny: TinyLlama, tmp_path: Path) -> None:
    """The core's own words are in the worker's log alone; vLLM's exception says only that it failed."""
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    with (tmp_path / "log").open("a") as log:
        done = subprocess.run(
            [sys.executable, str(script), str(tiny.folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
            timeout=120,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("3 ")]
    assert len(lines) == 1, done.stdout + (tmp_path / "log").read_text()[-3000:]
    assert "memory" in lines[0]
