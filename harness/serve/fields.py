"""The fields of a request, as clients send them: those that are honoured, and those that may only have the one value
that changes nothing. What is neither is refused by name, so that nobody measures what he did not ask for."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from harness.serve.problems import Problem

MOST_STOPS = 16
LONGEST_STOP = 1000
MOST_TOKENS = 2**31 - 1  # more fits no context; where that is not known, this is what an engine can count to
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]
Seed = Annotated[int, msgspec.Meta(ge=0)]
MOST_SEED = 2**64 - 1

# name -> the values that leave greedy decoding of one answer as it is
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "temperature": (0,),
    "n": (1,),
    "best_of": (1,),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "prompt_logprobs": (),
    "echo": (False,),
    "suffix": ("",),
    "use_beam_search": (False,),
    "stop_token_ids": ([],),
    "bad_words": ([],),
    "truncate_prompt_tokens": (),
    "skip_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "chat_template_kwargs": ({},),
    "documents": ([],),
    "tools": ([],),
    "tool_choice": ("none",),
    "functions": ([],),
    "function_call": ("none",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
WHY = {
    "temperature": "decoding is greedy",
    "n": "one answer is given to each prompt",
    "chat_template_kwargs": "no template is executed for a request",
}


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Fields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What both endpoints take. ``top_p`` and ``top_k`` choose among tokens that greedy decoding never looks at;
    ``seed`` has nothing to decide either. The last group says something about the client alone."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    min_tokens: Count | None = None
    ignore_eos: bool | None = None
    stop: str | list[str] | None = None
    seed: Seed | None = None
    return_token_ids: bool | None = None
    add_special_tokens: bool | None = None

    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: int | None = None
    temperature: float | None = None
    n: int | None = None
    best_of: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    prompt_logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    use_beam_search: bool | None = None
    stop_token_ids: list[int] | None = None
    bad_words: list[str] | None = None
    truncate_prompt_tokens: int | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
    spaces_between_special_tokens: bool | None = None

    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    request_id: str | None = None
    priority: int | None = None


class CompletionFields(Fields, kw_only=True):
    """``prompt``: a text, token ids, or a list of either; read when its form is known."""

    prompt: msgspec.Raw


class Part(msgspec.Struct):
    type: str
    text: str | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    tool_calls: list[Any] | None = None

    @property
    def text(self) -> str:
        """The content. Raises ``Problem`` for one that is not text."""
        if isinstance(self.content, str):
            return self.content
        for part in self.content or ():
            if part.type != "text" or part.text is None:
                raise Problem(f"messages: a content of type {part.type!r} is not served, only text", param="messages")
        return "".join(part.text or "" for part in self.content or ())


class ChatFields(Fields, kw_only=True):
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    documents: list[Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None


class TokenizeFields(msgspec.Struct, forbid_unknown_fields=True):
    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    chat_template: str | None = None


class DetokenizeFields(msgspec.Struct, forbid_unknown_fields=True):
    tokens: list[int]
    model: str | None = None


def refuse_what_is_not_neutral(fields: msgspec.Struct) -> None:
    """Raise ``Problem`` naming the first field whose value would change the answer."""
    for name, values in NEUTRAL.items():
        given = getattr(fields, name, None)
        if given is not None and not any(_same(given, value) for value in values):
            only = f"only {values[0]!r} is" if values else "it is not"
            why = f" ({WHY[name]})" if name in WHY else ""
            raise Problem(f"{name}: {only} served{why}", param=name, code="unsupported_value")


def _same(given: Any, value: Any) -> bool:
    """Equal, and a number is no truth value: ``logprobs: 0`` asks for those of the chosen tokens."""
    return isinstance(given, bool) == isinstance(value, bool) and bool(given == value)


def refuse_what_is_not_served(fields: Fields) -> None:
    """Raise ``Problem`` naming the first field that cannot be had, alone or beside the others."""
    refuse_what_is_not_neutral(fields)
    if fields.seed is not None and fields.seed > MOST_SEED:
        raise Problem(f"seed: from 0 to {MOST_SEED}", param="seed")
    if fields.max_tokens and fields.max_completion_tokens and fields.max_tokens != fields.max_completion_tokens:
        raise Problem("max_tokens and max_completion_tokens differ", param="max_completion_tokens")
    if fields.stream_options is not None and not fields.stream:
        raise Problem("stream_options: only where stream is true", param="stream_options")


def stops(fields: Fields) -> list[str]:
    """The stop strings. Raises ``Problem`` for empty or too many ones."""
    given = [fields.stop] if isinstance(fields.stop, str) else fields.stop or []
    if len(given) > MOST_STOPS or any(not 0 < len(text) <= LONGEST_STOP for text in given):
        raise Problem(f"stop: at most {MOST_STOPS} strings of 1 to {LONGEST_STOP} characters", param="stop")
    return given
