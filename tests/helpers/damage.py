"""Ways in which a file that somebody sent is not what its name says, for tests of whatever reads it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness import cli


def _half(path: Path) -> bytes:
    whole = path.read_bytes() if path.is_file() else b""
    return whole[: len(whole) // 2]


CONTENTS: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda path: b"",
    "cut": _half,
    "binary": lambda path: bytes(range(256)) * 4,
    "nul": lambda path: b"\0" * 64,
    "latin1": lambda path: '{"größe": 1}\n'.encode("latin-1"),
    "bom": lambda path: b"\xef\xbb\xbf" + (path.read_bytes() if path.is_file() else b"{}"),
    "web page": lambda path: b"<!DOCTYPE html><html><body>404</body></html>\n",
    "deep list": lambda path: b"[" * 100_000 + b"]" * 100_000,
    "deep object": lambda path: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep yaml": lambda path: b"\n".join(b" " * n + b"a:" for n in range(1500)),
    "a list": lambda path: b"[1, 2]\n",
    "a number": lambda path: b"17\n",
    "null": lambda path: b"null\n",
    "huge number": lambda path: b'{"schema_version": 1' + b"0" * 5000 + b"}\n",
    "not a number": lambda path: b'{"schema_version": NaN, "time": Infinity}\n',
    "half a surrogate": lambda path: b'{"phase": "\\ud800", "outcome": "\\ud800"}\n',
    "escape sequences": lambda path: b'{"phase": "\\u001b[2J", "error": "\\u001b]0;x\\u0007"}\n',
}
PLACES: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "a directory": lambda path: path.mkdir(parents=True),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
DAMAGES = (*CONTENTS, *PLACES)
EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "0"))  # of each search; 0: as many as a test takes by itself


def spoil(path: Path, damage: str) -> None:
    """Make ``path`` what ``damage`` says, whatever it was before."""
    content = CONTENTS[damage](path) if damage in CONTENTS else None
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        PLACES[damage](path)
    else:
        path.write_bytes(content)


def said(*argv: str | Path) -> tuple[str, int]:
    """Run ``mlperf-llama ARGV`` in this process: the one line of its error (empty: none) and its exit code."""
    words = [str(word) for word in argv]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            code = cli.dispatch(words)
        except Exception as error:  # noqa: BLE001  as main does
            return cli.outcome(error, words)
    return "", code if isinstance(code, int) else 0
