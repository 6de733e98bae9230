"""What a submission of llama3.1-8b or llama3.1-8b-edge must hold: names, fields, sizes, each with its public
source.

The numbers of the round (samples, limits, seeds, targets) are data of ``harness.rounds``.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.config import Benchmark, Scenario
from harness.rounds import ROUND, BenchmarkRules

VERSION = ROUND.version
DIVISIONS = ("closed", "open", "network")
STATUSES = ("available", "preview", "rdi")
SYSTEM_TYPES = ("datacenter", "edge", "datacenter,edge", "edge,datacenter")

MAX_ACCURACY_LOG_BYTES = 10 * 1024  # constants.py, MAX_ACCURACY_LOG_SIZE
VIEWABLE_CHARACTERS = 4096  # truncate_accuracy_log.py, VIEWABLE_SIZE
TRUNCATION_MARK = "\n\n...\n\n"  # truncate_accuracy_log.py, truncate_file


@dataclass(frozen=True, slots=True)
class Rules:
    """One benchmark of the round, its data seen with the configuration's types."""

    benchmark: Benchmark

    @property
    def data(self) -> BenchmarkRules:
        return ROUND.benchmarks[self.benchmark]

    @property
    def name(self) -> str:
        """Its directory in a tree."""
        return self.data.directory

    @property
    def samples(self) -> int:
        """Samples of the data set."""
        return self.data.samples

    @property
    def required(self) -> tuple[Scenario, ...]:
        return tuple(map(Scenario, self.data.required))

    @property
    def one_of(self) -> tuple[Scenario, ...]:
        """At least one of these beside the required ones."""
        return tuple(map(Scenario, self.data.one_of))

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Every scenario that this benchmark knows."""
        return self.benchmark.scenarios

    @property
    def test06(self) -> bool:
        """Whether the official checker asks for it in the closed division."""
        return self.data.test06


DATACENTER, EDGE = Rules(Benchmark.DATACENTER), Rules(Benchmark.EDGE)
BENCHMARKS = {name: rules for rules in (DATACENTER, EDGE) for name in (rules.data.directory, *rules.data.aliases)}

MEASUREMENT_FIELDS = (
    "input_data_types",
    "retraining",
    "starting_weights_filename",
    "weight_data_types",
    "weight_transformations",
)

# Fields of systems/<id>.json. True: an empty answer is refused.
SYSTEM_FIELDS = {
    "division": True,
    "submitter": True,
    "status": True,
    "system_type": True,
    "system_type_detail": False,
    "system_name": True,
    "number_of_nodes": True,
    "host_processor_model_name": True,
    "host_processors_per_node": True,
    "host_processor_core_count": True,
    "host_processor_frequency": False,
    "host_processor_caches": False,
    "host_processor_interconnect": False,
    "host_memory_capacity": True,
    "host_memory_configuration": True,
    "host_storage_capacity": True,
    "host_storage_type": True,
    "host_networking": True,
    "host_network_card_count": True,
    "host_networking_topology": True,
    "accelerators_per_node": True,
    "accelerator_model_name": True,
    "accelerator_frequency": False,
    "accelerator_host_interconnect": True,
    "accelerator_interconnect": True,
    "accelerator_interconnect_topology": False,
    "accelerator_memory_capacity": True,
    "accelerator_memory_configuration": True,
    "accelerator_on-chip_memories": False,
    "cooling": True,
    "framework": True,
    "operating_system": True,
    "other_software_stack": True,
    "hw_notes": False,
    "sw_notes": False,
}
NETWORK_FIELDS = (
    "is_network",
    "network_type",
    "network_media",
    "network_rate",
    "nic_loadgen",
    "number_nic_loadgen",
    "net_software_stack_loadgen",
    "network_protocol",
    "number_connections",
    "nic_sut",
    "number_nic_sut",
    "net_software_stack_sut",
    "network_topology",
)
NETWORK_SUT = "Network SUT"
