"""The one way to the user's terminal: what goes wrong there never ends a command, and foreign text does nothing there.

A reader that has gone away (``| head``, a closed window), a full disk behind ``>`` or a character that the terminal's
encoding lacks is no reason to lose a measurement. And what a server, an engine or a file said may hold escape sequences
that set the title or clear the screen: they are shown as ``�``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.text import harmless

if TYPE_CHECKING:
    from rich.console import Console

PIPED = (
    1000  # columns where nobody looks: no line of a table or a help is to be broken for a terminal that is not there
)
GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # nobody reads any more


class Output:
    """A text stream that goes silent when it cannot be written any more, instead of raising.

    ``trusted``: for the display, which moves the cursor; other text may have colours, no more.
    """

    def __init__(self, stream: Any, *, name: str, trusted: bool = False) -> None:
        self._stream = stream
        self._name = name
        self._trusted = trusted
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def trusted(self) -> Output:
        """The same stream for one who cleans what is foreign before."""
        return Output(self._stream, name=self._name, trusted=True)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text if self._trusted else harmless(text, display=True))
        except (OSError, ValueError) as error:
            self._silence(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._silence(error)

    def _silence(self, error: Exception) -> None:
        """From now on to nowhere, so that neither what is still buffered nor the interpreter's end stumbles over it."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if isinstance(error, OSError) and error.errno not in GONE and self._name == "stdout":
            sys.stderr.write(f"mlperf-llama: the output ends here ({error.strerror}); the command itself goes on\n")


def protect() -> None:
    """Lay ``Output`` over stdout and stderr of this process. What was closed before leads nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened becomes the standard output
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), Output):
            setattr(sys, name, Output(getattr(sys, name), name=name))


def is_piped(stream: Any) -> bool:
    """Whether ``stream`` leads to a file or a program, and nobody has said (``COLUMNS``) how wide it is."""
    return not (os.environ.get("COLUMNS") or stream.isatty())


def console(*, stderr: bool = False) -> Console:
    """A console for tables, colours and displays that redraw; the text in them is cleaned.

    Into a file or a pipe every row is one line, however long, and a heading has no rule around it.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Clean(Console):
        def render(self, *arguments: Any, **named: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **named):
                if segment.control or segment.text.isprintable() or segment.text == "\n":
                    yield segment
                else:
                    yield Segment(harmless(segment.text), segment.style)

        def rule(self, title: Any = "", **named: Any) -> None:
            if self.width == PIPED:
                self.print(title)
            else:
                super().rule(title, **named)

    stream = sys.stderr if stderr else sys.stdout
    file: Any = stream.trusted() if isinstance(stream, Output) else None
    return Clean(file=file, stderr=stderr, width=PIPED if is_piped(stream) else None)
