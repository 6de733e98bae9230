"""A request as it was understood: prompts, limits, and how its answer is to be written."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.serve.fields import ChatFields, CompletionFields, Fields, Message, refuse_what_is_not_served, stops
from harness.serve.problems import Problem
from harness.serve.reading import prompts, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``texts``, ``ids`` or ``messages`` holds the prompts. ``max_tokens``: None where the server's default applies."""

    chat: bool
    model: str | None
    texts: list[str] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    template: str | None = None
    special_tokens: bool
    stream: bool
    include_usage: bool
    continuous_usage: bool
    max_tokens: int | None
    min_tokens: int | None
    ignore_eos: bool
    stops: list[str]
    return_token_ids: bool


def completion(body: bytes) -> Asked:
    """What a request to ``/v1/completions`` asks for. Raises ``Problem``."""
    fields = read(body, CompletionFields)
    given = prompts(fields.prompt)
    texts = [p for p in given if isinstance(p, str)]
    ids = [p for p in given if not isinstance(p, str)]
    return _asked(fields, chat=False, texts=texts, ids=ids, special_tokens=fields.add_special_tokens is not False)


def chat(body: bytes) -> Asked:
    """What a request to ``/v1/chat/completions`` asks for. Raises ``Problem``."""
    fields = read(body, ChatFields)
    refuse_special_tokens(fields.add_special_tokens)
    messages, template = fields.messages, fields.chat_template
    return _asked(fields, chat=True, messages=messages, template=template, special_tokens=False)


def refuse_special_tokens(wanted: bool | None) -> None:
    """Raise ``Problem`` where they are wanted beside those of a template."""
    if wanted:
        raise Problem("add_special_tokens: the template of a conversation brings its own", param="add_special_tokens")


def _asked(
    fields: Fields,
    *,
    chat: bool,
    special_tokens: bool,
    texts: list[str] | None = None,
    ids: list[list[int]] | None = None,
    messages: list[Message] | None = None,
    template: str | None = None,
) -> Asked:
    refuse_what_is_not_served(fields)
    options = fields.stream_options
    return Asked(
        chat=chat,
        model=fields.model,
        texts=texts or [],
        ids=ids or [],
        messages=messages or [],
        template=template,
        special_tokens=special_tokens,
        stream=bool(fields.stream),
        include_usage=bool(options and options.include_usage),
        continuous_usage=bool(options and options.continuous_usage_stats),
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        min_tokens=fields.min_tokens,
        ignore_eos=bool(fields.ignore_eos),
        stops=stops(fields),
        return_token_ids=bool(fields.return_token_ids),
    )
