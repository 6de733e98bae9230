"""The default engine: Hugging Face transformers, on a CPU or a CUDA device, continuously batched, greedy.

transformers has a continuous batching of its own (``ContinuousBatchingManager``). It is not used: it drops
``min_new_tokens`` (``MinNewTokensLengthLogitsProcessor`` is marked as not supported there), so that a first token could
be EOS, which LoadGen cannot measure; and on a CPU its attention runs every query of the batch against the keys of all
requests, which made it half as fast as ``generate``. Here a step is one forward of the model: either the whole prompt
of one waiting request (never padded, so that its first token does not depend on what else runs) or one token of every
running request.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers

from mlperf_llama_base.errors import RunError
from sut.engines.base import Engine, IntArray
from sut.engines.eos import eos_ids
from sut.engines.facts import parse
from sut.engines.kv_slots import SlotCache
from sut.engines.quantized import activation_scheme, weight_format
from sut.engines.transformers_args import FACTS, TransformersArguments
from sut.engines.transformers_load import load_model, pick_device, pick_dtype
from sut.messages import HONOURS, Completion, EngineInfo, EngineSettings, Event, Failure, FirstToken, Request, Tokens

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    id: int
    prompt_length: int
    most: int
    least: int
    ignore_eos: bool = False
    stream: bool = False
    tokens: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """Where the last token goes in the cache."""
        return self.prompt_length + len(self.tokens) - 1


class TransformersEngine(Engine):
    """See the module. ``submit`` and ``poll`` are for one thread; ``poll`` runs one step and never waits."""

    facts = FACTS

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.arguments = parse(TransformersArguments, settings)
        self._waiting: deque[tuple[Request, IntArray]] = deque()
        self._running: list[_Running] = []
        self._events: list[Event] = []
        self._outstanding = 0
        self._broken: str | None = None

    def load(self) -> EngineInfo:
        """See ``Engine.load``. Any decoder-only model with ordinary attention loads, not only a Llama."""
        self.facts.check(self.settings)
        if self.arguments.threads is not None:
            torch.set_num_threads(self.arguments.threads)
        self.device = pick_device(self.settings.device)
        dtype = pick_dtype(self.arguments.dtype, self.device)
        self.model: Any = load_model(
            self.settings.model,
            revision=self.arguments.revision,
            device=self.device,
            dtype=dtype,
            attention=self.arguments.attn_implementation,
        )
        config = self.model.config.get_text_config()
        # transformers renamed the argument; both names are in use in the versions that we support
        parameters = inspect.signature(self.model.forward).parameters
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        on_cuda = self.device.type == "cuda"
        self.capacity = self.arguments.max_batch or (64 if on_cuda else 16)
        generation = getattr(self.model.generation_config, "eos_token_id", None)
        self.eos = eos_ids(generation, getattr(config, "eos_token_id", None), model=self.settings.model)
        self.vocab_size = int(config.vocab_size)
        self.max_prompt = int(config.max_position_embeddings) - self.settings.max_new_tokens
        self._cache = SlotCache(self.capacity)
        self._eos_index = torch.tensor(self.eos, dtype=torch.long, device=self.device)
        return self._describe(on_cuda)

    def _describe(self, on_cuda: bool) -> EngineInfo:
        number_format = str(self.model.dtype).removeprefix("torch.")
        stated = _quantization_of(self.model.config)
        facts: dict[str, Any] = {
            "device": torch.cuda.get_device_name(self.device) if on_cuda else "cpu",
            "dtype": number_format,
            "attention": self.arguments.attn_implementation,
            "architecture": type(self.model).__name__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "max_batch": self.capacity,
            "torch": str(torch.__version__),  # a str of its own kind, which msgspec refuses
            "kv_sharing": "none: every request has rows of its own",
        }
        if stated:
            facts["quantization"] = {
                "method": stated.get("quant_method"),
                "from_checkpoint": True,
                "activation_scheme": activation_scheme(stated),
            }
        if not on_cuda:
            facts["threads"] = torch.get_num_threads()
        return EngineInfo(
            name="transformers",
            version=transformers.__version__,
            capacity=self.capacity,
            eos_token_ids=self.eos,
            vocab_size=self.vocab_size,
            max_prompt_tokens=self.max_prompt,
            prefix_caching=False,
            weight_dtype=weight_format(stated) or number_format,
            kv_cache_dtype=number_format,
            facts=facts,
            honours=list(HONOURS),
        )

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue ``requests``; one that the model cannot take gets its ``Failure`` at the next ``poll``."""
        self._outstanding += len(requests)
        for request in requests:
            ids = np.frombuffer(request.tokens, dtype="<i4")
            if reason := self._refusal(ids, self._most(request)):
                self._events.append(Failure(request.id, reason))
            else:
                self._waiting.append((request, ids))

    def _most(self, request: Request) -> int:
        return self.settings.max_new_tokens if request.limits is None else request.limits.max_tokens

    def _refusal(self, ids: IntArray, most: int) -> str | None:
        if not len(ids):
            return "the prompt is empty"
        room = self.max_prompt + self.settings.max_new_tokens - most
        if len(ids) > room:
            return f"the prompt has {len(ids)} tokens; the model takes {room} (its context less {most} new tokens)"
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            return f"the prompt has a token id outside the vocabulary of {self.vocab_size}"
        return None

    def cancel(self, ids: Sequence[int]) -> None:
        """End those that wait and those that run; the rows that they leave are closed as at any end."""
        gone = set(ids)
        waiting = [request.id for request, _ in self._waiting if request.id in gone]
        self._waiting = deque(pair for pair in self._waiting if pair[0].id not in gone)
        rows = [row for row, request in enumerate(self._running) if request.id in gone]
        self._events += [Failure(i, "cancelled") for i in [*waiting, *(self._running[row].id for row in rows)]]
        self._leave(rows)

    def poll(self, timeout_s: float) -> list[Event]:
        """Run one step and return its events. Raises ``RunError`` when the model fails, and at every later call."""
        if self._broken is not None:
            raise RunError(self._broken)
        try:
            with torch.inference_mode():
                if self._waiting and len(self._running) < self.capacity:
                    self._prefill(*self._waiting.popleft())
                elif self._running:
                    self._decode()
        except torch.OutOfMemoryError as error:
            self._broken = (
                f"out of memory on {self.device} with {len(self._running)} requests running: lower "
                f"engine.args.max_batch (now {self.capacity})"
            )
            raise RunError(self._broken) from error
        except Exception as error:
            self._broken = f"the model failed in a forward pass: {type(error).__name__}: {error}"
            raise RunError(self._broken) from error
        events, self._events = self._events, []
        self._outstanding -= sum(type(event) in (Completion, Failure) for event in events)
        return events

    def _prefill(self, asked: Request, ids: IntArray) -> None:
        cache = transformers.DynamicCache()
        tokens = torch.from_numpy(ids.astype(np.int64)).to(self.device)[None]
        logits = self._forward(tokens, cache, logits_to_keep=1)
        limits = asked.limits
        if limits is None:
            request = _Running(asked.id, len(ids), self.settings.max_new_tokens, self.settings.min_new_tokens)
        else:
            own = (limits.max_tokens, limits.min_tokens, limits.ignore_eos, limits.stream)
            request = _Running(asked.id, len(ids), *own)
        if not self._accept([request], logits)[0]:
            self._cache.insert(row=len(self._running), prefilled=cache, room=len(ids) + request.most)
            self._running.append(request)

    def _decode(self) -> None:
        where = [r.position for r in self._running]
        positions = torch.tensor(where, device=self.device)
        mask = self._cache.begin_step(positions, max(where))
        last = torch.tensor([[r.tokens[-1]] for r in self._running], device=self.device)
        logits = self._forward(last, self._cache, attention_mask=mask, position_ids=positions[:, None])
        finished = self._accept(self._running, logits)
        self._leave([row for row, done in enumerate(finished) if done])

    def _leave(self, rows: list[int]) -> None:
        """Take requests out of the batch; ``rows`` in ascending order."""
        for row in reversed(rows):
            final = self._running.pop()
            if row < len(self._running):
                self._cache.move(source=len(self._running), target=row, used=final.position)
                self._running[row] = final

    def _forward(self, tokens: torch.Tensor, cache: transformers.Cache, **kwargs: Any) -> torch.Tensor:
        """Logits [rows, vocabulary] of the last position of each row."""
        out = self.model(input_ids=tokens, use_cache=True, **{self._cache_name: cache}, **kwargs)
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def _accept(self, requests: list[_Running], logits: torch.Tensor) -> list[bool]:
        """Take each request's most likely token, note the events, and say which requests are finished."""
        if self.eos:
            early = [row for row, r in enumerate(requests) if len(r.tokens) < r.least]
            if early:
                logits[torch.tensor(early, device=self.device)[:, None], self._eos_index] = -torch.inf
        self.generated += len(requests)
        finished = []
        for request, token in zip(requests, logits.argmax(dim=-1).tolist(), strict=True):
            request.tokens.append(token)
            if len(request.tokens) == 1 and self.settings.first_tokens:
                self._events.append(FirstToken(request.id, np.int32(token).tobytes()))
            elif request.stream:
                self._events.append(Tokens(request.id, np.int32(token).tobytes()))
            done = (token in self.eos and not request.ignore_eos) or len(request.tokens) >= request.most
            if done:
                self._events.append(Completion(request.id, np.array(request.tokens, dtype="<i4").tobytes()))
            finished.append(done)
        return finished

    def warm_up(self, prompts: Sequence[IntArray]) -> None:
        """Prefill ``prompts``, as many as run together, and decode two tokens: nothing compiles, so that suffices."""
        self.submit([Request(-1 - i, p.tobytes()) for i, p in enumerate(prompts[: self.capacity])])
        while self._waiting:
            self.poll(0.0)
        self.poll(0.0)
        self.poll(0.0)
        self._running.clear()
        self._outstanding = 0

    @property
    def outstanding(self) -> int:
        return self._outstanding

    @property
    def running(self) -> int:
        return len(self._running)

    def close(self) -> None:
        self._waiting.clear()
        self._running.clear()
        self._events.clear()
        self._outstanding = 0
        self._broken = self._broken or "the engine is closed"
        self.model = self._cache = None  # type: ignore[assignment]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _quantization_of(config: Any) -> dict[str, Any]:
    """config.json's ``quantization_config``; empty for a model that is not quantised."""
    stated = getattr(config, "quantization_config", None) or {}
    return dict(stated) if isinstance(stated, dict) else dict(stated.to_dict())
