"""MLCommons' client: which one is installed, whether it is the pinned one and untouched, and how it is called.

A submission names the client's commit, and reviewers take that very code: so it runs from a git checkout, at the commit
that this project knows, without a change in it. Nothing is installed here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.rounds import ENDPOINTS
from mlperf_llama_base import typed
from mlperf_llama_base.errors import EnvironmentFault

NAME = "inference-endpoint"
VARIABLE = "MLPERF_ENDPOINTS_CLIENT"
EXTRAS = ("evaluate", "nltk", "rouge_score")  # what the client's ROUGE scorer imports, and does not require
INSTALL = (
    f"`git clone https://github.com/mlcommons/endpoints && git -C endpoints checkout {ENDPOINTS.client_commit} && "
    "python3.12 -m venv endpoints-client && "
    f"endpoints-client/bin/pip install -e ./endpoints {' '.join(EXTRAS)}`, then add --client endpoints-client or set "
    f"{VARIABLE} to it"
)
LOOK = """\
import importlib.util as u, json, sys
spec = u.find_spec("inference_endpoint")
missing = [n for n in sys.argv[1:] if u.find_spec(n) is None]
print(json.dumps([spec.origin if spec else None, missing, list(sys.version_info[:2])]))
"""
TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class Client:
    """The executable and what it is. ``checkout``: None for one that was not installed from a git checkout."""

    executable: Path
    checkout: Path | None = None
    commit: str | None = None
    changes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.executable.parent / "python"

    def faults(self) -> list[str]:
        """Why its results could not be submitted; empty for the pinned one, untouched."""
        if self.checkout is None:
            return [f"{self.executable} was not installed from a git checkout, so its results do not say which it was"]
        found = []
        if self.commit != ENDPOINTS.client_commit:
            found.append(f"{self.checkout} is at {self.commit}, not at {ENDPOINTS.client_commit}")
        if self.changes:
            more = f" and {len(self.changes) - 3} more" if len(self.changes) > 3 else ""
            found.append(f"{self.checkout} has changes: {', '.join(self.changes[:3])}{more}")
        return found


def find_client(given: Path | None) -> Client:
    """The client at ``given``, in the environment's variable, or on PATH, in this order; looked at, not judged.

    Raises ``EnvironmentFault`` with the commands that install it where there is none.
    """
    wanted = given or (Path(named) if (named := os.environ.get(VARIABLE)) else None)
    found = str(wanted) if wanted else shutil.which(NAME)
    if found is None:
        raise EnvironmentFault(
            f"MLCommons' endpoints client is not installed ({NAME} is not on PATH). Install it with {INSTALL}"
        )
    executable = Path(found) / "bin" / NAME if Path(found).is_dir() else Path(found)
    if not os.access(executable, os.X_OK) or not executable.is_file():
        raise EnvironmentFault(
            f"{executable} is not the endpoints client: it is no executable file. Install it with {INSTALL}"
        )
    executable = executable.absolute()
    origin, missing = _module(executable)
    checkout = _checkout(origin)
    if checkout is None:
        return Client(executable=executable, missing=missing)
    return Client(
        executable=executable,
        checkout=checkout,
        commit=_git(checkout, "rev-parse", "HEAD"),
        changes=(_git(checkout, "status", "--porcelain") or "").splitlines(),
        missing=missing,
    )


def require(client: Client, *, accuracy: bool) -> None:
    """Raises ``EnvironmentFault`` for a client of another version, a changed one, or one that cannot score."""
    if faults := client.faults():
        raise EnvironmentFault(
            f"the endpoints client cannot be used: {'; '.join(faults)}. Install the pinned one with {INSTALL}"
        )
    if accuracy and client.missing:
        raise EnvironmentFault(
            f"the endpoints client cannot score accuracy, its environment lacks {', '.join(client.missing)}: "
            f"{client.python} -m pip install {' '.join(client.missing)}"
        )


def _module(executable: Path) -> tuple[Path | None, list[str]]:
    """Where its package lies, and which of the scorer's packages are not there."""
    import msgspec

    python = executable.parent / "python"
    try:
        done = subprocess.run(
            [str(python), "-c", LOOK, *EXTRAS], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
        origin, missing, _ = typed.from_json(done.stdout, tuple[str | None, list[str], list[int]])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise EnvironmentFault(
            f"{executable} is not the endpoints client: {python} cannot be asked ({type(error).__name__}). "
            f"Install it with {INSTALL}"
        ) from error
    if origin is None:
        raise EnvironmentFault(
            f"{python} has no package inference_endpoint. Install the endpoints client with {INSTALL}"
        )
    return Path(origin), missing


def _checkout(origin: Path | None) -> Path | None:
    """The checkout that the package lies in as it does in MLCommons' repository; its own, not one around it."""
    if origin is None or origin.parent.parent.name != "src":
        return None
    top = _git(origin.parent, "rev-parse", "--show-toplevel")
    return Path(top) if top and Path(top) == origin.resolve().parents[2] else None


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip("\n")
