"""vLLM as its own benchmarks drive it, with the arguments of our engine: what the harness is measured against."""

from __future__ import annotations

import time

from sut.engines import vllm_args, vllm_models
from sut.messages import EngineSettings


def generate(
    settings: EngineSettings, prompts: list[list[int]], *, warm_up: list[list[int]], batch: int | None
) -> tuple[float, int]:
    """Return seconds and generated tokens of ``LLM.generate`` on ``prompts``, after ``warm_up``.

    ``batch``: this many prompts at a time, one batch after the other; None: all at once.
    """
    from vllm import LLM, SamplingParams
    from vllm.platforms import current_platform

    plan = vllm_args.split(settings)
    vllm_args.set_environment(plan)
    vllm_models.register()
    cpu = current_platform.is_cpu()
    vllm_args.own_process(plan, cpu=cpu)
    llm = LLM(**vllm_args.for_installed(plan, settings, cpu=cpu))
    params = SamplingParams(
        temperature=0.0,
        max_tokens=settings.max_new_tokens,
        min_tokens=settings.min_new_tokens,
        ignore_eos=plan.ignore_eos,
        detokenize=False,
    )

    def ask(some: list[list[int]]) -> int:
        outputs = llm.generate([{"prompt_token_ids": p} for p in some], params, use_tqdm=False)
        return sum(len(o.outputs[0].token_ids) for o in outputs)

    ask(warm_up)
    began = time.perf_counter()
    size = batch or len(prompts)
    tokens = sum(ask(prompts[i : i + size]) for i in range(0, len(prompts), size))
    return time.perf_counter() - began, tokens
