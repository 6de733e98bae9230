"""The tools with which a tree is spoilt, one mistake at a time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from mlperf_llama_base.files import sha256_of
from tests.harness.submission.runs import add_message, agree, edit_log

Values = dict[str, Any]


@dataclass(frozen=True)
class Spoiler:
    """A copy of the good tree: ``root`` holds ``tree`` and ``backup``."""

    root: Path

    @property
    def submitter(self) -> Path:
        return self.root / "tree" / "closed" / "ACME"

    @property
    def benchmark(self) -> Path:
        return self.submitter / "results" / "acme_8x" / "llama3.1-8b"

    @property
    def edge(self) -> Path:
        return self.submitter / "results" / "acme_edge" / "llama3.1-8b-edge"

    def scenario(self, name: str) -> Path:
        return self.edge / name.removeprefix("edge-") if name.startswith("edge-") else self.benchmark / name

    def log(self, name: str = "Server") -> Path:
        return self.scenario(name) / "performance" / "run_1" / DETAIL

    def accuracy(self, name: str = "Server") -> Path:
        return self.scenario(name) / "accuracy"

    def set(self, changes: Values, name: str = "Server") -> None:
        """Change the performance log, and the summary with it."""
        edit_log(self.log(name), changes)
        agree(self.log(name).parent)

    def error(self, text: str, name: str = "Server") -> None:
        add_message(self.log(name), text, error=True)

    def conf(self, text: str, name: str = "Server") -> None:
        (self.scenario(name) / "user.conf").write_text(text)

    def add_conf(self, text: str, name: str = "Server") -> None:
        path = self.scenario(name) / "user.conf"
        path.write_text(path.read_text() + text)

    def mapping(self, path: Path, changes: Values, *, drop: str = "") -> None:
        value = json.loads(path.read_text()) | changes
        value.pop(drop, None)
        path.write_text(json.dumps(value))

    @property
    def system(self) -> Path:
        return self.submitter / "systems" / "acme_8x.json"

    def describe(self, changes: Values, *, drop: str = "") -> None:
        self.mapping(self.system, changes, drop=drop)

    def measure(self, changes: Values, *, drop: str = "") -> None:
        self.mapping(self.scenario("Server") / "measurements.json", changes, drop=drop)

    def scores(self, pattern: str, replacement: str) -> None:
        """Replace in Server's accuracy.txt; the pattern must be there."""
        path = self.accuracy() / "accuracy.txt"
        text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
        assert count, pattern
        path.write_text(text)

    def move(self, source: Path, target: Path) -> None:
        if target.exists():
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)

    def test06(self, name: str = "Server") -> Path:
        return self.scenario(name) / "TEST06"

    def outputs(self, change: Callable[[list[Values]], list[Values] | None], name: str = "Server") -> None:
        """Change the entries of TEST06's log of outputs."""
        path = self.test06(name) / "accuracy" / ACCURACY
        entries = json.loads(path.read_text())
        entries = change(entries) or entries
        path.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")

    def verdict(self, old: str, new: str, name: str = "Server") -> None:
        path = self.test06(name) / "verify_accuracy.txt"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def cut(self, path: Path, share: float = 0.5) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])


def ids(*tokens: int) -> str:
    """LoadGen's hexadecimal form of token ids."""
    return b"".join(token.to_bytes(4, "little", signed=True) for token in tokens).hex().upper()


def audited(spoiler: Spoiler) -> None:
    """The performance log is TEST06's: LoadGen found an audit.config in its working directory."""
    run_1 = spoiler.test06() / "performance" / "run_1"
    for name in (DETAIL, SUMMARY):
        spoiler.move(run_1 / name, spoiler.log().with_name(name))


def other_test(spoiler: Spoiler) -> None:
    """A compliance test of other benchmarks, left there and cut off."""
    path = spoiler.scenario("Server") / "TEST01" / "performance" / "run_1" / DETAIL
    path.parent.mkdir(parents=True)
    path.write_text(spoiler.log().read_text()[:-30])


def short_offline(spoiler: Spoiler) -> None:
    """A fast system that was told target_qps 1: it is done long before 600 s, as LoadGen says."""
    times = {f"result_{p}_percentile_latency_ns": 30_000_000_000 for p in ("50.00", "90.00", "99.00", "99.90")}
    times |= {f"result_{name}_latency_ns": 30_000_000_000 for name in ("min", "max", "mean")}
    spoiler.set(times | {"result_validity": "INVALID", "result_min_duration_met": False}, "Offline")


def second_configuration(spoiler: Spoiler) -> None:
    """FromConfig was called twice in one process: seeds are 0, durations LoadGen's defaults."""
    for prefix in ("requested", "effective"):
        spoiler.set({f"{prefix}_{kind}_rng_seed": 0 for kind in ("qsl", "sample_index", "schedule")})
        spoiler.set({f"{prefix}_min_duration_ms": 10_000})
    spoiler.error("Multiple conf files are used.")


def interactive_as_scenario(spoiler: Spoiler) -> None:
    """FromConfig was given the scenario "Interactive", which no key of mlperf.conf has."""
    defaults = {"requested_server_ttft_latency": 100_000_000, "requested_server_tpot_latency": 100_000_000}
    spoiler.set(defaults | {f"{p}_min_duration_ms": 10_000 for p in ("requested", "effective")}, "Interactive")


def two_logs(spoiler: Spoiler) -> None:
    """An INVALID run's log, followed by a VALID one's."""
    good = spoiler.log().read_text()
    spoiler.set({"result_validity": "INVALID"})
    spoiler.log().write_text(spoiler.log().read_text() + good)


def whole_outputs(spoiler: Spoiler) -> None:
    """The complete log is published."""
    full = spoiler.root / "backup" / (spoiler.accuracy() / ACCURACY).relative_to(spoiler.root / "tree")
    shutil.copyfile(full, spoiler.accuracy() / ACCURACY)


def hash_of_short(spoiler: Spoiler) -> None:
    """The hash is that of the shortened log."""
    spoiler.scores(r"^hash=.*$", f"hash={sha256_of(spoiler.accuracy() / ACCURACY)}")


def large(spoiler: Spoiler) -> None:
    """A sparse file: large in its size only."""
    with (spoiler.submitter / "src" / "weights.bin").open("wb") as file:
        file.truncate(60 * 1024 * 1024)


def in_readme(spoiler: Spoiler, text: str) -> None:
    path = spoiler.scenario("Server") / "README.md"
    path.write_text(path.read_text() + text + "\n")


def empty_source(spoiler: Spoiler) -> None:
    (spoiler.submitter / "src").rename(spoiler.root / "src")
    (spoiler.submitter / "src").mkdir()
