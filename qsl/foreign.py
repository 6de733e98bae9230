"""Names what people have in place of a data file: an archive, a page of a web server, a pointer of Git LFS."""

from __future__ import annotations

import codecs
from pathlib import Path

_MAGIC = (
    (b"\x1f\x8b", "compressed with gzip: decompress it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: decompress it first (unzstd)"),
    (b"\xfd7zXZ", "compressed with xz: decompress it first (unxz)"),
    (b"BZh", "compressed with bzip2: decompress it first (bunzip2)"),
    (b"PK\x03\x04", "a zip archive: unpack it first (unzip)"),
    (b"version https://git-lfs", "a Git LFS pointer and not the file itself: fetch it (git lfs pull)"),
    (codecs.BOM_UTF8, "UTF-8 with a byte-order mark: save it without the mark"),
    (codecs.BOM_UTF16_LE, "UTF-16 text: save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 text: save it as UTF-8"),
)
_HEAD = 512


def what_it_is(path: Path) -> str | None:
    """What ``path`` is and what to do with it, to follow "is"; None if nothing foreign is known of it.

    Raises ``OSError``.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page, such as an error message that a download got instead of the file: download it again"
    return None
