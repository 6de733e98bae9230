"""What a v6.1 submission of llama3.1-8b or llama3.1-8b-edge must hold: names, fields, sizes, each with its public
source.

The numbers that judge a run (limits, seeds, targets) stand in ``harness.loadgen.rules``.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.config import Benchmark, Scenario

CHECKER = "mlcommons/inference tools/submission/submission_checker"
RULES = "mlcommons/inference_policies inference_rules.adoc"
POLICIES = "mlcommons/policies submission_rules.adoc"
LOADGEN = "mlcommons/inference loadgen"

VERSION = "v6.1"
DIVISIONS = ("closed", "open", "network")
STATUSES = ("available", "preview", "rdi")
SYSTEM_TYPES = ("datacenter", "edge", "datacenter,edge", "edge,datacenter")

MAX_ACCURACY_LOG_BYTES = 10 * 1024  # constants.py, MAX_ACCURACY_LOG_SIZE
VIEWABLE_CHARACTERS = 4096  # truncate_accuracy_log.py, VIEWABLE_SIZE
TRUNCATION_MARK = "\n\n...\n\n"  # truncate_accuracy_log.py, truncate_file
MAX_TARGET_LATENCY_NS = 20_000_000_000  # constants.py, latency-constraint of Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One benchmark of the round. ``one_of``: at least one of these scenarios beside the ``required`` ones.

    ``test06``: whether the official checker asks for it in the closed division.
    """

    name: str
    benchmark: Benchmark
    required: tuple[Scenario, ...]
    one_of: tuple[Scenario, ...]
    test06: bool

    @property
    def samples(self) -> int:
        """Samples of the data set."""
        return self.benchmark.sample_count

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Every scenario that this benchmark knows."""
        return self.required + self.one_of


# constants.py: required-scenarios-*, optional-scenarios-*, models_TEST06
DATACENTER = Rules(
    name="llama3.1-8b",
    benchmark=Benchmark.DATACENTER,
    required=(Scenario.OFFLINE,),
    one_of=(Scenario.SERVER, Scenario.INTERACTIVE),
    test06=True,
)
EDGE = Rules(
    name="llama3.1-8b-edge",
    benchmark=Benchmark.EDGE,
    required=(Scenario.SINGLESTREAM, Scenario.OFFLINE),
    one_of=(),
    test06=False,
)
BENCHMARKS = {  # constants.py, models and model_mapping
    "llama3.1-8b": DATACENTER,
    "llama3_1-8b": DATACENTER,
    "llama3.1-8b-edge": EDGE,
    "llama3_1-8b-edge": EDGE,
}

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
