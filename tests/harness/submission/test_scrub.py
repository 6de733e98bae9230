"""Private data: found where it is, and versions and code are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.submission.identities import Identity, local_identity
from harness.submission.scrub import Scrubber, text_of_file
from harness.submission.sources import copy_sources
from tests.helpers.nobody import without_home

HERE = Identity(
    hosts=("gpu-rack-17", "server"), users=("erika", "root"), paths=("/srv/people/erika",), addresses=("203.0.113.9",)
)


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("token hf_abcDEF0123456789abcDEF here", "token <token> here"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "<token>"),
        ("AKIAABCDEFGHIJKLMNOP", "<token>"),
        ("Authorization: Bearer abc123def456ghi789", "Authorization: <token>"),
        ("password: hunter2hunter2", "password: <token>"),
        ('"api_key": "abcd1234efgh"', '"api_key": "<token>"'),
        ("HF_TOKEN=hf_abcDEF0123456789abcDEF", "HF_TOKEN=<token>"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "<token>"),
        ("--model /home/erika/models/llama", "--model ~/models/llama"),
        ("/Users/max.m/x", "~/x"),
        ("/srv/people/erika/models", "~/models"),
        ("ssh gpu-rack-17.example.com now", "ssh <host-name> now"),
        ("on gpu-rack-17: ok", "on <host-name>: ok"),
        ("--cluster 10.20.30.40:6379", "--cluster <address>:6379"),
        ("http://192.168.1.5:8000/v1", "http://<address>:8000/v1"),
        ("from 203.0.113.9", "from <address>"),
        ("owned by erika", "owned by <user-name>"),
    ],
)
def test_private_data_goes(text: str, scrubbed: str) -> None:
    scrubber = Scrubber(HERE)
    assert scrubber.scrub(text) == scrubbed
    assert list(scrubber.finds(text))
    assert not list(scrubber.finds(scrubber.scrub(text)))


@pytest.mark.parametrize(
    "text",
    [
        "cuda 12.8.1, cublas 10.2.0.163, driver 10.32.0.1",
        "torch==10.0.0.1",
        "127.0.0.1:8000 and 0.0.0.0",
        "8.8.8.8",
        "version 5.1.2.3.4",
        "eos_token_id: 128009, token_count=58",
        "api_key: str | None = None",
        "the root of the tree, /rooted and Server",
        "gpu-rack-170",
        "a server is measured",
        "erikas",
        "secret = settings.secret",
        "/usr/home",
        "cd /root/work",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert Scrubber(HERE).scrub(text) == text


def test_finds_tell_kind_and_line() -> None:
    finds = list(Scrubber(HERE).finds("one\ntwo erika\nthree 10.0.0.8\n"))
    assert [(find.kind, find.line, find.text) for find in finds] == [
        ("user name", 2, "erika"),
        ("address", 3, "10.0.0.8"),
    ]


def test_a_short_secret_is_not_shown_and_a_long_one_only_begins() -> None:
    assert [find.hint for find in Scrubber(HERE).finds("password: hunter22")] == ["…"]
    assert [find.hint for find in Scrubber(HERE).finds("hf_abcDEF0123456789abcDEF")] == ["hf_a…"]


def test_overlapping_finds_are_replaced_once() -> None:
    assert Scrubber(HERE).scrub("/home/erika erika /srv/people/erika/erika") == "~ <user-name> ~/<user-name>"


def test_nodes_of_a_cluster_are_private_too() -> None:
    scrubber = Scrubber(HERE.also(hosts=["blade-3", "gpu-rack-17"]))
    assert scrubber.scrub("blade-3 and gpu-rack-17") == "<host-name> and <host-name>"


def test_this_machine_has_an_identity_that_can_be_scrubbed() -> None:
    identity = local_identity()
    assert identity.paths and identity.hosts
    assert not any(address.startswith("127.") or address == "::1" for address in identity.addresses)
    for address in identity.addresses:
        assert Scrubber(identity).scrub(f"at {address}.") == "at <address>."


def test_a_user_without_a_name_and_a_home_has_none_to_scrub(monkeypatch: pytest.MonkeyPatch) -> None:
    without_home(monkeypatch)
    identity = local_identity()
    assert identity.hosts
    assert not identity.users and not identity.paths


def test_the_project_s_own_code_holds_nothing_private(tmp_path: Path) -> None:
    """It is copied into src/ and would be changed there."""
    assert copy_sources(tmp_path) > 50
    finds = {
        path: list(Scrubber(Identity()).finds(text_of_file(path) or ""))
        for path in tmp_path.rglob("*.*")
        if path.is_file()
    }
    assert {path: found for path, found in finds.items() if found} == {}


def test_binary_files_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\0\1\2")
    assert text_of_file(path) is None
    path.write_bytes("ümlaut".encode("latin-1"))
    assert text_of_file(path) == "�mlaut"
