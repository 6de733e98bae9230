"""systems/<id>.json: complete, meaningful, and in forms on which the official checker does not stumble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, POLICIES, RULES
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import System
from harness.submission.rules import NETWORK_FIELDS, NETWORK_SUT, STATUSES, SYSTEM_FIELDS, SYSTEM_TYPES
from harness.submission.system_description import BLANK, REHEARSAL

system_checks: Checks[System] = Checks()
SOURCE = f"{CHECKER}/checks/system_check.py"
LATER = ("tbd", "tba", "tbc", "todo", "fixme", "to be determined", "to be announced")
NO_ACCELERATOR = ("", "n/a", "na", "none", "no", "-", "0", "not applicable")


@system_checks.rule("system.file", source=f"{SOURCE} (missing_check); without it the official checker crashes")
def is_there(system: System) -> Iterator[Problem]:
    if system.description is None:
        yield system.description_path, "is missing"
    elif isinstance(system.description, str):
        yield system.description_path, system.description
    elif not system.description:
        yield system.description_path, "holds no field"


@system_checks.rule("system.fields", source=f"{SOURCE} (required_fields_check); {POLICIES}, system description")
def fields_are_there(system: System) -> Iterator[Problem]:
    if not system.fields:
        return
    for name, meaningful in SYSTEM_FIELDS.items():
        if name not in system.fields:
            yield system.description_path, f"field {name} is missing"
        elif meaningful and not system.fields[name]:
            hint = '; write "0" as a string' if system.fields[name] == 0 else ""
            yield system.description_path, f"field {name} needs a meaningful answer, is {system.fields[name]!r}{hint}"


@system_checks.rule("system.notes", source=f"{CHECKER}/results.py (notes)", weight=Weight.REFUSED)
def notes_are_texts(system: System) -> Iterator[Problem]:
    """The official checker adds one to the other where there are both."""
    hardware, software = (system.fields.get(name) for name in ("hw_notes", "sw_notes"))
    for name, value in (("hw_notes", hardware), ("sw_notes", software)):
        if software and value and not isinstance(value, str):
            yield system.description_path, f"field {name} must be a text, is {value!r}"


@system_checks.rule("system.blanks", source=f"{POLICIES}, system description: meaningful response required")
def blanks_are_filled(system: System) -> Iterator[Problem]:
    for name, value in system.fields.items():
        if isinstance(value, str) and (BLANK in value or value.strip().lower() in LATER):
            yield system.description_path, f"field {name} is still a blank to fill in"


@system_checks.rule("system.accelerators", source=f"{POLICIES}, system description", weight=Weight.EXPLAIN)
def accelerators_are_counted(system: System) -> Iterator[Problem]:
    name = str(system.fields.get("accelerator_model_name", "")).strip()
    if str(system.fields.get("accelerators_per_node")).strip() == "0" and name.lower() not in NO_ACCELERATOR:
        yield system.description_path, f"accelerators_per_node is 0, but accelerator_model_name is {name!r}"


@system_checks.rule("system.rehearsal", source="this checker: a tree that says that it is none", weight=Weight.EXPLAIN)
def is_no_rehearsal(system: System) -> Iterator[Problem]:
    if REHEARSAL in str(system.fields.get("sw_notes", "")):
        yield system.description_path, f"says {REHEARSAL!r}: its runs are valid, but not of the benchmark itself"


@system_checks.rule("system.counts", source=f"{CHECKER}/results.py (total_accelerators): int() of both")
def counts_are_numbers(system: System) -> Iterator[Problem]:
    for name in ("number_of_nodes", "accelerators_per_node"):
        if name not in system.fields:
            continue
        try:
            count = int(system.fields[name])
        except (TypeError, ValueError):
            yield system.description_path, f"field {name} must be a whole number, is {system.fields[name]!r}"
            continue
        if count < (1 if name == "number_of_nodes" else 0):
            yield system.description_path, f"field {name} cannot be {count}"


@system_checks.rule("system.status", source=f"{SOURCE} (availability_check)")
def status_is_known(system: System) -> Iterator[Problem]:
    status = system.fields.get("status")
    if system.fields and str(status).lower() not in STATUSES:
        yield system.description_path, f"status {status!r} is none of {', '.join(STATUSES)}"


@system_checks.rule("system.type", source=f"{SOURCE} (system_type_check)")
def type_is_known(system: System) -> Iterator[Problem]:
    kind = system.fields.get("system_type")
    if system.fields and kind not in SYSTEM_TYPES:
        yield system.description_path, f"system_type {kind!r} is none of {'; '.join(SYSTEM_TYPES)}"


@system_checks.rule("system.owner", source=f"{SOURCE} (submitter_check, division_check)")
def belongs_here(system: System) -> Iterator[Problem]:
    for field, wanted in (("submitter", system.submitter.path.name), ("division", system.submitter.division)):
        value = system.fields.get(field)
        if system.fields and str(value).lower() != wanted.lower():
            yield system.description_path, f"{field} is {value!r}, the directory says {wanted!r}"


@system_checks.rule("system.network", source=f"{SOURCE} (network_check, required_fields_check)")
def network_mode_is_right(system: System) -> Iterator[Problem]:
    path, value = system.description_path, system.fields.get("is_network")
    if system.submitter.division == "network":
        if not system.is_network:
            yield path, f'is_network must be "true" in the network division, is {value!r}'
        yield from _network_fields(system, "network division")
    elif value is not None and not isinstance(value, str):
        yield path, f"is_network must be a string or left out, is {value!r}"
    elif value and system.submitter.division == "closed":
        yield path, f"leave is_network out in closed: {value!r} makes the official checker ask for the network fields"
    elif value:
        yield from _network_fields(system, f"is_network is {value!r}")


def _network_fields(system: System, why: str) -> Iterator[Problem]:
    for name in NETWORK_FIELDS:
        if system.fields and name not in system.fields:
            yield system.description_path, f"field {name} is missing ({why})"


@system_checks.rule("system.network-name", source=f"{CHECKER}/checks/performance_check.py (network_check)")
def loadgen_saw_a_network_system(system: System) -> Iterator[Problem]:
    """The name that the performance log has for the system."""
    for scenario in (s for b in system.benchmarks if b.rules for s in b.scenarios) if system.is_network else ():
        name = scenario.performance.text("sut_name") or ""
        if scenario.performance.exists and NETWORK_SUT not in name:
            yield scenario.performance_path, f"sut_name {name!r} must contain {NETWORK_SUT!r} in the network division"


@system_checks.rule("system.ecc", source=f"{RULES}, Minimum requirements of a datacenter system: ECC")
def ecc_is_on(system: System) -> Iterator[Problem]:
    notes = " ".join(str(system.fields.get(name, "")) for name in ("hw_notes", "host_memory_configuration")).lower()
    if "datacenter" in str(system.fields.get("system_type")) and ("ecc off" in notes or "ecc disabled" in notes):
        yield system.description_path, "says that ECC is off: a datacenter system must have it enabled in every run"


@system_checks.rule("system.power-file", source=f"{CHECKER}/loader.py", weight=Weight.REFUSED)
def nameplate_can_be_read(system: System) -> Iterator[Problem]:
    """The official checker reads it, power or not."""
    path = nameplate(system)
    try:
        if path.exists():
            yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        yield path, f"is no YAML: {' '.join(str(error).split())}: the official checker stops there"


def nameplate(system: System) -> Path:
    return system.description_path.with_name(f"{system.path.name}_power.yaml")


@system_checks.rule("system.power", source=f"{SOURCE} (nameplate_power_check)", weight=Weight.EXPLAIN)
def nameplate_is_there(system: System) -> Iterator[Problem]:
    has_power = any(s.path.joinpath("performance", "power").is_dir() for b in system.benchmarks for s in b.scenarios)
    if has_power and "system_power_capacity" not in system.fields and not nameplate(system).is_file():
        yield (
            nameplate(system),
            "is missing, and the description has no system_power_capacity, though power was measured",
        )
