"""What a document's command reads is made by a command that a document shows, further up where it is the same one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.helpers.documents import DOCUMENTS, Command, commands

READS = {"--dataset", "--calibration", "--evaluation", "--ids", "--user-conf-dir", "--backup", "--steps-of"}
MAKES = {"--output"}
FILE = re.compile(r"^(runs|tree)(/[\w./-]+)?$|^[\w-]+\.(json|parquet|jsonl|csv)$")
# not ours: MLCommons' list of calibration rows, in its own repository
FOREIGN = {"calibration-list.txt"}
ALL = list(commands(*DOCUMENTS))


def document(one: Command) -> str:
    return one.place.partition(":")[0]


def made(one: Command) -> set[str]:
    """What it leaves: its output, and for a submission tree the logs beside it."""
    found = {after for word, after in zip(one.words, one.words[1:], strict=False) if word in MAKES}
    if one.words[1:2] == ("quickstart",):
        found |= set(one.words[2:3]) or {"runs/quickstart"}
    return found | ({f"{name}-accuracy-logs" for name in found} if one.words[1:2] == ("submission",) else set())


def read(one: Command) -> Iterator[str]:
    """What must be there: values of options that name a file, and what follows the command itself."""
    if one.words[0] != "mlperf-llama":
        return
    previous = ""
    for word in one.words[1:]:
        named = previous in READS or not previous.startswith("--")
        if named and not word.startswith("--") and FILE.match(word) and one.words[1:2] != ("quickstart",):
            yield word
        previous = word


def there(name: str, by: set[str]) -> bool:
    """``runs/cluster/datacenter`` is there when ``runs/cluster`` is, and ``runs`` when anything in it is."""
    return any(name == path or name.startswith(f"{path}/") or path.startswith(f"{name}/") for path in by)


EVERYWHERE = {name for one in ALL for name in made(one)}


@pytest.mark.parametrize("one", [one for one in ALL if any(read(one))], ids=str)
def test_what_it_reads_is_made(one: Command) -> None:
    own = [other for other in ALL if document(other) == document(one)]
    before = {name for other in own[: own.index(one)] for name in made(other)}
    later = {name for other in own[own.index(one) :] for name in made(other)}
    for name in set(read(one)) - FOREIGN:
        assert there(name, EVERYWHERE), f"{one}: no document shows the command that makes {name}"
        assert there(name, before) or not there(name, later), f"{one}: {name} is made further down"


def test_it_finds_what_is_missing() -> None:
    found = {name for one in ALL for name in read(one)}
    assert {"cnn_eval.json", "w512.parquet", "w2000.parquet", "w13368.parquet", "runs"} <= found
