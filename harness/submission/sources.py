"""The code for ``src/``: this project as it ran."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from mlperf_llama_base.source import PACKAGES, ROOT

FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "user.conf", "mlperf.conf")
NOT_CODE = ("__pycache__",)


def copy_sources(target: Path) -> int:
    """Copy the packages, the packaging files and the scripts to ``target``; return the number of files.

    In a checkout only what git tracks, so that nothing private that lies about goes along.
    """
    tracked = _tracked()
    chosen = tracked if tracked else [p for name in PACKAGES for p in (ROOT / name).rglob("*.*")]
    chosen += [ROOT / name for name in FILES if not tracked]
    count = 0
    for path in chosen:
        relative = path.relative_to(ROOT)
        if not path.is_file() or any(part in NOT_CODE or part.startswith(".") for part in relative.parts):
            continue
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / relative)
        count += 1
    return count


def _tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        return []
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *PACKAGES, *FILES, "scripts"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [ROOT / name for name in done.stdout.split("\0") if name]
