"""The owner's YAML as it is first written: what was detected, and a question wherever only the owner knows."""

from __future__ import annotations

from typing import Any

from harness.inventory.machine import Gpus, Machine
from harness.rundir.session import Engine
from harness.submission.measurements import REFERENCE
from harness.submission.system_description import BLANK
from harness.submission.system_description import draft as inference_draft

DATASET_LINK = "https://huggingface.co/datasets/abisee/cnn_dailymail"
SAME = (  # fields that MLPerf Inference asks for under the same name
    "host_processor_model_name",
    "host_memory_capacity",
    "host_memory_configuration",
    "host_networking",
    "host_storage_capacity",
    "host_storage_type",
    "host_network_card_count",
    "operating_system",
    "other_software_stack",
    "hw_notes",
    "sw_notes",
)
Draft = dict[str, Any]
"""``description.Owner`` with texts in place of what is not known yet, so no type fits it."""


def _ask(question: str) -> str:
    return f"{BLANK}: {question}"


def draft(machine: Machine, *, workers: int | None, serving: str) -> Draft:
    """The YAML's content for this machine, blanks included. ``workers``: accelerators that serve."""
    gpu = machine.gpu or Gpus()
    found = inference_draft(machine=machine, engine=Engine(), nodes=1, accelerators=workers if gpu.devices else 0)
    count = (workers or len(gpu.devices)) if gpu.devices else 0
    parallel = {"tensor_parallel": 1, "pipeline_parallel": 1, "expert_parallel": 1, "data_parallel": max(1, count)}
    return {
        "submission": {
            "organization": _ask("directory of your organization"),
            "submission_id": _ask("directory of this submission"),
            "division": "Standardized",
        },
        "system": {
            "system_name": _ask("the system's name as it is to be published"),
            "shortened_system_name": _ask("at most 20 characters"),
            "system_availability_status": _ask("Available, Preview or RDI"),
            "availability_url": _ask("where it can be had (if Available; else remove the line)"),
            "serving_framework": serving,
        },
        "node": _node(found, gpu, count),
        "model": {"precision": _ask("like fp8"), "link": REFERENCE, "dataset_link": DATASET_LINK},
        "parallelism": parallel,
        "power": _power(found, gpu, count),
    }


def _node(found: dict[str, str], gpu: Gpus, count: int) -> Draft:
    cores = found["host_processor_core_count"]
    node: Draft = {
        "system_node_ensemble_id": 0,
        "number_of_nodes": 1,
        "host_processor_core_count": int(cores) if cores.isdecimal() else _ask("cores of a processor"),
        "host_processors_per_node": int(found["host_processors_per_node"]),
        "driver": gpu.driver or "N/A",
        "filesystem": _ask("file system of the weights, like ext4"),
        "cooling": _ask("air-cooled or liquid-cooled"),
        "inference_backend": _ask("engine and version"),
        "accelerator_info": [],
    }
    if gpu.devices:
        card = {
            "accelerator_model_name": gpu.devices[0].name,
            "accelerators_per_node": count,
            "accelerator_memory_capacity": found["accelerator_memory_capacity"],
            "accelerator_memory_type": _ask("like HBM3"),
            "accelerator_interconnect": gpu.interconnect or "N/A",
            "accelerator_host_interconnect": found["accelerator_host_interconnect"],
        }
        node["accelerator_info"] = [card]
    node |= {key: found[key] for key in SAME if found.get(key)}
    for key in ("host_network_card_count", "host_memory_configuration"):
        node.setdefault(key, _ask("could not be detected"))
    return node


def _power(found: dict[str, str], gpu: Gpus, count: int) -> Draft:
    cpu = {"model": found["host_processor_model_name"], "count_per_node": int(found["host_processors_per_node"])}
    card = {"model": gpu.devices[0].name if gpu.devices else "none", "count_per_node": count}
    components = {
        "cpu": cpu | {"tdp_per_unit": _figure()},
        "accelerator": card | {"tdp_per_unit": _figure()},
        "scale_up_network": {
            "method": "declared_tdp",
            "switch_count": _ask("switches of a node (no switch: method none, remove these two)"),
            "tdp_per_switch": _figure(),
        },
    }
    node_set = {"node_set_id": 0, "system_node_ensemble_id": 0, "nodes_provisioned": 1, "power_method": "component_sum"}
    return {
        "system_desc_id": _ask("the system's name, spaces as _"),
        "cooling": _ask("air or liquid, as above"),
        "node_sets": [node_set | {"components": components}],
        "scale_out": {"present": False},
    }


def _figure() -> Draft:
    return {"value_w": _ask("W"), "source_type": "vendor_spec", "source": _ask("URL of the page that states it")}
