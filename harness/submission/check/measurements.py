"""measurements.json, README and the calibration document: how the weights came to be what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, POLICIES, RULES
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory, Submitter, says_nothing
from harness.submission.rules import MEASUREMENT_FIELDS

measurement_checks: Checks[ScenarioDirectory] = Checks()
document_checks: Checks[Submitter] = Checks()
SOURCE = f"{CHECKER}/checks/measurements_checks.py"
NONE = ("no", "n/a", "false", "-")
LLAMA = re.compile(r"llama[-_ ]?v?([1-9](?:[._][0-9])?)(?![0-9b])", re.IGNORECASE)
UNTRANSFORMED = ("bf16", "bfloat16", "fp16", "float16", "fp32", "float32")


def transforms_weights(scenario: ScenarioDirectory) -> bool:
    """Whether measurements.json says that the weights are not the reference's own."""
    if not isinstance(scenario.measurements, dict):
        return False
    words = str(scenario.measurements.get("weight_transformations", "no")).lower()
    given = scenario.measurements.get("weight_data_types", "bf16")
    formats = ", ".join(map(str, given)).lower() if isinstance(given, list) else str(given).lower()
    return not words.startswith(NONE) or not formats.startswith(UNTRANSFORMED)


@measurement_checks.rule("measurements.file", source=f"{SOURCE} (missing_check)")
def is_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if scenario.measurements is None:
        yield scenario.measurements_path, "is missing"
    elif isinstance(scenario.measurements, str):
        yield scenario.measurements_path, scenario.measurements


@measurement_checks.rule("measurements.fields", source=f"{SOURCE} (required_fields_check)")
def fields_are_filled(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if isinstance(scenario.measurements, dict):
        for name in MEASUREMENT_FIELDS:
            value = scenario.measurements.get(name)
            if not value:
                yield scenario.measurements_path, f"field {name} must not be empty, is {value!r}"


@measurement_checks.rule("measurements.retraining", source=f"{RULES}, Closed Division: retraining is not allowed")
def nothing_was_retrained(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if scenario.closed and isinstance(scenario.measurements, dict):
        answer = scenario.measurements.get("retraining")
        if answer and not (str(answer).lower() == "n" or str(answer).lower().startswith(NONE)):
            division = scenario.submitter.division
            yield scenario.measurements_path, f"retraining is {answer!r}: not allowed in the {division} division"


@measurement_checks.rule(
    "measurements.weights", source=f"{RULES}, Benchmarks: Llama-3.1-8B-Instruct", weight=Weight.EXPLAIN
)
def weights_are_the_benchmarks(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """A file may have any name, but not another Llama's."""
    if scenario.closed and isinstance(scenario.measurements, dict):
        name = str(scenario.measurements.get("starting_weights_filename", ""))
        if (found := LLAMA.findall(name)) and "3.1" not in (version.replace("_", ".") for version in found):
            yield scenario.measurements_path, f"starting_weights_filename is {name!r}: the benchmark is Llama 3.1 8B"


@measurement_checks.rule("measurements.readme", source=f"{SOURCE} (required_files_check); {POLICIES}, READMEs")
def readme_is_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    path = scenario.path / "README.md"
    if not path.is_file():
        yield path, "is missing: it says how to repeat the run"
    elif says_nothing(path):
        yield path, "is empty"


@document_checks.rule("documentation.calibration", source=f"{RULES}, Weight Definition and Quantization")
def calibration_is_described(submitter: Submitter) -> Iterator[Problem]:
    transformed = any(
        transforms_weights(scenario)
        for system in submitter.systems
        for benchmark in system.benchmarks
        if benchmark.rules
        for scenario in benchmark.scenarios
    )
    named = (submitter.path / "documentation").glob("[cC][aA][lL][iI][bB]*")
    found = [path for path in named if path.is_file() and not says_nothing(path)]
    if submitter.closed and transformed and not found:
        path = submitter.path / "documentation" / "calibration.md"
        yield path, "is missing: the weights were transformed, the method must be described"
