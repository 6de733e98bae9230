"""The files of the accuracy run: accuracy.txt and its hash, the shortened list of outputs, the same code as in the
performance run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from harness.loadgen.accuracy_text import HASH, PATTERNS, no_numbers, read_count, read_scores
from harness.loadgen.log import ACCURACY
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, RULES
from harness.submission.accuracy_truncation import shortened
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory, not_utf8
from harness.submission.rules import MAX_ACCURACY_LOG_BYTES, TRUNCATION_MARK

accuracy_checks: Checks[ScenarioDirectory] = Checks()
SOURCE = f"{CHECKER}/checks/accuracy_check.py"
TRUNCATION = "mlcommons/inference tools/submission/truncate_accuracy_log.py"


def text_path(scenario: ScenarioDirectory) -> Path:
    return scenario.path / "accuracy" / "accuracy.txt"


def outputs_path(scenario: ScenarioDirectory) -> Path:
    return scenario.path / "accuracy" / ACCURACY


def read_text(scenario: ScenarioDirectory) -> str:
    path = text_path(scenario)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def whole_scores(scenario: ScenarioDirectory) -> Iterator[dict[str, float]]:
    """Each line of accuracy.txt that holds all scores."""
    scores = read_scores(read_text(scenario))
    if set(scores) == set(PATTERNS):
        yield from (dict(zip(scores, values, strict=True)) for values in zip(*scores.values(), strict=False))


def scored_samples(scenario: ScenarioDirectory) -> int | None:
    """``gen_num`` of accuracy.txt."""
    return read_count(read_text(scenario))


@accuracy_checks.rule("accuracy.scores", source=f"{SOURCE} (accuracy_result_check); constants.py, ACC_PATTERN")
def scores_are_readable(scenario: ScenarioDirectory) -> Iterator[Problem]:
    text, path = read_text(scenario), text_path(scenario)
    if not text:
        return
    if wrong := not_utf8(path):
        yield path, wrong
    for name, digits in no_numbers(text):
        yield path, f"{name} is {digits!r}, which is no number"
    scores = read_scores(text)
    for name in PATTERNS:
        values = scores.get(name, [])
        if not values and scenario.closed:  # open may report another metric
            hint = ": write a plain number, not np.int64(...)" if name == "gen_len" and "np." in text else ""
            yield path, f"has no {name} in the form that the official checker reads{hint}"
        elif len(values) > 1:
            yield path, f"has {len(values)} values of {name}: keep one line of results"


@accuracy_checks.rule("accuracy.hash", source=f"{SOURCE} (accuracy_result_check); {TRUNCATION}")
def hash_is_right(scenario: ScenarioDirectory) -> Iterator[Problem]:
    text, path, outputs = read_text(scenario), text_path(scenario), outputs_path(scenario)
    hashes = HASH.findall(text)
    if not text:
        return
    if not hashes and not scenario.closed:
        return  # the official checker takes an open result without one
    if not hashes:
        yield path, "has no line hash=<sha256 of the complete mlperf_log_accuracy.json>"
        return
    if len(set(hashes)) > 1:
        yield path, f"has {len(set(hashes))} different hashes"
    given = hashes[0].lower()
    if not re.fullmatch(r"[0-9a-f]{64}", given):
        yield path, f"the hash {hashes[0][:16]}… is no SHA-256"
        return
    if outputs.is_file():
        data = outputs.read_bytes()
        is_own = hashlib.sha256(data).hexdigest() == given
        is_short = TRUNCATION_MARK.encode() in data.replace(b"\r\n", b"\n")
        if is_short and is_own:
            yield path, "the hash is that of the shortened log: take it from the complete one, before shortening"
        if not is_short and not is_own:
            yield path, "the hash is not that of the complete log beside it"
    tree = scenario.submitter.tree
    if tree.backup is not None:
        full = tree.backup / outputs.relative_to(tree.root)
        if not full.is_file():
            yield path, f"the complete log is not in the backup ({full.relative_to(tree.backup)})"
        elif hashlib.sha256(full.read_bytes()).hexdigest() != given:
            yield path, "the hash is not that of the complete log in the backup"
        elif outputs.is_file() and not _is_from(outputs.read_bytes(), full.read_bytes()):
            yield outputs, "is not what shortening the complete log in the backup gives"


def _is_from(short: bytes, full: bytes) -> bool:
    """Whether ``short`` is ``full`` or what shortening it gives, in whatever way lines end."""
    wanted = {form.replace(b"\r\n", b"\n") for form in (full, shortened(full))}
    return short.replace(b"\r\n", b"\n") in wanted


@accuracy_checks.rule("accuracy.truncated", source=f"{SOURCE} (accuracy_json_check); {TRUNCATION}")
def outputs_are_short(scenario: ScenarioDirectory) -> Iterator[Problem]:
    path = outputs_path(scenario)
    if not path.is_file():
        return
    if path.stat().st_size > MAX_ACCURACY_LOG_BYTES:
        yield path, f"is not truncated: {path.stat().st_size} bytes, at most {MAX_ACCURACY_LOG_BYTES} are allowed"
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.strip(" \n[]") == "":
        yield path, "holds no output: this is not the log of an accuracy run"
    elif not re.match(r"\[\s*\{ ?\"seq_id\"", text) or not text.rstrip().endswith("]"):
        yield path, "is not what LoadGen wrote, shortened in the middle: it must begin with [ and end with ]"


@accuracy_checks.rule("accuracy.same-code", source=f"{RULES}, LoadGen Operation: same code in both modes")
def is_the_same_system(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if not (scenario.accuracy.exists and scenario.performance.exists):
        return
    for key in ("effective_scenario", "sut_name"):
        ran, measured = scenario.accuracy.values.get(key), scenario.performance.values.get(key)
        if ran != measured:
            yield scenario.accuracy_path, f"{key} is {ran!r}, {measured!r} in the performance run"


@accuracy_checks.rule(
    "accuracy.same-loadgen", source=f"{RULES}, LoadGen Operation: same code in both modes", weight=Weight.EXPLAIN
)
def is_the_same_loadgen(scenario: ScenarioDirectory) -> Iterator[Problem]:
    ran, measured = (log.values.get("loadgen_version") for log in (scenario.accuracy, scenario.performance))
    if ran and measured and ran != measured:
        yield scenario.accuracy_path, f"loadgen_version is {ran!r}, {measured!r} in the performance run"
