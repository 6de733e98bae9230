"""A corpus of secrets, of identities, and of what looks like them."""

from __future__ import annotations

import pytest

from harness.submission.identities import Identity
from harness.submission.scrub import Scrubber
from tests.harness.submission.corpus import HARMLESS, IDENTITIES, SECRETS

NOBODY = Scrubber(Identity())


def test_the_corpus_is_large_enough() -> None:
    assert len({text for text, _ in SECRETS}) >= 60
    assert len(set(HARMLESS)) >= 60


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_found_and_removed(text: str, secret: str) -> None:
    assert secret in text
    assert [find.kind for find in NOBODY.finds(f"a\n{text}\nb") if find.line >= 2]
    scrubbed = NOBODY.scrub(f"a\n{text}\nb")
    assert secret not in scrubbed
    assert not list(NOBODY.finds(scrubbed)), scrubbed


@pytest.mark.parametrize(("text", "private"), IDENTITIES)
def test_who_and_where_is_found_and_removed(text: str, private: str) -> None:
    assert private in text
    scrubbed = NOBODY.scrub(f"see {text} there")
    assert private not in scrubbed
    assert not list(NOBODY.finds(scrubbed)), scrubbed


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert [(find.kind, find.text) for find in NOBODY.finds(text)] == []


def test_a_secret_is_removed_to_its_last_character() -> None:
    assert NOBODY.scrub("password: Tr0ub4dor&3!xyz\n") == "password: <token>\n"
    assert NOBODY.scrub('api = "https://u:p4ss@acme.com/v1"') == 'api = "https://<token>@acme.com/v1"'
