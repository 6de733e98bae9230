"""From what a client asks to samples for the hub: token ids, within the engine's limits."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.serve.asked import Asked
from harness.serve.problems import Problem
from harness.serve.templates import Templates
from sut.messages import EngineInfo, EngineSettings, Limits

AT_ONCE_CHARACTERS = 400  # a shorter text is encoded sooner than a thread is woken
MOST_PROMPTS = 1024
MOST_CHARACTERS = 1 << 20  # of one prompt, or ids: more than any context of the model's, and half a second to encode


class Prompts:
    """``context``: tokens of prompt and answer together; None: not known, the engine refuses what is too long."""

    def __init__(self, tokenizer: Any, templates: Templates, *, settings: EngineSettings, info: EngineInfo) -> None:
        self.templates = templates
        self.info = info
        self.context = None if info.max_prompt_tokens is None else info.max_prompt_tokens + settings.max_new_tokens
        self._settings = settings
        self._encode = encoder(tokenizer)
        self._threads = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="tokenise")

    async def ids(self, asked: Asked) -> list[bytes]:
        """The prompts as int32 LE ids. Raises ``Problem``."""
        param = "messages" if asked.chat else "prompt"
        if (count := len(asked.ids) + len(asked.texts)) > MOST_PROMPTS:
            raise Problem(f"{param}: {count:,} prompts, at most {MOST_PROMPTS:,} in one request", param=param)
        if asked.ids:
            for ids in asked.ids:
                self._check_length(len(ids), param)
            found = [self.pack(ids, param) for ids in asked.ids]
        elif asked.chat:
            text = self.templates.prompt(asked.messages, asked.template)
            found = [await self.encode(text, param, special_tokens=False)]
        else:
            found = [await self.encode(text, param, special_tokens=asked.special_tokens) for text in asked.texts]
        for prompt in found:
            self._check_length(len(prompt) >> 2, param)
        return found

    async def encode(self, text: str, param: str, *, special_tokens: bool) -> bytes:
        """The ids of a text as int32 LE; a long one in a thread, so that nobody's stream waits for it.

        Raises ``Problem`` for one that no context can hold, before any work is done for it.
        """
        if len(text) > MOST_CHARACTERS:
            raise Problem(
                f"{param}: {len(text):,} characters, and no more than {MOST_CHARACTERS:,} are read as one prompt",
                param=param,
                code="context_length_exceeded",
            )
        if len(text) <= AT_ONCE_CHARACTERS:
            return self._packed(text, special_tokens)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._packed, text, special_tokens)

    def _packed(self, text: str, special_tokens: bool) -> bytes:
        return packed(self._encode(text, special_tokens))

    def pack(self, ids: list[int], param: str) -> bytes:
        """Ids that a client gave, as int32 LE. Raises ``Problem`` for one that the model does not have."""
        vocabulary = self.info.vocab_size or 2**31
        if ids and not (min(ids) >= 0 and max(ids) < vocabulary):
            raise Problem(f"{param}: a token id outside the vocabulary of {vocabulary}", param=param)
        return packed(ids)

    def _check_length(self, length: int, param: str) -> None:
        if not length:
            raise Problem(f"{param}: the prompt is empty", param=param)
        context = MOST_CHARACTERS if self.context is None else self.context
        if length >= context:
            raise Problem(
                f"{param}: {length:,} tokens, and the context is {context:,}",
                param=param,
                code="context_length_exceeded",
            )

    def limits(self, asked: Asked, prompt: bytes) -> Limits:
        """What the engine is to keep to. Raises ``Problem`` naming the field that cannot be had."""
        settings, length = self._settings, len(prompt) >> 2
        room = None if self.context is None else self.context - length
        most = asked.max_tokens or min(settings.max_new_tokens, room or settings.max_new_tokens)
        if room is not None and most > room:
            raise Problem(
                f"max_tokens: {most:,}, and after a prompt of {length:,} tokens the context of {self.context:,} has "
                f"room for {room:,}",
                param="max_tokens",
                code="context_length_exceeded",
            )
        least = min(settings.min_new_tokens, most) if asked.min_tokens is None else asked.min_tokens
        if least > most:
            raise Problem(f"min_tokens: {least}, more than max_tokens ({most})", param="min_tokens")
        wanted = {
            "max_tokens": most != settings.max_new_tokens,
            "min_tokens": asked.min_tokens is not None and least != settings.min_new_tokens,
            "ignore_eos": asked.ignore_eos,
        }
        for name, differs in wanted.items():
            if differs and name not in self.info.honours:
                raise Problem(f"{name}: engine {self.info.name} cannot do it for one request", param=name)
        stream = asked.stream or bool(asked.stops)
        return Limits(most, least, asked.ignore_eos, stream and "stream" in self.info.honours)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def packed(ids: list[int]) -> bytes:
    """Ids as int32 LE."""
    return struct.pack(f"<{len(ids)}i", *ids)


def encoder(tokenizer: Any) -> Callable[[str, bool], list[int]]:
    """Text to ids as the tokenizer does it, from several threads at once."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return lambda text, special: list(backend.encode(text, add_special_tokens=special).ids)
    return lambda text, special: list(tokenizer.encode(text, add_special_tokens=special))
