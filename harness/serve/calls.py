"""A request while it is being answered: its choices, and what of them has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from harness.serve.asked import Asked
from harness.serve.detokenise import Text
from harness.serve.problems import Problem
from harness.serve.render import DONE, Answered, Completed, Said, Style, Usage
from harness.serve.stopping import StopStrings
from sut.served import ServedSample

NO_TEXT = b'""'


def ids_of(tokens: bytes | bytearray) -> list[int]:
    """Token ids of int32 LE bytes."""
    return list(memoryview(bytes(tokens)).cast("i"))


class Choice:
    """The answer to one prompt. ``at``: bytes of it (int32 LE ids) that were turned into text. ``flows``: what is
    between its first and its last chunk is text alone, and needs no more than :meth:`flow`."""

    __slots__ = (
        "_after",
        "_around",
        "_before",
        "at",
        "call",
        "ended",
        "finish",
        "flows",
        "index",
        "sample",
        "sent",
        "stops",
        "text",
        "whole",
    )

    def __init__(self, call: Call, index: int, sample: ServedSample, text: Text, stops: StopStrings | None) -> None:
        self.call = call
        self.index = index
        self.sample = sample
        self.text = text
        self.stops = stops
        self.at = 0
        self.sent = False
        self.ended = False
        self.finish: str | None = None
        self.flows = False
        self.whole: list[str] = []

    def begun(self) -> None:
        """Its first chunk is on its way."""
        self.sent = True
        call, asked = self.call, self.call.asked
        plain = not (asked.return_token_ids or asked.continuous_usage or self.stops)
        self.flows = plain and self.sample.limits.stream
        if self.flows:
            self._before, self._after = call.style.around(self.index)
            self._around = len(self._before) + len(self._after)

    def flow(self) -> None:
        """Send what is new of an answer that goes on: the same as :meth:`Call.advance`, for nearly every chunk."""
        ids = bytes(self.sample.answer[self.at :])
        self.at += len(ids)
        text = self.text.feed_json(ids)
        if text == NO_TEXT:
            return
        call = self.call
        if call.framed and call.send is not None:  # in one step, where write() would take two
            call.send(b"%x\r\n%b%b%b\r\n" % (self._around + len(text), self._before, text, self._after))
        else:
            call.write(self._before + text + self._after)

    @property
    def tokens(self) -> int:
        """Tokens of the answer; where a stop string ended it, up to the one that completed it."""
        return self.at >> 2

    def take(self) -> tuple[bytes, str]:
        """What is new: ids, and the text that may be shown. Says with ``finish`` when this is the end."""
        sample = self.sample
        done = sample.done  # before the answer is looked at, which is complete by then
        if not done and not sample.limits.stream:
            return b"", ""
        ids = bytes(sample.answer[self.at :])
        if self.stops is not None:
            return self._until_stop(ids, done)
        self.at += len(ids)
        if done:
            self.finish = self.call.end_of(sample)
        return ids, self.text.feed(ids, last=done)

    def _until_stop(self, ids: bytes, done: bool) -> tuple[bytes, str]:
        """Token by token, so that it is known which of them ends the answer."""
        assert self.stops is not None
        shown = []
        least = self.sample.limits.min_tokens
        for start in range(0, len(ids), 4):
            last = done and start + 4 == len(ids)
            self.at += 4
            text = self.text.feed(ids[start : start + 4], last=last)
            shown.append(self.stops.feed(text, last=last, armed=self.tokens >= least))
            if self.stops.found:
                self.finish = "stop"
                return ids[: start + 4], "".join(shown)
        if done:
            self.finish = self.call.end_of(self.sample)
        return ids, "".join(shown)


class Call:
    """One HTTP request. ``wake`` is set when its handler has something to do: to begin the stream, or to end it.

    What there is when the stream begins leaves with the head of the response, and what ends it with the end of the
    response: the handler takes both from ``kept``, so that neither needs a write of its own.
    """

    __slots__ = (
        "_eos",
        "asked",
        "begun",
        "blocked_since",
        "choices",
        "framed",
        "kept",
        "left",
        "number",
        "problem",
        "send",
        "style",
        "transport",
        "wake",
    )

    def __init__(self, asked: Asked, *, style: Style, eos: frozenset[int], number: int) -> None:
        self.asked = asked
        self.style = style
        self.number = number
        self.choices: list[Choice] = []
        self.left = 0
        self.wake = asyncio.Event()
        self.transport: Any = None
        self.framed = True
        self.begun = False
        self.kept = b""
        self.send: Callable[[bytes], None] | None = None
        self.problem: Problem | None = None
        self.blocked_since = 0.0
        self._eos = eos

    def end_of(self, sample: ServedSample) -> str:
        """Why an answer that is whole ended, in OpenAI's words."""
        last = int.from_bytes(sample.answer[-4:], "little")
        return "stop" if last in self._eos and not sample.limits.ignore_eos else "length"

    def add(self, sample: ServedSample, text: Text) -> None:
        stops = StopStrings(self.asked.stops) if self.asked.stops else None
        choice = Choice(self, len(self.choices), sample, text, stops)
        sample.listener = choice
        self.choices.append(choice)
        self.left += 1

    def advance(self, choice: Choice) -> bool:
        """Take in what is new of a choice. Returns whether the engine need not go on with it (a stop string)."""
        if choice.ended:
            return False
        if choice.sample.failure:
            self._fail(choice)
            return False
        if self.asked.stream:
            if not self.begun:
                self.wake.set()  # the head of the response is its handler's, which comes back here
                return False
            self._show(choice)
        else:
            choice.whole.append(choice.take()[1])
        if choice.finish is None:
            return False
        choice.ended = True
        self.left -= 1
        if not self.left:
            self.wake.set()
        return not choice.sample.done

    def _fail(self, choice: Choice) -> None:
        choice.ended = True
        self.left = 0
        self.problem = Problem(f"the answer could not be completed: {choice.sample.failure}", status=503)
        self.wake.set()

    def begin(self, transport: Any, *, framed: bool) -> None:
        """The answer may be written; it is kept until :meth:`flow`. ``framed``: in HTTP/1.1's chunks."""
        self.transport, self.framed, self.begun = transport, framed, True

    def flow(self) -> bytes:
        """From now on chunks go straight to the connection, behind what is returned."""
        self.send = self.transport.write
        return self.rest()

    def rest(self) -> bytes:
        """What has been kept."""
        kept, self.kept = self.kept, b""
        return kept

    def _show(self, choice: Choice) -> None:
        ids, text = choice.take()
        asked = self.asked
        if not text and choice.finish is None and not (ids and asked.return_token_ids):
            return
        first = not choice.sent
        if first:
            choice.begun()
        data = self.style.chunk(
            choice.index,
            text,
            first=first,
            finish=choice.finish,
            ids=ids if asked.return_token_ids else None,
            prompt=choice.sample.prompt if asked.return_token_ids and first else None,
            usage=self._usage_of(choice) if asked.continuous_usage else None,
        )
        if choice.finish is not None and self.left == 1:
            self.kept += data + (self.style.usage_chunk(self.usage()) if asked.include_usage else b"") + DONE
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Send events on a stream that has begun."""
        if self.send is None:
            self.kept += data
        else:
            self.send(b"%x\r\n%b\r\n" % (len(data), data) if self.framed else data)

    def _usage_of(self, choice: Choice) -> Usage:
        prompt, made = len(choice.sample.prompt) >> 2, choice.tokens
        return Usage(prompt, made, prompt + made)

    def usage(self) -> Usage:
        """Tokens of all prompts and of all answers, end of sequence included."""
        each = [self._usage_of(choice) for choice in self.choices]
        prompt, made = sum(u.prompt_tokens for u in each), sum(u.completion_tokens for u in each)
        return Usage(prompt, made, prompt + made)

    def body(self) -> bytes:
        """The answer where it is not streamed."""
        return self.style.whole([self._choice(choice) for choice in self.choices], self.usage())

    def _choice(self, choice: Choice) -> Answered | Completed:
        text = "".join(choice.whole)
        wanted = self.asked.return_token_ids
        ids = ids_of(choice.sample.answer[: choice.at]) if wanted else UNSET
        if self.style.chat:
            return Answered(choice.index, Said("assistant", text), choice.finish, token_ids=ids)
        prompt = ids_of(choice.sample.prompt) if wanted else UNSET
        return Completed(choice.index, text, choice.finish, token_ids=ids, prompt_token_ids=prompt)
