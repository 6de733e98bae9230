"""A completed description of a system of eight cards; the figures are round, the sources are no real pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def figure(watts: float) -> dict[str, Any]:
    return {"value_w": watts, "source_type": "vendor_spec", "source": "https://example.org/data-sheet"}


def tree() -> dict[str, Any]:
    return {
        "submission": {"organization": "ACME", "submission_id": "sub-1", "division": "Standardized"},
        "system": {
            "system_name": "Example 8x",
            "shortened_system_name": "8x-example",
            "system_availability_status": "Available",
            "availability_url": "https://example.org/buy",
            "serving_framework": "mlperf-llama serve",
        },
        "node": {
            "system_node_ensemble_id": 0,
            "number_of_nodes": 1,
            "host_processor_model_name": "Example CPU",
            "host_processors_per_node": 2,
            "host_processor_core_count": 56,
            "host_memory_capacity": "2 TB",
            "host_memory_configuration": "32 x 64 GB DDR5",
            "host_network_card_count": "8 x 400G",
            "driver": "580.00",
            "filesystem": "ext4",
            "cooling": "air-cooled",
            "operating_system": "Linux",
            "inference_backend": "vLLM",
            "accelerator_info": [
                {
                    "accelerator_model_name": "Example GPU",
                    "accelerators_per_node": 8,
                    "accelerator_memory_capacity": "80 GB",
                }
            ],
        },
        "model": {"precision": "fp8"},
        "parallelism": {"tensor_parallel": 1, "pipeline_parallel": 1, "expert_parallel": 1, "data_parallel": 8},
        "power": {
            "system_desc_id": "Example_8x",
            "cooling": "air",
            "node_sets": [
                {
                    "node_set_id": 0,
                    "system_node_ensemble_id": 0,
                    "nodes_provisioned": 1,
                    "power_method": "component_sum",
                    "components": {
                        "cpu": {"model": "Example CPU", "count_per_node": 2, "tdp_per_unit": figure(350)},
                        "accelerator": {"model": "Example GPU", "count_per_node": 8, "tdp_per_unit": figure(700)},
                        "scale_up_network": {
                            "method": "declared_tdp",
                            "switch_count": 4,
                            "tdp_per_switch": figure(100),
                        },
                    },
                }
            ],
            "scale_out": {"present": False},
        },
    }


def write(path: Path, changed: dict[str, Any] | None = None) -> Path:
    path.write_text(yaml.safe_dump(changed or tree(), sort_keys=False))
    return path
