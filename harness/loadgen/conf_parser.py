"""LoadGen's user.conf, read as LoadGen reads it (mlcommons/inference, loadgen/test_settings_internal.cc, FromConfig).

LoadGen's parser is small and silent: it splits a line at white space, takes key, ``=``, value, and drops without a word
what does not fit. This module repeats it with the C library's own number functions, and keeps the line numbers.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

MASK = 2**64 - 1
_LIBC = ctypes.CDLL(None)
_LIBC.strtoull.restype = ctypes.c_ulonglong
_LIBC.strtoull.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
_LIBC.strtod.restype = ctypes.c_double
_LIBC.strtod.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]


def c_integer(text: str) -> tuple[int, bool]:
    """``strtoull(text, ., 0)``: the value, and whether all of ``text`` was used. ``010`` is 8, ``1e3`` is 1."""
    buffer, end = ctypes.create_string_buffer(text.encode("latin-1")), ctypes.c_void_p()
    value = int(_LIBC.strtoull(ctypes.addressof(buffer), ctypes.byref(end), 0))
    return value, end.value == ctypes.addressof(buffer) + len(text)


def c_double(text: str) -> tuple[float, bool]:
    """``strtod(text)``: the value, and whether all of ``text`` was used."""
    buffer, end = ctypes.create_string_buffer(text.encode("latin-1")), ctypes.c_void_p()
    value = float(_LIBC.strtod(ctypes.addressof(buffer), ctypes.byref(end)))
    return value, end.value == ctypes.addressof(buffer) + len(text)


@dataclass(frozen=True)
class Assignment:
    """``key = value`` of one line; ``values`` counts the numbers after ``=`` (LoadGen keeps the last)."""

    line: int
    key: str
    value: str
    values: int = 1


@dataclass
class Conf:
    """A parsed file. ``errors``: (line, reason), any of which makes LoadGen discard the whole file.

    ``ignored``: (line, reason) of lines that LoadGen skips in silence. ``assignments``: all, in the order of the file.
    """

    assignments: list[Assignment] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    ignored: list[tuple[int, str]] = field(default_factory=list)

    def last(self, key: str) -> Assignment | None:
        """The assignment of exactly this key that counts: the last one."""
        return next((a for a in reversed(self.assignments) if a.key == key), None)

    def lookup(self, *, model: str, scenario: str, name: str) -> Assignment | None:
        """LoadGen's order: ``model.scenario``, ``*.scenario``, ``model.*``, ``*.*``."""
        for prefix in (f"{model}.{scenario}", f"*.{scenario}", f"{model}.*", "*.*"):
            if found := self.last(f"{prefix}.{name}"):
                return found
        return None


def parse(data: bytes) -> Conf:
    """Parse the bytes of a user.conf. Never raises: what is wrong is in the result."""
    conf = Conf()
    for number, raw in enumerate(data.split(b"\n"), start=1):
        words = [word.decode("latin-1") for word in raw.split()]
        if not words or words[0] == "#":
            continue
        _line(conf, number, words)
    return conf


def _line(conf: Conf, number: int, words: list[str]) -> None:
    key, rest = words[0], words[1:]
    if not rest or rest[0] == "#":
        if not key.startswith("#"):
            hint = "spaces are needed around '='" if "=" in key else "there is no '= value'"
            conf.ignored.append((number, f"{key!r} is silently ignored: {hint}"))
        return
    if rest[0] != "=":
        comment = key.startswith("#")
        conf.errors.append(
            (
                number,
                "a comment needs a space after '#'" if comment else f"expected '=' after {key!r}, found {rest[0]!r}",
            )
        )
        return
    good: list[str] = []
    for word in rest[1:]:
        if not (c_integer(word)[1] or c_double(word)[1]):
            comment = word.startswith("#")
            conf.errors.append(
                (number, "a comment after a value is not allowed" if comment else f"value {word!r} is not a number")
            )
            break
        good.append(word)
    if good:
        conf.assignments.append(Assignment(number, key, good[-1], len(good)))
    elif len(rest) == 1:
        conf.ignored.append((number, f"{key!r} is silently ignored: nothing follows '='"))
