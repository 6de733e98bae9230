"""A round is data: its numbers stand in its own file and nowhere else in the product."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import Benchmark, Scenario
from harness.rounds import ROUND

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for package in ("harness", "qsl", "sut", "mlperf_llama_base")
    for path in (ROOT / package).rglob("*.py")
    if path.parent != ROOT / "harness" / "rounds"
)
LIMITS = {value for limits in ROUND.limits_ns.values() for value in limits if value > 10**8}
REFERENCES = {target.reference for b in ROUND.benchmarks.values() for target in b.targets.values()}
NUMBERS = (
    {*ROUND.seeds.values(), *ROUND.audit_settings.values()} - set(range(1000))
    | {b.samples for b in ROUND.benchmarks.values()}
    | {ROUND.min_duration_ms, ROUND.max_target_latency_ns}
    | LIMITS
    | REFERENCES
)
TEXTS = {f"{number:,}" for number in NUMBERS if number >= 1000} | set(ROUND.models) | {ROUND.version}
TEXT = re.compile(rf"(?<![\d,])({'|'.join(map(re.escape, TEXTS))})(?!\d)")
OTHER_MEANING = {  # the same digits for another thing
    ("sut/dispatcher.py", 2_000_000_000),  # SPEED_WINDOW_NS
}


def constants(path: Path) -> Iterator[tuple[int, object]]:
    """Line and value of every constant in the code; docstrings are none."""
    tree = ast.parse(path.read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in told:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_numbers_of_the_round_stand_in_its_file_only(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    found = [
        f"{name}:{line}: {value!r}"
        for line, value in constants(path)
        if (type(value) in (int, float) and value in NUMBERS and (name, value) not in OTHER_MEANING)
        or (isinstance(value, str) and TEXT.search(value))
    ]
    assert not found


def test_the_search_finds_what_it_should(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text('"""Of 13,368."""\nCOUNT = 13_368\nTEXT = f"of 13,368 {COUNT}"\n')
    assert [value for _, value in constants(code)] == [13368, "of 13,368 "]
    assert {13368, 5000, 600_000, 2_000_000_000, 38.7792, 2085463073848966840} <= NUMBERS
    assert {"13,368", "llama3_1-8b-edge", "v6.1"} <= TEXTS


def test_every_scenario_of_the_round_has_a_model_name_and_limits() -> None:
    for benchmark in Benchmark:
        data = ROUND.benchmarks[benchmark]
        assert set(data.models) == set(data.scenarios) == set(benchmark.scenarios)
        assert {"server", "interactive"} & set(data.scenarios) <= set(ROUND.limits_ns)
    assert Benchmark.DATACENTER.model_name(Scenario.INTERACTIVE) == "llama3_1-8b-interactive"


def test_another_round_is_another_value() -> None:
    """Nothing in a round is computed at import from another one."""
    other = dataclasses.replace(ROUND, audit_settings={"accuracy_log_sampling_target": 7})
    assert (other.audited_samples, ROUND.audited_samples) == (7, 100)
