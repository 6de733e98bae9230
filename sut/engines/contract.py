"""What every engine must do, as checks that any engine can be put through, ours and yours.

On the command line::

    python -m sut.engines.contract my_package.my_module:MyEngine --model FOLDER --set max_batch=8

In a test::

    @pytest.fixture(scope="module")
    def subject():
        with contract.loaded(EngineSettings(name="my_package.my_module:MyEngine", model="")) as subject:
            yield subject

    @pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
    def test_contract(check, subject):
        check(subject)
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from mlperf_llama_base.errors import HarnessError, UserError
from sut import engines
from sut.engines.base import Engine, IntArray
from sut.messages import (
    HONOURS,
    Completion,
    EngineInfo,
    EngineSettings,
    Event,
    Failure,
    FirstToken,
    Limits,
    Request,
    Tokens,
)

PATIENCE_S = 180.0  # nothing is expected to take so long: it only ends a check that would hang
ORDINARY_IDS = 10_000  # ids of ordinary words in every vocabulary in use; special ones lie at the ends


class Broken(AssertionError):
    """The engine does not keep the contract; the text says what it did."""


@dataclass
class Subject:
    """A loaded engine under examination, and what it answered to each request."""

    settings: EngineSettings
    engine: Engine
    info: EngineInfo
    next_id: int = 0
    events: list[Event] = field(default_factory=list)

    def prompts(self, count: int) -> list[IntArray]:
        """Random prompts of 4 to 63 tokens, the same in every process."""
        high = min(self.info.vocab_size or ORDINARY_IDS, ORDINARY_IDS)
        random = np.random.default_rng(count)
        return [random.integers(min(100, high - 1), high, random.integers(4, 64)).astype("<i4") for _ in range(count)]

    def submit(self, prompts: Sequence[IntArray], limits: Limits | None = None) -> list[int]:
        """Hand the prompts in; returns the requests' ids."""
        ids = list(range(self.next_id, self.next_id + len(prompts)))
        self.next_id += len(prompts)
        requests = [Request(i, p.astype("<i4").tobytes(), limits) for i, p in zip(ids, prompts, strict=True)]
        self.engine.submit(requests)
        return ids

    def drain(self, wanted: Sequence[int]) -> dict[int, list[Event]]:
        """Poll until each of ``wanted`` has ended; returns the events of each, in order."""
        found: dict[int, list[Event]] = {i: [] for i in wanted}
        left = set(wanted)
        deadline = time.monotonic() + PATIENCE_S
        while left:
            if time.monotonic() > deadline:
                raise Broken(f"{len(left)} of {len(wanted)} requests have no answer after {PATIENCE_S:.0f} s")
            for event in self.engine.poll(0.5):
                if event.id not in found:
                    raise Broken(f"an event for request {event.id}, which is not under way: {event!r:.200}")
                found[event.id].append(event)
                left -= {event.id} if isinstance(event, Completion | Failure) else set()
        return found

    def answers(self, prompts: Sequence[IntArray], limits: Limits | None = None) -> list[list[Event]]:
        """The events of each prompt."""
        return list(self.drain(self.submit(prompts, limits)).values())

    def one(self, prompt: IntArray, limits: Limits) -> tuple[list[Event], list[int]]:
        """The events of one request, and the ids of its answer."""
        [events] = self.answers([prompt], limits)
        if not isinstance(events[-1], Completion):
            raise Broken(f"a request with {limits} got {events[-1]!r:.200}")
        return events, ids_of(events[-1].tokens)


@contextlib.contextmanager
def loaded(settings: EngineSettings) -> Iterator[Subject]:
    """Build and load the engine for a block, and close it afterwards."""
    engine = engines.create(settings)
    try:
        yield Subject(settings, engine, engine.load())
    finally:
        engine.close()


def violations_of(
    settings: EngineSettings,
    info: EngineInfo,
    sample: int,
    first: list[int] | None,
    ids: list[int],
    vocab_size: int | None,
) -> list[str]:
    """The properties that mlcommons/inference, compliance/TEST06 and LoadGen ask of every answer."""
    wrong = []
    if len(ids) < 2:
        wrong.append(f"sample {sample} has {len(ids)} token(s): LoadGen needs two, end-of-text included")
    if len(ids) > settings.max_new_tokens:
        wrong.append(f"sample {sample} has {len(ids)} tokens, more than {settings.max_new_tokens}")
    if settings.first_tokens and first != ids[:1]:
        wrong.append(f"sample {sample}: first token {first} is not the head of the answer {ids[:1]}")
    if any(token in info.eos_token_ids for token in ids[:-1]):
        wrong.append(f"sample {sample} goes on after end-of-text")
    if len(ids) < settings.max_new_tokens and info.eos_token_ids and ids[-1:] and ids[-1] not in info.eos_token_ids:
        wrong.append(f"sample {sample} stops after {len(ids)} tokens without end-of-text")
    if vocab_size and any(not 0 <= token < vocab_size for token in ids):
        wrong.append(f"sample {sample} has a token outside the vocabulary")
    return wrong


def ids_of(tokens: bytes) -> list[int]:
    """Token ids of int32 little-endian bytes."""
    return [int(i) for i in np.frombuffer(tokens, "<i4")]


# -- the checks ------------------------------------------------------------------------------------------------------


def it_describes_itself(subject: Subject) -> None:
    """``load`` returns a name, a version, a capacity, ids inside the vocabulary, and facts that can be written down."""
    info = subject.info
    if not (info.name and info.version):
        raise Broken(f"name {info.name!r} or version {info.version!r} is empty")
    if info.capacity < 1:
        raise Broken(f"capacity is {info.capacity}: it must be able to work on one request at least")
    if info.vocab_size and any(not 0 <= i < info.vocab_size for i in info.eos_token_ids):
        raise Broken(f"EOS ids {info.eos_token_ids} are outside the vocabulary of {info.vocab_size}")
    if info.max_prompt_tokens is not None and info.max_prompt_tokens < 1:
        raise Broken(f"max_prompt_tokens is {info.max_prompt_tokens}")
    try:
        msgspec.json.encode(info)
        msgspec.msgpack.encode(subject.engine.live_facts())
    except (TypeError, ValueError) as error:
        raise Broken(f"its facts cannot be written down: {error}") from error
    missing = set(engines.find(subject.settings.name).not_submittable) - set(info.not_submittable)
    if missing:
        raise Broken(f"not_submittable of the facts is not repeated by load: {', '.join(sorted(missing))}")


def it_refuses_an_unknown_argument(subject: Subject) -> None:
    """A mistyped argument is a ``UserError`` that names it, before anything is loaded."""
    args = {**subject.settings.args, "no_such_argument": 1}
    try:
        engines.check(msgspec.structs.replace(subject.settings, args=args))
    except UserError as error:
        if "no_such_argument" not in str(error):
            raise Broken(f"the error does not name the argument: {error}") from error
        return
    raise Broken("engine.args.no_such_argument was accepted")


def every_request_is_answered_once(subject: Subject) -> None:
    """More requests than it can work on at once: each ends with one ``Completion``, and its answer is well-formed."""
    prompts = subject.prompts(min(2 * subject.info.capacity + 3, 40))
    for number, events in enumerate(subject.answers(prompts)):
        ends = [e for e in events if not isinstance(e, FirstToken)]
        if len(ends) != 1 or not isinstance(ends[0], Completion):
            raise Broken(f"an ordinary prompt of {len(prompts[number])} tokens got {ends!r:.300}")
        firsts = [e for e in events if isinstance(e, FirstToken)]
        if len(firsts) != int(subject.settings.first_tokens):
            raise Broken(f"{len(firsts)} first tokens for one request (first_tokens={subject.settings.first_tokens})")
        first = ids_of(firsts[0].tokens) if firsts else None
        answer = ids_of(ends[0].tokens)
        if wrong := violations_of(subject.settings, subject.info, number, first, answer, subject.info.vocab_size):
            raise Broken("; ".join(wrong))
        if firsts and events[0] is not firsts[0]:
            raise Broken("the completion came before the first token")


def the_same_prompt_has_the_same_answer(subject: Subject) -> None:
    """Greedy decoding: what is asked twice, alone, is answered alike."""
    [prompt] = subject.prompts(1)
    first, second = (subject.answers([prompt])[0][-1] for _ in range(2))
    if msgspec.structs.replace(first, id=0) != msgspec.structs.replace(second, id=0):
        raise Broken(f"asked twice, it answered {first!r:.200} and {second!r:.200}")


def it_keeps_count(subject: Subject) -> None:
    """``outstanding`` counts what was accepted and has not ended; ``running`` is never more."""
    ids = subject.submit(subject.prompts(3))
    if subject.engine.outstanding != 3 or not 0 <= subject.engine.running <= 3:
        raise Broken(f"3 requests accepted: {subject.engine.outstanding} outstanding, {subject.engine.running} running")
    subject.drain(ids)
    if subject.engine.outstanding or subject.engine.running:
        raise Broken(f"all answered: {subject.engine.outstanding} outstanding, {subject.engine.running} running")


def it_counts_all_tokens_or_none(subject: Subject) -> None:
    """``generated`` grows by what its answers hold; an engine that does not count leaves it alone."""
    before = subject.engine.generated
    ends = [events[-1] for events in subject.answers(subject.prompts(3))]
    held = sum(len(end.tokens) // 4 for end in ends if isinstance(end, Completion))
    if subject.engine.generated - before not in (0, held):
        raise Broken(f"answers of {held} tokens, and generated grew by {subject.engine.generated - before}")


def an_idle_poll_returns_nothing(subject: Subject) -> None:
    """Without work ``poll`` returns an empty list, at its timeout."""
    if events := subject.engine.poll(0.05):
        raise Broken(f"nothing is under way, and poll returned {events!r:.200}")


def one_bad_prompt_spoils_no_other(subject: Subject) -> None:
    """A prompt that cannot be served (empty, too long, an id outside the vocabulary) ends alone; nothing is raised."""
    [good] = subject.prompts(1)
    bad = [np.array([], "<i4")]
    if subject.info.vocab_size:
        bad.append(np.array([5, subject.info.vocab_size, 6], "<i4"))
    if subject.info.max_prompt_tokens and subject.info.max_prompt_tokens < 200_000:
        bad.append(np.resize(good, subject.info.max_prompt_tokens + 1))
    answers = subject.answers([*bad, good])
    for prompt, events in zip(bad, answers, strict=False):
        ends = [e for e in events if isinstance(e, Completion | Failure)]
        if len(ends) != 1 or (isinstance(ends[0], Completion) and not ends[0].tokens):
            raise Broken(f"a prompt of {len(prompt)} tokens that cannot be served got {ends!r:.200}")
    if not isinstance(answers[-1][-1], Completion):
        raise Broken(f"the good prompt beside them got {answers[-1][-1]!r:.200}")


def a_warm_up_leaves_nothing_behind(subject: Subject) -> None:
    """After ``warm_up`` nothing is under way, and none of its answers appears later."""
    subject.engine.warm_up(subject.prompts(2))
    if subject.engine.outstanding:
        raise Broken(f"{subject.engine.outstanding} requests are left of the warm-up")
    an_idle_poll_returns_nothing(subject)


def requests_may_come_while_it_waits(subject: Subject) -> None:
    """``concurrent``: another thread may submit while ``poll`` waits. Others are spared this."""
    if not subject.engine.concurrent:
        return
    ids: list[int] = []
    polling = threading.Event()

    def submit() -> None:
        polling.wait()
        ids.extend(subject.submit(subject.prompts(2)))

    thread = threading.Thread(target=submit)
    thread.start()
    polling.set()
    ended = {e.id for e in subject.engine.poll(0.5) if not isinstance(e, FirstToken)}
    thread.join()
    subject.drain([i for i in ids if i not in ended])


def a_request_may_have_its_own_limits(subject: Subject) -> None:
    """``honours``: what it says that it does for one request, it does. An engine that says nothing is spared this."""
    able, [prompt] = subject.info.honours, subject.prompts(1)
    most = subject.settings.max_new_tokens
    if unknown := set(able) - set(HONOURS):
        raise Broken(f"honours {', '.join(sorted(unknown))}, which is none of {', '.join(HONOURS)}")
    if "max_tokens" in able and len(ids := subject.one(prompt, Limits(3))[1]) > 3:
        raise Broken(f"max_tokens 3 was answered with {len(ids)} tokens")
    if {"max_tokens", "ignore_eos"} <= set(able):
        for wanted in (1, most + 5):
            ids = subject.one(prompt, Limits(wanted, ignore_eos=True))[1]
            if len(ids) != wanted:
                raise Broken(f"max_tokens {wanted} with ignore_eos was answered with {len(ids)} tokens")
    if "min_tokens" in able:
        ids = subject.one(prompt, Limits(most, min_tokens=most))[1]
        if len(ids) != most or any(i in subject.info.eos_token_ids for i in ids[:-1]):
            raise Broken(f"min_tokens {most} was answered with {ids}")


def a_stream_tells_every_token_once(subject: Subject) -> None:
    """``stream``: the first token, then the further ones in order; together the beginning of the whole answer."""
    if "stream" not in subject.info.honours:
        return
    limits = Limits(subject.settings.max_new_tokens, stream=True)
    for events in subject.answers(subject.prompts(3), limits):
        told = [i for e in events if isinstance(e, FirstToken | Tokens) for i in ids_of(e.tokens)]
        if not isinstance(events[0], FirstToken) or not isinstance(events[-1], Completion):
            raise Broken(f"a stream of {events[0]!r:.100} ... {events[-1]!r:.100}")
        if told != ids_of(events[-1].tokens)[: len(told)]:
            raise Broken(f"streamed {told}, and completed with {ids_of(events[-1].tokens)}")


def a_cancelled_request_ends(subject: Subject) -> None:
    """After ``cancel`` each request still ends once, whether it waits, runs or is over; others are not touched."""
    ids = subject.submit(subject.prompts(min(subject.info.capacity + 2, 20)))
    subject.engine.cancel([*ids[1:], ids[-1] + 1000])
    ends = subject.drain(ids)
    if not isinstance(ends[ids[0]][-1], Completion):
        raise Broken(f"a request that was not cancelled got {ends[ids[0]][-1]!r:.200}")
    if subject.engine.outstanding:
        raise Broken(f"all have ended, and {subject.engine.outstanding} are outstanding")
    an_idle_poll_returns_nothing(subject)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    it_describes_itself,
    it_refuses_an_unknown_argument,
    an_idle_poll_returns_nothing,
    every_request_is_answered_once,
    the_same_prompt_has_the_same_answer,
    it_keeps_count,
    it_counts_all_tokens_or_none,
    one_bad_prompt_spoils_no_other,
    requests_may_come_while_it_waits,
    a_request_may_have_its_own_limits,
    a_stream_tells_every_token_once,
    a_cancelled_request_ends,
    a_warm_up_leaves_nothing_behind,
)


def examine(settings: EngineSettings) -> dict[str, str | None]:
    """Put an engine through all checks, twice loaded: with and without first tokens (Server and Offline).

    Returns what is wrong by check, None where nothing is. Raises what loading raises.
    """
    found: dict[str, str | None] = {}
    for first_tokens in (True, False):
        with loaded(msgspec.structs.replace(settings, first_tokens=first_tokens)) as subject:
            for check in CHECKS if first_tokens else (every_request_is_answered_once,):
                name = check.__name__ if first_tokens else f"{check.__name__} (without first tokens)"
                found[name] = _outcome(check, subject)
            subject.engine.close()  # a second time must do no harm: the block closes it too
    return found


def _outcome(check: Callable[[Subject], None], subject: Subject) -> str | None:
    try:
        check(subject)
    except Broken as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  whatever it raises is a finding about it
        return f"it raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0 kept, 1 broken, 2 and 3 as everywhere."""
    import yaml

    parser = argparse.ArgumentParser(
        "python -m sut.engines.contract", description="Put an engine through its contract."
    )
    parser.add_argument("engine", help="a name, or package.module:Class")
    parser.add_argument("--model", default="", help="model folder or hub id")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one of engine.args")
    given = parser.parse_args(arguments)
    args: dict[str, Any] = {}
    for text in given.set:
        name, _, value = text.partition("=")
        args[name] = yaml.safe_load(value)
    settings = EngineSettings(
        name=given.engine, model=given.model, device=given.device, max_new_tokens=given.max_new_tokens, args=args
    )
    try:
        engines.check(settings)
        found = examine(settings)
    except HarnessError as error:
        sys.stderr.write(f"contract: {error}\n")
        return error.exit_code
    for name, wrong in found.items():
        sys.stdout.write(
            f"{'broken' if wrong else 'kept  '}  {name.replace('_', ' ')}{f': {wrong}' if wrong else ''}\n"
        )
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
