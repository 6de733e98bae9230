"""A process whose user id has no passwd entry and no HOME, as containers with an arbitrary user id have it."""

from __future__ import annotations

import pwd

import pytest


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the home and the name of this user away."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
