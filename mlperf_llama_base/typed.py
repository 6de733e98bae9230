"""From JSON, MessagePack or plain values to our types, in any thread.

msgspec (0.22) works out a type the first time that it is used, and crashes the process where two threads do that at
once: one meets what the other has half built. So the first use of each type is one thread's alone.
"""

from __future__ import annotations

import threading
from mmap import mmap
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_ready: set[Any] = set()
_one_at_a_time = threading.Lock()


def ready(kind: type[T]) -> type[T]:
    """``kind``, worked out."""
    if kind not in _ready:
        with _one_at_a_time:
            msgspec.json.Decoder(kind)
            _ready.add(kind)
    return kind


def convert(value: Any, kind: type[T], *, from_attributes: bool = False) -> T:
    """As ``msgspec.convert``. Raises ``msgspec.ValidationError``."""
    return msgspec.convert(value, ready(kind), from_attributes=from_attributes)


def from_json(content: bytes | str | mmap, kind: type[T]) -> T:
    """As ``msgspec.json.decode``. Raises ``msgspec.DecodeError``."""
    return msgspec.json.decode(content, type=ready(kind))


def from_msgpack(content: bytes, kind: type[T]) -> T:
    """As ``msgspec.msgpack.decode``. Raises ``msgspec.DecodeError``."""
    return msgspec.msgpack.decode(content, type=ready(kind))
