"""A request while it is being answered: its choices, and what of them has left.

One loop (:class:`Answers`) walks what the hub reports and writes chunks to the connections themselves: a coroutine is
woken when a stream begins and when it ends, not for every token, which costs more than all the rest.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from typing import Any

from msgspec import UNSET

from harness.serve.asked import Asked
from harness.serve.detokenise import Text
from harness.serve.problems import Problem
from harness.serve.render import DONE, Answered, Completed, Said, Style, Usage
from harness.serve.stopping import StopStrings
from sut.served import ServedSample

IN_A_TURN = 256  # choices that are served before new requests are looked at


def ids_of(tokens: bytes | bytearray) -> list[int]:
    """Token ids of int32 LE bytes."""
    return list(memoryview(bytes(tokens)).cast("i"))


class Choice:
    """The answer to one prompt. ``at``: bytes of it (int32 LE ids) that were turned into text."""

    __slots__ = ("at", "call", "ended", "finish", "index", "sample", "sent", "stops", "text", "whole")

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
        self.whole: list[str] = []

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
    """One HTTP request. ``wake`` is set when its handler has something to do: to begin the stream, or to end it."""

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
        """The head has been sent: from now on chunks go straight to the connection. ``framed``: HTTP/1.1's chunks."""
        self.transport, self.framed, self.begun = transport, framed, True

    def _show(self, choice: Choice) -> None:
        ids, text = choice.take()
        asked = self.asked
        if not text and choice.finish is None and not (ids and asked.return_token_ids):
            return
        first = not choice.sent
        choice.sent = True
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
            data += (self.style.usage_chunk(self.usage()) if asked.include_usage else b"") + DONE
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send events on a stream that has begun."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.framed else data)

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


class Answers:
    """All calls that are open, and the one loop that serves them. ``give_up(ids)`` tells the hub of samples that
    nobody waits for any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, chunk_s: float) -> None:
        self.open: dict[int, Call] = {}
        self.broken = asyncio.Event()
        self.give_up: Any = None
        self._loop = loop
        self._chunk_s = chunk_s
        self._news: deque[list[ServedSample] | None] = deque()
        self._dirty: dict[ServedSample, None] = {}
        self._held: dict[ServedSample, None] = {}  # until a chunk's time has come
        self._scheduled = False

    def put(self, samples: list[ServedSample] | None) -> None:
        """The hub's news, on its thread."""
        self._news.append(samples)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        dirty = self._dirty
        while self._news:
            samples = self._news.popleft()
            if samples is None:
                self.broken.set()
            elif self._chunk_s:
                self._hold(samples)
            else:
                dirty.update(dict.fromkeys(samples))
        turn = list(itertools.islice(dirty, IN_A_TURN))
        for sample in turn:
            del dirty[sample]
        self._advance(turn)
        if dirty and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def show(self, call: Call) -> None:
        """What there is of a call whose stream has just begun."""
        self._advance([choice.sample for choice in call.choices])

    def _advance(self, samples: list[ServedSample]) -> None:
        over = []
        for sample in samples:
            choice = sample.listener
            if choice is not None and choice.call.advance(choice):
                over.append(sample.id)
        if over:
            self.give_up(over)

    def _hold(self, samples: list[ServedSample]) -> None:
        """Keep tokens back that are neither the first nor the last of their stream, so that they share a chunk."""
        if not self._held:
            self._loop.call_later(self._chunk_s, self._release)
        for sample in samples:
            choice = sample.listener
            early = choice is not None and choice.sent and not sample.done and not sample.failure
            (self._held if early else self._dirty)[sample] = None

    def _release(self) -> None:
        self._dirty.update(self._held)
        self._held.clear()
        self._turn()

    def end_all(self, problem: Problem) -> None:
        """Nobody is answered any more."""
        for call in self.open.values():
            call.problem = call.problem or problem
            call.wake.set()

    def look(self, *, stalled_s: float, most_bytes: int) -> int:
        """Cut off clients that do not read. Returns how many."""
        now = time.monotonic()
        cut = 0
        for call in list(self.open.values()):
            if not call.begun:
                continue
            waiting = call.transport.get_write_buffer_size()
            if not waiting:
                call.blocked_since = 0.0
            elif not call.blocked_since:
                call.blocked_since = now
            if waiting > most_bytes or (call.blocked_since and now - call.blocked_since > stalled_s):
                call.transport.abort()
                cut += 1
        return cut
