"""What only the system's owner knows: a YAML with what was detected filled in and the rest marked, read back strictly.

From it come ``system_desc.json`` (one at each point), ``system_power.json`` and the names in the tree.
Fields: mlcommons/endpoints_policies endpoints_rules.md, 8.2 and 8.3, appendix E.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import yaml

from harness.endpoints.power import SystemPower, cooling_of
from harness.endpoints.system_desc import Node, Parallelism, SystemDescription
from harness.inventory.machine import Gpus, Machine
from harness.rundir.session import Engine
from harness.submission.measurements import REFERENCE
from harness.submission.system_description import BLANK, REHEARSAL
from harness.submission.system_description import draft as inference_draft
from mlperf_llama_base.errors import UserError, nearest

DATASET_LINK = "https://huggingface.co/datasets/abisee/cnn_dailymail"
HEADER = f"""\
# The system of an MLPerf Endpoints submission. Detected values are filled in: correct what is wrong.
# Replace every {BLANK!r}, then run the same command again: nothing is measured twice.
# Fields: mlcommons/endpoints_policies endpoints_rules.md, 8.2, 8.3 and appendix E.
# Every power figure needs the URL of the page that states it; MLCommons' defaults are not taken.
"""


class Submission(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``organization`` and ``submission_id`` are directories of the tree."""

    organization: str
    submission_id: str
    division: Literal["Standardized", "Serviced", "RDI"] = "Standardized"


class ModelInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``precision``: of the weights as served, like fp8. ``transformation``: link to how they were made."""

    precision: str
    link: str = REFERENCE
    transformation: str | None = None
    notes: str | None = None
    dataset_link: str = DATASET_LINK


class SystemSection(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The system as a whole. ``availability_url`` if Available, ``target_availability_date`` if Preview."""

    system_name: str
    shortened_system_name: str
    system_availability_status: Literal["Available", "Preview", "RDI"]
    serving_framework: str
    availability_url: str | None = None
    target_availability_date: str | None = None
    config_summary_notes: str | None = None


class Owner(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The whole YAML. ``power``: None only where the division needs none."""

    submission: Submission
    system: SystemSection
    node: Node
    model: ModelInfo
    parallelism: Parallelism
    power: SystemPower | None = None

    def description(self, *, c_max: int) -> SystemDescription:
        """system_desc.json but for what differs from point to point."""
        node, gpus = self.node, sum(a.accelerators_per_node for a in self.node.accelerator_info)
        total = gpus * node.number_of_nodes
        return SystemDescription(
            division=self.submission.division,
            max_supported_concurrency=c_max,
            system_size=f"{total} accelerators" if total else f"{node.number_of_nodes} nodes",
            system_node_ensemble_count=1,
            system_node_ensemble_total=1,
            node_types=[node],
            **msgspec.structs.asdict(self.system),
            **msgspec.structs.asdict(self.parallelism),
        )

    @property
    def system_id(self) -> str:
        """The system's directory: its name without spaces, as MLCommons' builder makes it."""
        return self.system.system_name.replace(" ", "_")


def draft(machine: Machine, *, workers: int | None, serving: str) -> dict[str, Any]:
    """The YAML's content for this machine, blanks included. ``workers``: accelerators that serve."""
    gpu = machine.gpu or Gpus()
    found = inference_draft(machine=machine, engine=Engine(), nodes=1, accelerators=workers if gpu.devices else 0)
    blank = f"{BLANK}: "
    sockets, cores = int(found["host_processors_per_node"]), found["host_processor_core_count"]
    name = gpu.devices[0].name if gpu.devices else None
    count = (workers or len(gpu.devices)) if gpu.devices else 0
    cooling = f"{BLANK}: air-cooled or liquid-cooled"
    figure = {
        "value_w": f"{BLANK}: W",
        "source_type": "vendor_spec",
        "source": f"{BLANK}: URL of the page that states it",
    }
    node = {
        "system_node_ensemble_id": 0,
        "number_of_nodes": 1,
        "host_processor_core_count": int(cores) if cores.isdecimal() else f"{BLANK}: cores of a processor",
        "host_processors_per_node": sockets,
        "driver": gpu.driver or "N/A",
        "operating_system": found["operating_system"],
        "filesystem": f"{BLANK}: file system of the weights, like ext4",
        "cooling": cooling,
        "inference_backend": f"{BLANK}: engine and version",
        "accelerator_info": [
            {
                "accelerator_model_name": name,
                "accelerators_per_node": count,
                "accelerator_memory_capacity": found["accelerator_memory_capacity"],
                "accelerator_memory_type": f"{BLANK}: like HBM3",
                "accelerator_interconnect": gpu.interconnect or "N/A",
                "accelerator_host_interconnect": found["accelerator_host_interconnect"],
            }
        ]
        if name
        else [],
    }
    same = (
        "host_processor_model_name host_memory_capacity host_memory_configuration host_networking "
        "host_storage_capacity host_storage_type host_network_card_count other_software_stack hw_notes sw_notes"
    )
    node |= {key: found[key] for key in same.split() if found.get(key)}
    for key in ("host_network_card_count", "host_memory_configuration"):
        node.setdefault(key, f"{BLANK}: could not be detected")
    return {
        "submission": {
            "organization": blank + "directory of your organization",
            "submission_id": blank + "directory of this submission",
            "division": "Standardized",
        },
        "system": {
            "system_name": blank + "the system's name as it is to be published",
            "shortened_system_name": blank + "at most 20 characters",
            "system_availability_status": blank + "Available, Preview or RDI",
            "availability_url": blank + "where it can be had (if Available; else remove the line)",
            "serving_framework": serving,
        },
        "node": node,
        "model": {"precision": blank + "like fp8", "link": REFERENCE, "dataset_link": DATASET_LINK},
        "parallelism": {
            "tensor_parallel": 1,
            "pipeline_parallel": 1,
            "expert_parallel": 1,
            "data_parallel": max(1, count),
        },
        "power": {
            "system_desc_id": blank + "the system's name, spaces as _",
            "cooling": blank + "air or liquid, as above",
            "node_sets": [
                {
                    "node_set_id": 0,
                    "system_node_ensemble_id": 0,
                    "nodes_provisioned": 1,
                    "power_method": "component_sum",
                    "components": {
                        "cpu": {
                            "model": found["host_processor_model_name"],
                            "count_per_node": sockets,
                            "tdp_per_unit": dict(figure),
                        },
                        "accelerator": {"model": name or "none", "count_per_node": count, "tdp_per_unit": dict(figure)},
                        "scale_up_network": {
                            "method": "declared_tdp",
                            "switch_count": blank + "switches of a node (no switch: method none, remove these two)",
                            "tdp_per_switch": dict(figure),
                        },
                    },
                }
            ],
            "scale_out": {"present": False},
        },
    }


def write_draft(path: Path, content: dict[str, Any]) -> None:
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + body)


def read_owner(path: Path) -> Owner:
    """Read the completed YAML. Raises ``UserError`` naming what is blank, unknown, of the wrong kind, or unsourced."""
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"system description {path} cannot be read: {' '.join(str(error).split())[:160]}") from error
    if blanks := list(_blanks(tree)):
        raise UserError(f"system description {path} is not complete: fill in {', '.join(blanks)}")
    if stranger := next(unknown_keys(tree, Owner), None):
        raise UserError(f"system description {path}: {stranger}")
    try:
        owner = msgspec.convert(tree, Owner)
    except msgspec.ValidationError as error:
        raise UserError(f"system description {path}: {error}") from error
    if faults := [*_faults(owner)]:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UserError(f"system description {path}: {faults[0]}{more}")
    return owner


def _blanks(tree: object, where: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _blanks(value, f"{where}.{key}" if where else str(key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _blanks(value, f"{where}[{number}]")
    elif isinstance(tree, str) and BLANK in tree:
        yield where


def unknown_keys(tree: object, kind: Any, where: str = "") -> Iterator[str]:
    """Keys of a mapping that ``kind``, a struct, does not have, at any depth."""
    for struct in _structs(kind):
        if isinstance(tree, list):
            for number, item in enumerate(tree):
                yield from unknown_keys(item, struct, f"{where}[{number}]")
        if not isinstance(tree, dict):
            continue
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
        for key, value in tree.items():
            place = f"{where}.{key}" if where else str(key)
            if key not in fields:
                yield f"field {place!r} is not known{nearest(str(key), fields)}"
            else:
                yield from unknown_keys(value, fields[key], place)


def _structs(kind: Any) -> list[type[msgspec.Struct]]:
    """The struct in a type: itself, in a list, or beside None."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [struct for part in get_args(kind) for struct in _structs(part)]


def _faults(owner: Owner) -> Iterator[str]:
    """What the types do not say."""
    system, division = owner.system, owner.submission.division
    for what, name in (
        ("organization", owner.submission.organization),
        ("submission_id", owner.submission.submission_id),
    ):
        if not name or name.startswith(".") or any(c.isspace() or c in "/\\" for c in name):
            yield f"submission.{what} {name!r} becomes a directory: no spaces, slashes or leading dots"
    if "/" in system.system_name or not system.system_name.strip() or system.system_name.startswith("."):
        yield f"system.system_name {system.system_name!r} becomes a directory: no slashes or leading dots"
    yield from owner.description(c_max=1).faults()
    if owner.power is None:
        if division == "Standardized":
            yield "power is missing: a Standardized submission states its provisioned power"
        return
    yield from (f"power.{text}" for text in owner.power.faults())
    if owner.power.system_desc_id != owner.system_id:
        yield f"power.system_desc_id is {owner.power.system_desc_id!r}, the system's directory is {owner.system_id!r}"
    if cooling_of(owner.node.cooling) != owner.power.cooling:
        yield f"node.cooling is {owner.node.cooling!r}, power.cooling {owner.power.cooling!r}: they must agree"


def rehearsed(machine: Machine, *, workers: int | None) -> Owner:
    """What stands in for an owner's YAML in a rehearsal: every text says so, and no power is claimed."""
    tree = draft(machine, workers=workers, serving="mlperf-llama")
    tree = _filled(tree | {"power": None})
    tree["submission"] = {"organization": "REHEARSAL", "submission_id": "rehearsal", "division": "RDI"}
    tree["system"] = {
        "system_name": REHEARSAL,
        "shortened_system_name": "REHEARSAL",
        "system_availability_status": "RDI",
        "serving_framework": "mlperf-llama",
        "config_summary_notes": REHEARSAL,
    }
    return msgspec.convert(tree, Owner)


def _filled(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value) for value in tree]
    return "rehearsal" if isinstance(tree, str) and BLANK in tree else tree
