"""systems/<id>.json: what the machine says of itself, and a small YAML for what only its owner knows.

The YAML is written once, with what was detected filled in and the rest marked as blank; the build goes on when no
blank is left. Fields and their meaning: mlcommons/policies submission_rules.adoc, system description metadata.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml

from harness.inventory.machine import Cpu, Gpus, Machine, Memory, NetworkCard, OperatingSystem
from harness.rundir.session import Engine
from harness.submission.rules import STATUSES, SYSTEM_FIELDS
from mlperf_llama_base.errors import UserError, nearest

BLANK = "FILL IN"
REHEARSAL = "REHEARSAL, NOT A SUBMISSION"
GIVEN = ("division", "submitter", "system_type")  # follow from the command line and the runs
ASKED = {  # fields that no program can know, with the question for a person
    "system_name": "the system's name as it is to be published",
    "status": "available, preview or rdi",
    "cooling": "air-cooled, liquid-cooled, ...",
    "host_networking_topology": "how the nodes are connected; N/A for one node",
    "host_memory_configuration": "modules and kind, as in 12 x 32GB DDR5-4800",
    "accelerator_memory_configuration": "kind of memory, as in HBM3",
}
HEADER = """\
# The system description of {system_id}. Detected values are filled in: correct what is wrong.
# Replace every {blank!r}; then run the same command again. The required fields are listed in
# mlcommons/policies submission_rules.adoc; 'submitter' and 'division' come from the command line.
"""


def draft(*, machine: Machine, engine: Engine, nodes: int, accelerators: int | None) -> dict[str, str]:
    """Return the fields of a description, blanks included.

    ``accelerators``: GPUs per node that worked; None: all that are there.
    """
    fields = dict.fromkeys(SYSTEM_FIELDS, "")
    fields |= {name: f"{BLANK}: {question}" for name, question in ASKED.items()}
    fields["number_of_nodes"] = str(nodes)
    fields |= _host(machine) | _accelerator(machine.gpu or Gpus(), accelerators) | _software(machine, engine)
    if nodes == 1:
        fields["host_networking_topology"] = "N/A"
    for name, meaningful in SYSTEM_FIELDS.items():
        if meaningful and not fields[name] and name not in GIVEN:
            fields[name] = f"{BLANK}: could not be detected"
    return {name: text for name, text in fields.items() if name not in GIVEN}


def _host(machine: Machine) -> dict[str, str]:
    cpu, memory = machine.cpu or Cpu(), machine.memory or Memory()
    sockets = cpu.sockets or 1
    fields = {
        "host_processor_model_name": cpu.model or "",
        "host_processors_per_node": str(sockets),
        "host_processor_core_count": str(cpu.cores // sockets) if cpu.cores else "",
        "host_processor_frequency": f"{cpu.max_mhz:.0f} MHz" if cpu.max_mhz else "",
        "host_processor_caches": ", ".join(f"{level}: {size}" for level, size in cpu.caches.items()),
        "host_memory_capacity": _gib(memory.bytes),
    }
    if memory.configuration:
        fields["host_memory_configuration"] = memory.configuration
    if disks := machine.storage:
        sizes = Counter(f"{disk.bytes / 1e9:.0f} GB" for disk in disks)
        fields["host_storage_capacity"] = " + ".join(f"{count} x {size}" for size, count in sizes.items())
        fields["host_storage_type"] = " + ".join(sorted({disk.type for disk in disks}))
    if cards := machine.network:
        kinds = Counter(_card(card) for card in cards)
        fields["host_networking"] = " + ".join(kinds)
        fields["host_network_card_count"] = " + ".join(f"{count} x {kind}" for kind, count in kinds.items())
    return fields


def _card(card: NetworkCard) -> str:
    speed = card.mbit_s
    return card.type + (f" {speed / 1000:g} Gbit/s" if speed and speed > 0 else "")


def _gib(number: int | None) -> str:
    return f"{number / 2**30:.0f} GiB" if number else ""


def _accelerator(gpu: Gpus, count: int | None) -> dict[str, str]:
    devices = gpu.devices
    if not devices or count == 0:
        names = [name for name in SYSTEM_FIELDS if name.startswith("accelerator")]
        return dict.fromkeys(names, "N/A") | {"accelerators_per_node": "0"}  # integer 0 would count as empty
    first = devices[0]
    ecc = {device.ecc for device in devices}
    fields = {
        "accelerators_per_node": str(count or len(devices)),
        "accelerator_model_name": " + ".join(sorted({device.name for device in devices})),
        "accelerator_memory_capacity": _gib(first.memory_bytes),
        "accelerator_host_interconnect": first.pcie or "",
        "accelerator_interconnect": gpu.interconnect or "",
        "accelerator_frequency": f"{first.max_sm_clock_mhz} MHz" if first.max_sm_clock_mhz else "",
    }
    if power := first.power_limit_w:
        fields["hw_notes"] = f"Power limit {power:.0f} W per accelerator"
    if None not in ecc:
        state = "ECC on" if ecc == {True} else "ECC off"
        fields["hw_notes"] = "; ".join(note for note in (fields.get("hw_notes"), state) if note)
    return fields


def _software(machine: Machine, engine: Engine) -> dict[str, str]:
    gpu, system = machine.gpu or Gpus(), machine.os or OperatingSystem()
    named = [f"{word} {version}" for word, version in (("driver", gpu.driver), ("CUDA", gpu.cuda)) if version]
    skip = {engine.name, "msgspec", "pyzmq", "evaluate", "rouge-score", "rouge-score-rs", "nltk"}
    named += [f"{name} {version}" for name, version in machine.software.items() if name not in skip]
    revision = machine.git_revision
    return {
        "framework": f"{engine.name} {engine.version}" if engine.name else "",
        "other_software_stack": ", ".join(named),
        "operating_system": f"{system.name or ''} ({system.kernel or 'kernel unknown'})".strip(),
        "sw_notes": f"mlperf-llama at {revision[:12]}" if revision else "mlperf-llama",
    }


def write_yaml(path: Path, fields: dict[str, str], *, system_id: str) -> None:
    """Write the YAML for a person to complete, the blanks first."""
    ordered = sorted(fields.items(), key=lambda item: BLANK not in item[1])
    body = yaml.safe_dump(dict(ordered), sort_keys=False, allow_unicode=True, width=110)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER.format(system_id=system_id, blank=BLANK) + body)


def read_yaml(path: Path) -> dict[str, str]:
    """Read a completed YAML. Raises ``UserError`` naming what is left blank, unknown or no plain value."""
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"system description {path} cannot be read: {' '.join(str(error).split())[:160]}") from error
    if not isinstance(value, dict):
        raise UserError(f"system description {path} must be a mapping of fields")
    known = {*SYSTEM_FIELDS, "host_processor_vcpu_count", "system_power_capacity"}
    fields: dict[str, str] = {}
    for name, text in value.items():
        if name not in known:
            raise UserError(f"system description {path}: field {name!r} is not known{nearest(str(name), known)}")
        if isinstance(text, dict | list):
            raise UserError(f"system description {path}: field {name} must be one line of text")
        fields[name] = "" if text is None else str(text)
    blanks = [name for name, text in fields.items() if BLANK in text]
    empty = [name for name, needed in SYSTEM_FIELDS.items() if needed and name not in GIVEN and not fields.get(name)]
    if blanks or empty:
        names = ", ".join(dict.fromkeys(blanks + empty))
        raise UserError(f"system description {path} is not complete: fill in {names}")
    if fields["status"].lower() not in STATUSES:
        raise UserError(f"system description {path}: status is {fields['status']!r}, must be {', '.join(STATUSES)}")
    for name in ("number_of_nodes", "accelerators_per_node"):
        if not fields[name].isdecimal():
            raise UserError(f"system description {path}: {name} must be a whole number, is {fields[name]!r}")
    return fields


def finish(fields: dict[str, str], *, submitter: str, division: str, system_type: str) -> dict[str, str]:
    """The JSON's content, in the order of the rules. Without ``is_network``: closed and open do not have it."""
    given = {"submitter": submitter, "division": division, "system_type": fields.get("system_type") or system_type}
    return dict.fromkeys(SYSTEM_FIELDS, "") | fields | given
