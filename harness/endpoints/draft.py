"""The owner's YAML as it is first written: what was detected is filled in, the rest is marked as blank.

Fields: mlcommons/endpoints_policies endpoints_rules.md, 8.2 and 8.3, appendix E.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.endpoints.description import DATASET_LINK, Owner
from harness.inventory.machine import Gpus, Machine
from harness.rundir.session import Engine
from harness.submission.measurements import REFERENCE
from harness.submission.system_description import BLANK, REHEARSAL
from harness.submission.system_description import draft as inference_draft
from mlperf_llama_base import typed

HEADER = f"""\
# The system of an MLPerf Endpoints submission. Detected values are filled in: correct what is wrong.
# Replace every {BLANK!r}, then run the same command again: nothing is measured twice.
# Fields: mlcommons/endpoints_policies endpoints_rules.md, 8.2, 8.3 and appendix E.
# Every power figure needs the URL of the page that states it; MLCommons' defaults are not taken.
"""
SAME = [
    "host_processor_model_name",
    "host_memory_capacity",
    "host_memory_configuration",
    "host_networking",
    "host_storage_capacity",
    "host_storage_type",
    "host_network_card_count",
    "other_software_stack",
    "hw_notes",
    "sw_notes",
]


def draft(machine: Machine, *, workers: int | None, serving: str) -> dict[str, Any]:
    """The YAML's content for this machine, blanks included. ``workers``: accelerators that serve."""
    gpu = machine.gpu or Gpus()
    count = (workers or len(gpu.devices)) if gpu.devices else 0
    found = inference_draft(machine=machine, engine=Engine(), nodes=1, accelerators=workers if gpu.devices else 0)
    name = gpu.devices[0].name if gpu.devices else None
    return {
        "submission": {
            "organization": _blank("directory of your organization"),
            "submission_id": _blank("directory of this submission"),
            "division": "Standardized",
        },
        "system": {
            "system_name": _blank("the system's name as it is to be published"),
            "shortened_system_name": _blank("at most 20 characters"),
            "system_availability_status": _blank("Available, Preview or RDI"),
            "availability_url": _blank("where it can be had (if Available; else remove the line)"),
            "serving_framework": serving,
        },
        "node": _node(gpu, found, name=name, count=count),
        "model": {"precision": _blank("like fp8"), "link": REFERENCE, "dataset_link": DATASET_LINK},
        "parallelism": {
            "tensor_parallel": 1,
            "pipeline_parallel": 1,
            "expert_parallel": 1,
            "data_parallel": max(1, count),
        },
        "power": _power(found, name=name, count=count),
    }


def _blank(what: str) -> str:
    return f"{BLANK}: {what}"


def _node(gpu: Gpus, found: dict[str, Any], *, name: str | None, count: int) -> dict[str, Any]:
    cores = found["host_processor_core_count"]
    node = {
        "system_node_ensemble_id": 0,
        "number_of_nodes": 1,
        "host_processor_core_count": int(cores) if cores.isdecimal() else _blank("cores of a processor"),
        "host_processors_per_node": int(found["host_processors_per_node"]),
        "driver": gpu.driver or "N/A",
        "operating_system": found["operating_system"],
        "filesystem": _blank("file system of the weights, like ext4"),
        "cooling": _blank("air-cooled or liquid-cooled"),
        "inference_backend": _blank("engine and version"),
        "accelerator_info": [],
    }
    if name:
        accelerator = {
            "accelerator_model_name": name,
            "accelerators_per_node": count,
            "accelerator_memory_capacity": found["accelerator_memory_capacity"],
            "accelerator_memory_type": _blank("like HBM3"),
            "accelerator_interconnect": gpu.interconnect or "N/A",
            "accelerator_host_interconnect": found["accelerator_host_interconnect"],
        }
        node["accelerator_info"] = [accelerator]
    node |= {key: found[key] for key in SAME if found.get(key)}
    for key in ("host_network_card_count", "host_memory_configuration"):
        node.setdefault(key, _blank("could not be detected"))
    return node


def _power(found: dict[str, Any], *, name: str | None, count: int) -> dict[str, Any]:
    processor = {
        "model": found["host_processor_model_name"],
        "count_per_node": int(found["host_processors_per_node"]),
        "tdp_per_unit": _figure(),
    }
    network = {
        "method": "declared_tdp",
        "switch_count": _blank("switches of a node (no switch: method none, remove these two)"),
        "tdp_per_switch": _figure(),
    }
    nodes = {
        "node_set_id": 0,
        "system_node_ensemble_id": 0,
        "nodes_provisioned": 1,
        "power_method": "component_sum",
        "components": {
            "cpu": processor,
            "accelerator": {"model": name or "none", "count_per_node": count, "tdp_per_unit": _figure()},
            "scale_up_network": network,
        },
    }
    return {
        "system_desc_id": _blank("the system's name, spaces as _"),
        "cooling": _blank("air or liquid, as above"),
        "node_sets": [nodes],
        "scale_out": {"present": False},
    }


def _figure() -> dict[str, str]:
    return {
        "value_w": _blank("W"),
        "source_type": "vendor_spec",
        "source": _blank("URL of the page that states it"),
    }


def write_draft(path: Path, content: dict[str, Any]) -> None:
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + body)


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
    return typed.convert(tree, Owner)


def _filled(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value) for value in tree]
    return "rehearsal" if isinstance(tree, str) and BLANK in tree else tree
