"""system_desc.json as types: the machine and how it was deployed, the same at every point but for a few fields.

mlcommons/endpoints_policies endpoints_rules.md, 8.2.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import msgspec

DIVISIONS = ("Standardized", "Serviced", "RDI")
STATUSES = ("Available", "Preview", "RDI")
SHORT_NAME = 20
PER_POINT = (
    "tps_utilization",
    "tensor_parallel",
    "pipeline_parallel",
    "expert_parallel",
    "data_parallel",
    "disaggregated",
    "batch",
    "config_summary",
    "config_summary_notes",
)
"""What may differ between the points of a curve."""


class Accelerator(msgspec.Struct, kw_only=True, omit_defaults=True):
    accelerator_model_name: str
    accelerators_per_node: int
    accelerator_memory_capacity: str
    accelerator_memory_type: str | None = None
    accelerator_interconnect: str | None = None
    accelerator_host_interconnect: str | None = None


class Node(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One kind of node."""

    system_node_ensemble_id: int
    number_of_nodes: int
    host_processor_model_name: str
    host_processors_per_node: int
    host_processor_core_count: int | None = None
    host_processor_vcpu_count: int | None = None
    host_memory_capacity: str
    host_memory_configuration: str
    host_network_card_count: str
    driver: str
    filesystem: str
    cooling: str
    operating_system: str | None = None
    inference_backend: str | None = None
    accelerator_info: list[Accelerator] = []
    host_networking: str | None = None
    host_storage_capacity: str | None = None
    host_storage_type: str | None = None
    container_link: str | None = None
    other_hardware: str | None = None
    other_software_stack: str | None = None
    hw_notes: str | None = None
    sw_notes: str | None = None

    def __post_init__(self) -> None:
        if self.host_processor_core_count is None and self.host_processor_vcpu_count is None:
            raise ValueError("one of host_processor_core_count and host_processor_vcpu_count is needed")


class Parallelism(msgspec.Struct, kw_only=True):
    """How the accelerators are divided up. Without it nobody can see that all of them worked."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    data_parallel: int


class SystemDescription(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file; what MLCommons may add is passed over."""

    division: str
    system_name: str
    shortened_system_name: str
    system_availability_status: str
    max_supported_concurrency: int
    system_size: str
    system_node_ensemble_count: int
    system_node_ensemble_total: int
    node_types: list[Node]
    serving_framework: str | None = None
    availability_url: str | None = None
    target_availability_date: str | None = None
    c_min_override: int | None = None
    config_summary: str | dict[str, int | bool | str | None] | None = None
    config_summary_notes: str | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    expert_parallel: int | None = None
    data_parallel: int | None = None
    disaggregated: bool | None = None
    batch: int | None = None
    tps_utilization: float | None = None

    def faults(self) -> Iterator[str]:
        """What the official checker refuses beside wrong types."""
        status = self.system_availability_status
        if not self.shortened_system_name.strip() or len(self.shortened_system_name) > SHORT_NAME:
            yield f"shortened_system_name {self.shortened_system_name!r} must have 1 to {SHORT_NAME} characters"
        if status == "Available" and not self.availability_url:
            yield "availability_url is missing: an Available system has one"
        if status == "Preview":
            try:
                datetime.date.fromisoformat(self.target_availability_date or "")
            except ValueError:
                yield f"target_availability_date must be a date (YYYY-MM-DD), is {self.target_availability_date!r}"
        if status not in STATUSES:
            yield f"system_availability_status is {status!r}, must be one of {', '.join(STATUSES)}"
        if self.division not in DIVISIONS:
            yield f"division is {self.division!r}, must be one of {', '.join(DIVISIONS)}"

    @property
    def accelerators(self) -> int:
        """Of all nodes."""
        return sum(
            node.number_of_nodes * card.accelerators_per_node
            for node in self.node_types
            for card in node.accelerator_info
        )
