"""What should not be published: every text file of the tree is searched."""

from __future__ import annotations

from collections.abc import Iterator

from harness.loadgen.rules import Weight
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import Tree

privacy_checks: Checks[Tree] = Checks()
SOURCE = "submissions are published as a repository (mlcommons/policies submission_rules.adoc)"


@privacy_checks.rule("privacy.secrets", source=SOURCE)
def no_secrets(tree: Tree) -> Iterator[Problem]:
    for path, find in tree.private:
        if find.kind == "token":
            yield path, f"line {find.line} holds a secret ({find.hint}): revoke it and remove it"


@privacy_checks.rule("privacy.identity", source=SOURCE, weight=Weight.EXPLAIN)
def no_identity(tree: Tree) -> Iterator[Problem]:
    for path, find in tree.private:
        of_an_author = find.kind == "e-mail" and "src" in path.relative_to(tree.root).parts
        if find.kind != "token" and not of_an_author:
            yield path, f"line {find.line}, private data ({find.kind}): {find.text}"
