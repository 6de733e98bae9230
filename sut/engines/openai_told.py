"""What of an answer has been reported, over all the attempts that it takes a server to give it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sut.messages import Event, FirstToken, Request, Tokens


class Told:
    """``put`` takes the events. ``streams``: every token is reported as it comes, and not only the first."""

    def __init__(self, request: Request, put: Callable[[Event], None], *, server_gives_ids: bool) -> None:
        self.first: int | None = None
        self.streams = server_gives_ids and request.limits is not None and request.limits.stream
        self._id = request.id
        self._put = put
        self._ids: list[int] = []
        self._so_far = 0

    def new(self, so_far: int) -> int:
        """Tokens that have come since the last call, of an attempt whose answer has ``so_far`` by now."""
        before, self._so_far = self._so_far, so_far
        return so_far - before if so_far >= before else so_far  # fewer: it was asked again

    def grow(self, ids: list[int]) -> None:
        """The answer so far. One that begins otherwise than what was reported stays unreported."""
        if self.first is None and ids:
            self.first = ids[0]
            self._put(FirstToken(self._id, packed(ids[:1])))
            self._ids = ids[:1]
        told = len(self._ids)
        if self.streams and len(ids) > told and ids[:told] == self._ids:
            self._put(Tokens(self._id, packed(ids[told:])))
            self._ids = list(ids)

    def differs(self, answer: list[int]) -> str | None:
        """How the whole answer contradicts what was reported of it."""
        if self.first is not None and answer[0] != self.first:
            return f"the server began with token {answer[0]}, not with {self.first} as reported"
        if self.streams and answer[: len(self._ids)] != self._ids:
            return "the server's answer is not the one that was streamed"
        return None


def packed(tokens: list[int]) -> bytes:
    """Ids as int32 LE bytes."""
    return np.array(tokens, dtype="<i4").tobytes()
