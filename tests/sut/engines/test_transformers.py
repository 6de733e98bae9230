"""The transformers engine against transformers' own ``generate``, in float32 on a CPU, with a tiny random Llama."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from harness.inventory.model import inspect_model
from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut.engines import create
from sut.engines.transformers import TransformersEngine
from sut.messages import Completion, EngineSettings, Event, Failure, FirstToken, Request

pytestmark = pytest.mark.timeout(240)

VOCABULARY = 211
CONTEXT = 160
EOS = [3, 7]


def tiny_config(**changes: Any) -> LlamaConfig:
    return LlamaConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT,
            "bos_token_id": 1,
            "eos_token_id": EOS,
            "pad_token_id": 0,
            "initializer_range": 0.4,
        }
        | changes
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("tiny-llama")
    LlamaForCausalLM(tiny_config()).save_pretrained(path)
    return path


def make(
    folder: Path, *, new: int = 24, least: int = 1, first_tokens: bool = True, device: str = "cpu", **args: Any
) -> TransformersEngine:
    engine = create(
        EngineSettings(
            name="transformers",
            model=str(folder),
            max_new_tokens=new,
            min_new_tokens=least,
            first_tokens=first_tokens,
            device=device,
            args=args,
        )
    )
    assert isinstance(engine, TransformersEngine)
    return engine


def loaded(folder: Path, **kwargs: Any) -> TransformersEngine:
    engine = make(folder, **kwargs)
    engine.load()
    return engine


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(8, VOCABULARY, rng.integers(1, CONTEXT - 40)).tolist() for _ in range(count)]


def requests(*texts: list[int], start: int = 0) -> list[Request]:
    return [Request(start + i, np.array(ids, dtype="<i4").tobytes()) for i, ids in enumerate(texts)]


def drain(engine: TransformersEngine) -> list[Event]:
    events: list[Event] = []
    while engine.outstanding:
        events += engine.poll(1.0)
    return events


def outputs(events: list[Event]) -> dict[int, list[int]]:
    return {e.id: np.frombuffer(e.tokens, "<i4").tolist() for e in events if isinstance(e, Completion)}


def generated(folder: Path, ids: list[int], *, new: int = 24, least: int = 1) -> list[int]:
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=new,
        min_new_tokens=least,
        do_sample=False,
    )
    return out[0, len(ids) :].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_tokens_are_those_of_generate_in_whatever_batch(folder: Path, attention: str) -> None:
    texts = prompts(24)
    expected = {i: generated(folder, ids) for i, ids in enumerate(texts)}
    assert any(len(out) < 24 for out in expected.values()), "some must end with EOS, or rows never move"
    assert any(len(out) == 24 for out in expected.values())
    for batch in (1, 5, 24):
        engine = loaded(folder, max_batch=batch, attn_implementation=attention)
        engine.submit(requests(*texts))
        assert outputs(drain(engine)) == expected


def test_first_token_comes_alone_and_before_the_rest(folder: Path) -> None:
    engine = loaded(folder)
    engine.submit(requests([20, 21, 22]))
    first = engine.poll(1.0)
    assert [type(event) for event in first] == [FirstToken]
    rest = drain(engine)
    assert [type(event) for event in rest] == [Completion]
    assert isinstance(first[0], FirstToken) and len(first[0].tokens) == 4
    assert isinstance(rest[0], Completion) and rest[0].tokens.startswith(first[0].tokens)


def test_no_first_tokens_when_none_are_wanted(folder: Path) -> None:
    engine = loaded(folder, first_tokens=False)
    engine.submit(requests(*prompts(4)))
    assert {type(event) for event in drain(engine)} == {Completion}


def test_a_request_joins_while_others_run(folder: Path) -> None:
    texts = prompts(3, seed=2)
    engine = loaded(folder, max_batch=4)
    engine.submit(requests(*texts[:2]))
    events = [event for _ in range(5) for event in engine.poll(1.0)]
    assert engine.running == 2
    engine.submit(requests(texts[2], start=2))
    joined = engine.poll(1.0)
    assert [(type(e), e.id) for e in joined] == [(FirstToken, 2)]
    assert engine.running == 3
    assert outputs(events + joined + drain(engine)) == {i: generated(folder, ids) for i, ids in enumerate(texts)}


def test_capacity_bounds_what_runs(folder: Path) -> None:
    engine = loaded(folder, max_batch=2)
    engine.submit(requests(*prompts(5)))
    seen = []
    while engine.outstanding:
        engine.poll(1.0)
        seen.append(engine.running)
    assert max(seen) == 2


def with_eos_first(folder: Path, target: Path) -> list[int]:
    """A copy of the model whose EOS is the first token it would give to the returned prompt."""
    ids = prompts(1, seed=3)[0]
    first = generated(folder, ids)[0]
    model = LlamaForCausalLM.from_pretrained(folder)
    model.generation_config.eos_token_id = first
    model.save_pretrained(target)
    return ids


def test_eos_is_kept_and_cannot_come_before_the_minimum(folder: Path, tmp_path: Path) -> None:
    ids = with_eos_first(folder, tmp_path)
    for least in (0, 1, 6):
        engine = loaded(tmp_path, least=least)
        engine.submit(requests(ids))
        out = outputs(drain(engine))[0]
        assert out == generated(tmp_path, ids, least=least)
        assert not set(out[:least]) & set(engine.eos)
        if least == 0:
            assert out == engine.eos


def test_max_new_tokens(folder: Path) -> None:
    engine = loaded(folder, new=1)
    engine.submit(requests(*prompts(3)))
    events = drain(engine)
    assert [type(event) for event in events] == [FirstToken, Completion] * 3
    assert {len(out) for out in outputs(events).values()} == {1}


def test_what_the_engine_says_of_itself(folder: Path) -> None:
    info = make(folder, max_batch=3).load()
    assert (info.capacity, info.vocab_size, info.eos_token_ids) == (3, VOCABULARY, EOS)
    assert info.max_prompt_tokens == CONTEXT - 24
    assert (info.weight_dtype, info.kv_cache_dtype, info.prefix_caching) == ("float32", "float32", False)
    assert info.facts["device"] == "cpu" and info.facts["parameters"] > 0
    assert make(folder, dtype="bfloat16").load().weight_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([], "empty"),
        ([9] * (CONTEXT - 23), f"takes {CONTEXT - 24}"),
        ([9, VOCABULARY], "outside the vocabulary"),
        ([9, -1], "outside the vocabulary"),
    ],
)
def test_a_request_that_cannot_be_served_fails_alone(folder: Path, ids: list[int], reason: str) -> None:
    engine = loaded(folder)
    engine.submit(requests(ids, [30, 31]))
    events = drain(engine)
    failures = [event for event in events if isinstance(event, Failure)]
    assert [failure.id for failure in failures] == [0]
    assert reason in failures[0].reason
    assert list(outputs(events)) == [1]


def test_the_longest_prompt_that_fits(folder: Path) -> None:
    engine = loaded(folder)
    engine.submit(requests([9] * (CONTEXT - 24)))
    assert outputs(drain(engine))[0] == generated(folder, [9] * (CONTEXT - 24))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("kaputt"), "ValueError: kaputt"),
        (torch.OutOfMemoryError("none left"), "engine.args.max_batch"),
    ],
)
def test_a_broken_model_is_raised_and_stays_broken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    engine = loaded(folder)
    engine.submit(requests(*prompts(2)))
    engine.poll(1.0)

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(engine, "_forward", broken)
    for _ in range(2):
        with pytest.raises(RunError, match=says):
            engine.poll(1.0)


def test_warm_up_leaves_nothing_behind(folder: Path) -> None:
    engine = loaded(folder)
    engine.warm_up([np.array(ids, dtype=np.int32) for ids in [*prompts(3), [VOCABULARY]]])
    assert (engine.outstanding, engine.running, engine.poll(0.0)) == (0, 0, [])
    engine.submit(requests([20, 21]))
    assert outputs(drain(engine)) == {0: generated(folder, [20, 21])}


def test_close_twice(folder: Path) -> None:
    engine = loaded(folder)
    engine.submit(requests([9, 9]))
    engine.close()
    engine.close()
    assert engine.outstanding == 0
    with pytest.raises(RunError, match="closed"):
        engine.poll(0.0)


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        make(tmp_path).load()


def test_folder_without_weights(tmp_path: Path) -> None:
    tiny_config(architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no weights"):
        make(tmp_path).load()


def test_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder"):
        make(tmp_path / "nowhere").load()


def test_weights_with_a_layer_missing(folder: Path, tmp_path: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match="lack 9 tensors"):
        make(tmp_path).load()


def test_weights_cut_short(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cannot be (loaded|read)"):
        make(tmp_path).load()


def test_model_that_does_not_generate(tmp_path: Path) -> None:
    BertForMaskedLM(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=20)
    ).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="not a causal language model"):
        make(tmp_path).load()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_cuda_asked_for_and_absent(folder: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"engine\.device is cuda"):
        make(folder, device="cuda").load()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"max_bach": 4}, "did you mean 'max_batch'"),
        ({"max_batch": "many"}, r"engine\.args\.max_batch: input should be a valid integer"),
        ({"max_batch": 0}, "greater than or equal to 1"),
        ({"attn_implementation": "flash_attention_2"}, "'sdpa' or 'eager'"),
    ],
)
def test_wrong_arguments(folder: Path, args: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        make(folder, **args)


def test_wrong_number_format(folder: Path) -> None:
    with pytest.raises(UserError, match="float33"):
        make(folder, dtype="float33").load()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tokens_on_cuda_are_those_of_the_cpu(folder: Path) -> None:
    texts = prompts(12)
    engine = loaded(folder, device="cuda", dtype="float32")
    engine.submit(requests(*texts))
    assert outputs(drain(engine)) == {i: generated(folder, ids) for i, ids in enumerate(texts)}


def test_an_index_that_merging_left_behind_is_not_followed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "merged")
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (tmp_path / "merged" / "model.safetensors.index.json").write_text(json.dumps(index))
    engine = loaded(tmp_path / "merged")
    assert engine.facts.prefers_merged_weights
    engine.close()


@pytest.mark.parametrize("said", [None, []])
def test_a_generation_config_without_eos_leaves_it_to_the_config(
    folder: Path, tmp_path: Path, said: list[int] | None
) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
    expected = inspect_model(tmp_path / "model").eos_token_ids
    engine = make(tmp_path / "model")
    assert engine.load().eos_token_ids == expected != []
    engine.close()
