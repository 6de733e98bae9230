"""Types are worked out by one thread, whichever needs them first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_llama_base.source import ROOT

# fresh types, each used for the first time by four threads at once
THREADS = """
import sys, threading
import msgspec
from mlperf_llama_base import typed

sys.setswitchinterval(1e-6)

def first_use(kind, start):
    start.wait()
    typed.convert({"one": {"some": [{"x": 1}]}, "more": {"a": {"x": 2}}}, kind)

for number in range(300):
    inner = msgspec.defstruct("Inner", [("x", int, 0), ("y", str, "")])
    middle = msgspec.defstruct("Middle", [("some", list[inner], []), ("z", float, 0.0)])
    outer = msgspec.defstruct("Outer", [("one", middle), ("more", dict[str, inner]), ("w", bytes, b"")])
    start = threading.Barrier(4)
    threads = [threading.Thread(target=first_use, args=(outer, start)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("done")
"""


def test_the_first_use_of_a_type_by_several_threads() -> None:
    """Without the lock this crashes on the spot (SIGSEGV in msgspec 0.22): see the module."""
    done = subprocess.run([sys.executable, "-c", THREADS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


UNGUARDED = re.compile(
    r"msgspec\.convert\(|decode\([^\n]*\btype=|^\s+.*msgspec\.\w+\.Decoder\((?!typed\.ready)", re.MULTILINE
)
SOURCES = [
    path for part in ("harness", "mlperf_llama_base", "qsl", "sut") for path in sorted((ROOT / part).rglob("*.py"))
]


@pytest.mark.parametrize("text", ["msgspec.convert(x, T)", "json.decode(x, type=T)", "    a = msgspec.json.Decoder(T)"])
def test_what_is_looked_for(text: str) -> None:
    assert UNGUARDED.search(text)
    assert not UNGUARDED.search("decode = msgspec.json.Decoder(T).decode")  # while a module is imported


def test_everything_goes_that_way() -> None:
    found = {str(path.relative_to(ROOT)): UNGUARDED.findall(path.read_text()) for path in SOURCES}
    found.pop(str(Path("mlperf_llama_base") / "typed.py"))
    assert {path: lines for path, lines in found.items() if lines} == {}
