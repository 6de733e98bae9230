"""Server-sent events by the specification: bytes in, whatever their boundaries, events out.

https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an event stream". The clients that exist
for Python bring their own HTTP client and reconnect by themselves, which a measured request must not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"
LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """``type``: ``message`` unless the server names another. ``data``: its lines, joined by a line feed."""

    type: str
    data: bytes


class Decoder:
    """Feed it chunks of one response. What is left unfinished at its end is no event, and is forgotten."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._after_return = False  # the last chunk ended in a carriage return; a line feed that follows belongs to it
        self._data: list[bytes] = []
        self._type = b""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that ``chunk`` completes."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        buffer = self._rest + chunk
        if not self._begun:
            if len(buffer) < len(BOM) and BOM.startswith(buffer):
                self._rest = buffer
                return []
            self._begun = True
            buffer = buffer.removeprefix(BOM)
        self._after_return = buffer.endswith(b"\r")
        *lines, self._rest = LINE_END.split(buffer)
        events = []
        for line in lines:
            if line:
                self._take(line)
                continue
            if self._data:
                events.append(ServerSentEvent(self._type.decode(errors="replace") or "message", b"\n".join(self._data)))
            self._data, self._type = [], b""
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")  # a comment has no name
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value
