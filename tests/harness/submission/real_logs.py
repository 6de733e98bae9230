"""Trees of real submissions for tests: ``tests/data/real_logs.tar.xz`` unpacked, and variants laid over a base."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).resolve().parents[2] / "data" / "real_logs.tar.xz"


def unpack(target: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(target, filter="data")
    return target


def lay(variant: Path, base: Path, target: Path) -> Path:
    """A copy of ``base`` with the files of ``variant`` over it; its DELETE and RENAME are obeyed."""
    shutil.copytree(base, target)
    for path in sorted(variant.rglob("*")):
        if path.is_file() and path.name not in ("DELETE", "RENAME"):
            (target / path.relative_to(variant)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.relative_to(variant))
    for name in _lines(variant / "DELETE"):
        gone = target / name
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    for pair in _lines(variant / "RENAME"):
        old, new = pair.split("\t")
        (target / old).rename(target / new)
        for system in (target / new / "systems").glob("*.json"):
            fields = json.loads(system.read_text()) | {"submitter": Path(new).name}
            system.write_text(json.dumps(fields))
    return target


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
