"""Nothing private gets published: tokens, user names, home directories, host names and addresses are found and removed.

A submission is a public repository. Texts that this project writes or copies are scrubbed; LoadGen's own logs must not
be altered (mlcommons/policies submission_rules.adoc, Logging requirements), so there a find stops the build instead.
"""

from __future__ import annotations

import getpass
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

SECRETS = re.compile(
    r"\b(?:"
    r"hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}"  # GitLab
    r"|sk-[A-Za-z0-9_-]{20,}"  # OpenAI and others
    r"|nvapi-[\w-]{20,}"
    r"|AKIA[0-9A-Z]{16}\b"  # AWS
    r"|AIza[\w-]{30,}"  # Google
    r"|xox[abprs]-[\w-]{10,}"  # Slack
    r"|Bearer\s+(?=\S*\d)[\w.~+/-]{16,}"
    r")|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
ASSIGNED = re.compile(
    r"(?:api[_-]?key|password|passwd|secret|access[_-]?token|auth[_-]?token|hf[_-]?token)\b"
    r"[\"']?\s*[:=]\s*[\"']?(?P<value>(?=[^\s\"']*\d)(?=[^\s\"']*[A-Za-z])[\w+/.~-]{8,})",
    re.IGNORECASE,
)
HOME = re.compile(r"(?<![\w.])/(?:home|Users)/[A-Za-z0-9._-]+|(?<![\w.])/root(?=[/\s'\":,;)]|$)", re.MULTILINE)
QUAD = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w]|\.\d)")
# What stands before a version such as cuBLAS 10.2.0.163, which looks like an address
VERSION = re.compile(
    r"(?:==|>=|<=|~=|version|driver|cuda|cudnn|cublas\w*|nccl|tensorrt|rocm|kernel|firmware|bios|[\s(]v|^v)[\s:\"'=-]*$",
    re.IGNORECASE,
)
# Long logs are searched for these before a slow pattern is tried
ASSIGNED_HINTS = ("passw", "secret", "key", "token")
HOME_HINTS = ("/home/", "/Users/", "/roo")
COMMON_NAMES = frozenset({"root", "user", "users", "ubuntu", "admin", "nobody", "runner", "docker", "test", "home"})
COMMON_HOSTS = frozenset({"localhost", "host", "node", "server", "worker", "gpu", "local", "linux", "ubuntu", "debian"})


@dataclass(frozen=True)
class Find:
    """Something private in a text: its ``kind``, the ``line`` it stands in (from 1) and the ``text`` itself."""

    kind: str
    line: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Words that tell where a run was made. Beyond these, patterns find what has a known form."""

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def also(self, *, hosts: Iterable[str] = ()) -> Identity:
        """This identity with further host names, the nodes of a cluster say."""
        return Identity(
            hosts=tuple(dict.fromkeys((*self.hosts, *hosts))),
            users=self.users,
            paths=self.paths,
            addresses=self.addresses,
        )


def local_identity() -> Identity:
    """The names and addresses of this machine and of who uses it."""
    addresses = {
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
    loopback = {a for a in addresses if ipaddress.ip_address(a).is_loopback}
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""  # a container without a passwd entry
    return Identity(
        hosts=(socket.gethostname().partition(".")[0],),  # not getfqdn, which may wait for a name server
        users=(user,) if user else (),
        paths=(str(Path.home()),),
        addresses=tuple(sorted(addresses - loopback)),
    )


class Scrubber:
    """Finds and removes what is private, given what is known of the machine."""

    def __init__(self, identity: Identity) -> None:
        hosts = [h for h in identity.hosts if len(h) > 2 and h.lower() not in COMMON_HOSTS]
        users = [u for u in identity.users if len(u) > 2 and u.lower() not in COMMON_NAMES]
        paths = [p for p in identity.paths if p.count("/") > 1]  # root's own is found by pattern
        self.words = [
            (kind, word, re.compile(rf"(?<![\w-]){re.escape(word)}{tail}(?![\w-])"))
            for kind, words, tail in (
                ("home path", paths, ""),
                ("address", identity.addresses, ""),
                ("host name", hosts, r"(?:\.[A-Za-z][\w-]*)*"),  # with its domain
                ("user name", users, ""),
            )
            for word in words
        ]

    def finds(self, text: str) -> Iterator[Find]:
        """Yield everything private in ``text``, each place once."""
        places = {(start, end): kind for kind, start, end in self._spans(text)}
        for (start, end), kind in sorted(places.items()):
            yield Find(kind, text.count("\n", 0, start) + 1, text[start:end])

    def scrub(self, text: str) -> str:
        """Return ``text`` with everything private replaced by a word in angle brackets (``~`` for home directories)."""
        spans = sorted(self._spans(text), key=lambda span: (span[1], -span[2]))
        parts, position = [], 0
        for kind, start, end in spans:
            if start < position:
                continue  # inside one that is replaced already
            parts += [text[position:start], "~" if kind == "home path" else f"<{kind.replace(' ', '-')}>"]
            position = end
        return "".join(parts) + text[position:]

    def _spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        for match in SECRETS.finditer(text):
            yield "token", *match.span()
        lower = text.lower()
        if any(hint in lower for hint in ASSIGNED_HINTS):
            for match in ASSIGNED.finditer(text):
                yield "token", *match.span("value")
        if any(hint in text for hint in HOME_HINTS):
            for match in HOME.finditer(text):
                yield "home path", *match.span()
        for match in QUAD.finditer(text):
            if _is_private(match[1]) and not VERSION.search(text[max(0, match.start() - 24) : match.start()]):
                yield "address", *match.span()
        for kind, word, pattern in self.words:
            if word in text:
                for match in pattern.finditer(text):
                    yield kind, *match.span()


def _is_private(text: str) -> bool:
    """RFC 1918, 3927 and 6598, by their octets: written out as addresses they would be scrubbed from this very file."""
    first, second, *rest = (int(octet) for octet in text.split("."))
    if max(first, second, *rest) > 255:
        return False
    return (
        first == 10
        or (first, second) in ((192, 168), (169, 254))
        or (first == 172 and 16 <= second < 32)
        or (first == 100 and 64 <= second < 128)
    )


def read_text(path: Path) -> str | None:
    """The text of a file, or None where it is no text (a zero byte in its first 8 KiB)."""
    data = path.read_bytes()
    return None if b"\0" in data[:8192] else data.decode("utf-8", errors="replace")
