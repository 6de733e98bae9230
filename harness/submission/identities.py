"""What identifies a person or a machine in a text: users, hosts, addresses, devices, by form or by name."""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from harness.submission.secrets import lines_with

Find = tuple[str, int, int]
"""Kind, start, end."""
HOME = re.compile(
    r"(?<![\w.:~-])(?:/[\w.-]+)*?/(?:home|homes|Users|users)/(?!(?:\$|<|%|USER\b|NAME\b|user/))[A-Za-z0-9._-]+"
    r"|(?<!\w)[A-Za-z]:\\{1,2}(?:Users|Documents and Settings)\\{1,2}(?!<|%)[^\\/\s\"'<>|:]+"
)
HOME_HINTS = re.compile(r"/homes?/|[/\\]users[/\\]|settings\\", re.IGNORECASE)
QUAD = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w]|\.\d)")
# What stands before a version such as cuBLAS 10.2.0.163, which looks like an address
VERSION = re.compile(
    r"(?:==|>=|<=|~=|version|driver|cuda|cudnn|cublas\w*|nccl|tensorrt|rocm|kernel|firmware|bios|[\s(]v|^v)[\s:\"'=-]*$",
    re.IGNORECASE,
)
IPV6 = re.compile(r"(?<![\w:.])(?:fe80|f[cd][0-9a-f]{2}|[23][0-9a-f]{3}):[0-9a-f:]*[0-9a-f](?![\w:])", re.IGNORECASE)
MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})(?![\w:-])", re.IGNORECASE)
UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
DEVICE = re.compile(rf"\b(?:GPU|MIG)-(?:GPU-)?{UUID}(?:/\d+/\d+)?", re.IGNORECASE)
EMAIL = re.compile(
    r"(?<![\w.+/:-])[\w.+-]+@(?:[A-Za-z0-9-]+\.)+(?:com|org|net|edu|gov|io|ai|dev|de|fr|uk|eu|ch|at|jp|cn|kr|in|us|ca)"
    r"\b(?![\w(:]|\.[a-z])"
)
PUBLIC_EMAIL = re.compile(
    r"^git@|no-?reply@|@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|users\.noreply\.github\.com)$", re.IGNORECASE
)
LABELS, TAIL = r"(?:[a-z0-9][\w-]*\.)+", r"\b(?![\w(=\[-]|\.\w)"
AT = re.compile("@")
HOSTS = (  # what the line must hold, and the pattern
    (
        r"\.(?:intranet|lan|corp|localdomain|home\.arpa|cluster\.local)",
        rf"(?<![\w.@/-]){LABELS}(?:intranet|lan|corp|localdomain|home\.arpa|cluster\.local){TAIL}",
    ),
    # "sut.workers.local" is a module: where the domain is a word of programs, a digit or a hyphen makes the host
    (r"\.(?:local|internal|intra)", rf"(?<![\w.@/-])(?=[\w.]*[\d-]){LABELS}(?:local|internal|intra){TAIL}"),
    ("://|@", rf"(?:(?<=://)|(?<=@)){LABELS}(?:local|internal|intra|intranet|lan|corp|localdomain){TAIL}"),
    ("://", r"(?<=://)[a-z][\w-]*\d[\w-]*(?=:\d{2,5}\b|/)"),  # http://gpu17:8000: no such name is public
    (r":\d{4,5}\b", r"(?<![\w./:-])[a-z](?=[\w-]*\d:)[\w-]*(?=:\d{4,5}\b)"),
    ("ssh ", r"(?<=\bssh )(?:[\w.-]+@)?[a-z][\w.-]*\d[\w.-]*\b"),
)
HOST = tuple((re.compile(hint, re.IGNORECASE), re.compile(pattern, re.IGNORECASE)) for hint, pattern in HOSTS)
COMMON_NAMES = frozenset({"root", "user", "users", "ubuntu", "admin", "nobody", "runner", "docker", "test", "home"})
COMMON_HOSTS = frozenset({"localhost", "host", "node", "server", "worker", "gpu", "local", "linux", "ubuntu", "debian"})
NO_HOST = re.compile(
    r"^(?:(?:host|node|server|worker|gpu|group|rank|line|port|member|localhost)-?\d*$|kubernetes\.|host\.docker\.)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known of the machine and of who uses it."""

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def also(self, *, hosts: Iterable[str] = ()) -> Identity:
        """This identity with further host names, the nodes of a cluster say."""
        return replace(self, hosts=tuple(dict.fromkeys((*self.hosts, *hosts))))

    def words(self) -> list[tuple[str, str, re.Pattern[str]]]:
        """Kind, word and pattern of what is private here; common names are left out, for they say nothing."""
        hosts = [h for h in self.hosts if len(h) > 2 and h.lower() not in COMMON_HOSTS]
        users = [u for u in self.users if len(u) > 2 and u.lower() not in COMMON_NAMES]
        paths = [p for p in self.paths if p.count("/") > 1]
        return [
            (kind, word, re.compile(rf"(?<![\w-]){re.escape(word)}{tail}(?![\w-])"))
            for kind, words, tail in (
                ("home path", paths, ""),
                ("address", self.addresses, ""),
                ("host name", hosts, r"(?:\.[A-Za-z][\w-]*)*"),  # with its domain
                ("user name", users, ""),
            )
            for word in words
        ]


def local_identity() -> Identity:
    """The names and addresses of this machine and of who uses it."""
    addresses = {
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
    loopback = {a for a in addresses if ipaddress.ip_address(a).is_loopback}
    user = home = ""  # they stay so in a container without a passwd entry
    with contextlib.suppress(KeyError, OSError):
        user = getpass.getuser()
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
    return Identity(
        hosts=(socket.gethostname().partition(".")[0],),  # not getfqdn, which may wait for a name server
        users=(user,) if user else (),
        paths=(home,) if home else (),
        addresses=tuple(sorted(addresses - loopback)),
    )


def identities(text: str) -> Iterator[Find]:
    """What identifies a person or a machine by its form alone."""
    for start, end in lines_with(text, HOME_HINTS):
        yield from (("home path", *match.span()) for match in HOME.finditer(text, start, end))
    for match in QUAD.finditer(text):
        if is_private_address(match[1]) and not VERSION.search(text[max(0, match.start() - 24) : match.start()]):
            yield "address", *match.span()
    for match in IPV6.finditer(text):
        if is_own_ipv6(match[0]):
            yield "address", *match.span()
    for match in MAC.finditer(text):
        if len(set(match[0].lower()) - set(":-")) > 1:  # not 00:00:... and ff:ff:...
            yield "hardware address", *match.span()
    for match in DEVICE.finditer(text):
        if len(set(match[0].lower()) & set("0123456789abcdef")) > 4:
            yield "device id", *match.span()
    for start, end in lines_with(text, AT):
        for match in EMAIL.finditer(text, start, end):
            if not PUBLIC_EMAIL.search(match[0]):
                yield "e-mail", *match.span()
    for hint, pattern in HOST:
        for start, end in lines_with(text, hint):
            for match in pattern.finditer(text, start, end):
                if not NO_HOST.search(match[0]):
                    yield "host name", *match.span()


def is_private_address(text: str) -> bool:
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


def is_own_ipv6(text: str) -> bool:
    """An IPv6 address of somebody: not loopback, not of the documentation (RFC 3849), not a clock time or a slice."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    documentation = address in ipaddress.IPv6Network("2001:db8::/32")
    return not (address.is_loopback or address.is_unspecified or documentation)
