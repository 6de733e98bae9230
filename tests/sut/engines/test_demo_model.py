"""The real demo model in the transformers engine: its tokens are those of ``generate``, alone or in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.demo import demo_model
from harness.inventory.model import inspect_model
from mlperf_llama_base.errors import EnvironmentFault
from sut.engines import create
from sut.messages import Completion, EngineSettings, Request

pytestmark = pytest.mark.timeout(300)

NEW = 20
QUESTIONS = ("What is the capital of France?", "Name three colours.", "Write one sentence about the sea, please.")


@pytest.fixture(scope="module")
def folder() -> str:
    try:
        return str(demo_model())
    except EnvironmentFault as error:
        pytest.skip(f"the demo model is not available here: {error}")


def test_the_demo_model_is_a_llama_but_not_the_benchmarks(folder: str) -> None:
    info = inspect_model(folder)
    assert (info.architecture, info.vocab_size, info.eos_token_ids) == ("LlamaForCausalLM", 49152, [2])
    assert info.has_tokenizer and info.has_weights
    assert not info.is_llama_3_1_8b


def test_tokens_are_those_of_generate(folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats = [[{"role": "user", "content": question}] for question in QUESTIONS]
    prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, return_dict=True)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    expected = {}
    for i, ids in enumerate(prompts):
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=NEW,
            do_sample=False,
        )
        expected[i] = out[0, len(ids) :].tolist()

    engine = create(EngineSettings(name="transformers", model=folder, max_new_tokens=NEW, device="cpu"))
    engine.load()
    engine.submit([Request(i, np.array(ids, dtype="<i4").tobytes()) for i, ids in enumerate(prompts)])
    answers = {}
    while engine.outstanding:
        for event in engine.poll(1.0):
            if isinstance(event, Completion):
                answers[event.id] = np.frombuffer(event.tokens, "<i4").tolist()
    assert answers == expected
    assert "Paris" in tokenizer.decode(answers[0])
