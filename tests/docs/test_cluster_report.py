"""docs/cluster-report.md, which a real run left, has every item where docs/report.md says."""

from __future__ import annotations

import re

from mlperf_llama_base.source import ROOT

ITEM = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.M)
IF_ANY = {"23", "30", "32", "33"}  # what is said only of a run that has it, or with figures of its own


def test_every_item_of_the_list_stands_in_the_published_document() -> None:
    items = ITEM.findall((ROOT / "docs" / "report.md").read_text())
    page = (ROOT / "docs" / "cluster-report.md").read_text()
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    missing = [
        (number, section, label)
        for number, section, labels in items
        for label in re.findall(r"`([^`]+)`", labels)
        if number not in IF_ANY and label not in sections[section]
    ]
    assert len(items) == 34 and missing == []


def test_it_is_of_a_clean_revision_and_of_all_three_benchmarks() -> None:
    page = (ROOT / "docs" / "cluster-report.md").read_text()
    (revision,) = re.findall(r"^\| git\\_revision \| (\S+) \|$", page, re.M)
    assert re.fullmatch(r"[0-9a-f]{40}", revision)
    for part in ("datacenter", "distributed", "coordinated"):
        assert re.search(rf"^\| {part} \| (valid|not valid|too short for a verdict) \| [01] \|", page, re.M), part
