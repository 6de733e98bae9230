"""A request in the form that vLLM's core takes: a template that vLLM itself has processed, with a prompt and limits."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from sut.messages import Request


class Templates:
    """``usual`` as the settings have it; ``endless`` ignores the end of sequence. Both share their stop tokens' ids, so
    that ``min_tokens`` knows what may not come yet."""

    def __init__(self, usual: Any, endless: Any) -> None:
        self._usual = usual
        self._endless = endless

    def new(self, request: Request, prompt: list[int], now: float) -> Any:
        """The request as an ``EngineCoreRequest`` that arrived at Unix time ``now``."""
        limits = request.limits
        template = self._endless if limits is not None and limits.ignore_eos else self._usual
        made = msgspec.structs.replace(template, request_id=str(request.id), prompt_token_ids=prompt, arrival_time=now)
        if limits is not None:
            made.sampling_params = copy.copy(template.sampling_params)
            made.sampling_params.max_tokens = limits.max_tokens
            made.sampling_params.min_tokens = limits.min_tokens
        return made
