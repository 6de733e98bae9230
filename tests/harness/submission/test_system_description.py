"""The system description: detected, completed by a person, refused while it has blanks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from harness.inventory import system
from harness.inventory.machine import Machine
from harness.rundir.session import Engine
from harness.submission.rules import SYSTEM_FIELDS
from harness.submission.system_description import BLANK, GIVEN, draft, finish, read_yaml, write_yaml
from mlperf_llama_base.errors import UserError
from tests.harness.submission.conftest import SYSTEM

MACHINE: dict[str, Any] = {
    "cpu": {
        "model": "Example 9000",
        "sockets": 2,
        "cores": 128,
        "max_mhz": 3700.0,
        "caches": {"L1d": "32K", "L3": "256M"},
    },
    "memory": {"bytes": 1536 * 2**30, "configuration": "24 x 64 GB DDR5 4800 MT/s"},
    "storage": [{"type": "NVMe", "bytes": 3840 * 10**9, "model": None}] * 2,
    "network": [{"type": "InfiniBand", "mbit_s": 400_000, "driver": "mlx5_core"}] * 8,
    "os": {"name": "Example Linux 12", "kernel": "Linux 6.8.0"},
    "gpu": {
        "driver": "570.86",
        "cuda": "12.8",
        "interconnect": "NVLink (18 links)",
        "devices": [
            {
                "name": "Example GPU",
                "memory_bytes": 80 * 2**30,
                "power_limit_w": 700.0,
                "max_sm_clock_mhz": 1980,
                "ecc": True,
                "pcie": "PCIe Gen5 x16",
            }
        ]
        * 8,
    },
    "software": {"python": "3.12.3", "torch": "2.11.0", "vllm": "0.26.0"},
    "git_revision": "0123456789abcdef0123",
}
ENGINE = Engine(name="vllm", version="0.26.0")


def described(**changes: Any) -> dict[str, str]:
    choices: dict[str, Any] = {"machine": MACHINE, "engine": ENGINE, "nodes": 1, "accelerators": None}
    choices |= changes
    return draft(**(choices | {"machine": msgspec.convert(choices["machine"], Machine)}))


def test_what_the_machine_tells_is_filled_in() -> None:
    fields = described()
    assert fields["host_processor_model_name"] == "Example 9000"
    assert fields["host_processors_per_node"] == "2"
    assert fields["host_processor_core_count"] == "64"  # of each processor
    assert fields["host_memory_capacity"] == "1536 GiB"
    assert fields["host_storage_capacity"] == "2 x 3840 GB"
    assert fields["host_network_card_count"] == "8 x InfiniBand 400 Gbit/s"
    assert fields["accelerators_per_node"] == "8"
    assert fields["accelerator_memory_capacity"] == "80 GiB"
    assert fields["framework"] == "vllm 0.26.0"
    assert fields["other_software_stack"] == "driver 570.86, CUDA 12.8, python 3.12.3, torch 2.11.0"
    assert fields["hw_notes"] == "Power limit 700 W per accelerator; ECC on"
    assert fields["number_of_nodes"] == "1" and fields["host_networking_topology"] == "N/A"


def test_what_nobody_can_detect_is_marked() -> None:
    blanks = {name for name, text in described(nodes=2).items() if BLANK in text}
    assert blanks == {
        "status",
        "system_name",
        "cooling",
        "host_networking_topology",
        "accelerator_memory_configuration",
    }


def test_ecc_off_is_told() -> None:
    gpu = MACHINE["gpu"] | {"devices": [MACHINE["gpu"]["devices"][0] | {"ecc": False}]}
    assert described(machine=MACHINE | {"gpu": gpu})["hw_notes"].endswith("ECC off")


def test_a_machine_without_gpu_says_zero_as_text() -> None:
    fields = described(machine=MACHINE | {"gpu": {"devices": []}})
    assert fields["accelerators_per_node"] == "0"
    assert fields["accelerator_model_name"] == "N/A"


def test_this_machine_can_be_described() -> None:
    fields = draft(machine=system.collect(), engine=ENGINE, nodes=1, accelerators=None)
    assert set(fields) | set(GIVEN) == set(SYSTEM_FIELDS)
    assert all(text for name, text in fields.items() if SYSTEM_FIELDS[name])


def test_the_yaml_has_its_blanks_first_and_is_refused_until_they_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "new" / "system.yaml"
    write_yaml(path, described(), system_id="acme_8x")
    values = yaml.safe_load(path.read_text())
    assert list(values)[:4] == ["status", "system_name", "accelerator_memory_configuration", "cooling"]
    assert "acme_8x" in path.read_text().splitlines()[0]
    with pytest.raises(UserError, match="fill in status, system_name, accelerator_memory_configuration, cooling"):
        read_yaml(path)
    filled = {k: "available" if k == "status" else str(v).replace(BLANK, "given") for k, v in values.items()}
    path.write_text(yaml.safe_dump(filled))
    assert read_yaml(path)["status"] == "available"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colling": "air"}, r"field 'colling' is not known; did you mean 'cooling'\?"),
        ({"cooling": ["air"]}, "cooling must be one line of text"),
        ({"cooling": ""}, "fill in cooling"),
        ({"status": "released"}, "status is 'released'"),
        ({"accelerators_per_node": "eight"}, "accelerators_per_node must be a whole number"),
        ({"number_of_nodes": "N/A"}, "number_of_nodes must be a whole number"),
    ],
)
def test_mistakes_in_the_yaml_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SYSTEM) | change))
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_numbers_become_text(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SYSTEM) | {"accelerators_per_node": 0}))
    assert read_yaml(path)["accelerators_per_node"] == "0"


@pytest.mark.parametrize("content", ["- a\n- b\n", "cooling: [", None])
def test_what_is_no_mapping_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    if content:
        path.write_text(content)
    with pytest.raises(UserError, match="system description"):
        read_yaml(path)


def test_the_json_has_every_field_in_order_and_no_is_network() -> None:
    full = finish(yaml.safe_load(SYSTEM), submitter="ACME", division="closed", system_type="datacenter")
    assert "is_network" not in full
    assert list(full)[: len(SYSTEM_FIELDS)] == list(SYSTEM_FIELDS)
    assert (full["submitter"], full["division"], full["system_type"]) == ("ACME", "closed", "datacenter")
