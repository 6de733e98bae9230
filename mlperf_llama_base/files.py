"""Writing a file whole or not at all, and reading one that may not be there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlperf_llama_base.errors import EnvironmentFault

WRITTEN_BY = "# written by mlperf-llama"
SEAL = f"{WRITTEN_BY}; sha256 of what follows: "


def expanded(path: str | os.PathLike[str]) -> Path:
    """``path`` with ``~`` as the home directory. Raises ``EnvironmentFault`` where a container gives its user none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise EnvironmentFault(
            f"{os.fspath(path)}: ~ is no directory here, since HOME is not set and user id {os.getuid()} has no entry "
            "in /etc/passwd: set HOME, or write the path in full"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it. Raises ``OSError``."""
    write_whole(path, json.dumps(value, indent=1).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; an earlier one stays until then. Raises ``OSError``."""
    with replacing(path) as scratch:
        scratch.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, of the same suffix; at the end of the block it takes ``path``'s place.

    If the block fails, an earlier file stays and nothing else is left. Raises ``OSError``.
    """
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        with contextlib.suppress(OSError):  # mostly it is not there any more
            scratch.unlink()


def sealed(text: str) -> str:
    """A text (YAML, a .conf) after a comment that says that we wrote it, and by which a later change shows."""
    return f"{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def is_sealed(path: Path) -> bool:
    """Whether we wrote the text in ``path`` and nobody changed it since. Raises ``OSError``."""
    head, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    return sealed(rest).startswith(f"{head}\n")


def read_json(path: Path) -> Any:
    """Return the parsed file, or ``None`` if it is missing or cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
