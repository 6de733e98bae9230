"""The owner's YAML: written with what was detected, refused while it is blank, unknown or unsourced."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.endpoints.description import Owner, read_owner
from harness.endpoints.draft import draft, rehearsed, write_draft
from harness.inventory.machine import Cpu, GpuCard, Gpus, Machine, Memory
from harness.submission.system_description import BLANK
from mlperf_llama_base.errors import UserError
from tests.harness.endpoints import owner_yaml
from tests.harness.endpoints.owner_yaml import figure

MACHINE = Machine(
    cpu=Cpu(model="Example CPU", sockets=2, cores=112),
    memory=Memory(bytes=2 * 2**40),
    gpu=Gpus(
        count=2,
        driver="580.1",
        interconnect="NVLink",
        devices=[GpuCard(name="Example GPU", memory_bytes=80 * 2**30)] * 2,
    ),
)


def test_a_draft_has_what_was_detected_and_names_every_blank(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    write_draft(path, draft(MACHINE, workers=None, serving="mlperf-llama serve"))
    found = yaml.safe_load(path.read_text())
    assert found["node"]["host_processor_core_count"] == 56
    assert found["node"]["accelerator_info"][0]["accelerators_per_node"] == 2
    assert found["power"]["node_sets"][0]["components"]["accelerator"]["count_per_node"] == 2
    assert found["parallelism"]["data_parallel"] == 2
    with pytest.raises(UserError, match=r"is not complete: fill in submission.organization, .*tdp_per_unit.source"):
        read_owner(path)


def test_a_misspelt_field_is_named_while_blanks_are_left(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    write_draft(path, draft(MACHINE, workers=None, serving="mlperf-llama serve"))
    path.write_text(f"{path.read_text()}organisation: x\n")
    with pytest.raises(UserError, match="field 'organisation' is not known"):
        read_owner(path)


def test_a_draft_that_was_filled_in_is_read(tmp_path: Path) -> None:
    """Nothing that the draft writes is unknown to the reader."""
    answers = {"system.system_availability_status": "RDI", "node.cooling": "air-cooled", "power.cooling": "air"}
    answers |= {"submission.organization": "ACME", "submission.submission_id": "s", "power.system_desc_id": "x"}

    def filled(tree: Any, where: str = "") -> Any:
        if isinstance(tree, dict):
            return {k: filled(v, f"{where}.{k}" if where else k) for k, v in tree.items()}
        if isinstance(tree, list):
            return [filled(v, where) for v in tree]
        if not (isinstance(tree, str) and BLANK in tree):
            return tree
        if where.endswith(("value_w", "switch_count")):
            return 4
        return "https://example.org" if where.endswith("source") else answers.get(where, "x")

    path = owner_yaml.write(tmp_path / "s.yaml", filled(draft(MACHINE, workers=None, serving="mlperf-llama serve")))
    assert read_owner(path).power is not None


def test_provisioned_power_is_the_sum_of_the_parts_and_the_overhead(owner: Owner) -> None:
    assert owner.power is not None
    assert owner.power.kilowatts == round((2 * 350 + 8 * 700 + 4 * 100) * 1.5 / 1000, 2)  # 10.05


def test_published_and_declared_power_and_switches_of_a_fabric(tmp_path: Path) -> None:
    tree = owner_yaml.tree()
    node_set = tree["power"]["node_sets"][0]
    node_set.pop("components")
    node_set |= {"power_method": "published_system", "published_power": figure(10_200)}
    owner = read_owner(owner_yaml.write(tmp_path / "s.yaml", tree))
    assert owner.power is not None and owner.power.kilowatts == 10.2
    tree["power"]["scale_out"] = {
        "present": True,
        "cabling": "passive",
        "required_bandwidth_tbps": 1.6,
        "nics": {"count_per_node": 4, "bandwidth_per_nic_gbps": 400, "counted": False},
        "switches": [{"model": "Example", "count": 2, "bandwidth_tbps": 51.2, "power_per_switch": figure(900)}],
    }
    owner = read_owner(owner_yaml.write(tmp_path / "s.yaml", tree))
    assert owner.power is not None and owner.power.kilowatts == 12.0
    tree["power"]["declared_provisioned_power"] = figure(0) | {"value_w": None, "value_kw": 14.3}
    owner = read_owner(owner_yaml.write(tmp_path / "s.yaml", tree))
    assert owner.power is not None and owner.power.kilowatts == 14.3


def component(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tree: tree["power"]["node_sets"][0]["components"][name]


GPU, CPU = component("accelerator"), component("cpu")
WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no URL": (lambda t: GPU(t)["tdp_per_unit"].update(source="the data sheet"), "has no source: give the URL"),
    "no source at all": (lambda t: GPU(t)["tdp_per_unit"].pop("source"), "missing required field `source`"),
    "MLCommons' default": (
        lambda t: CPU(t)["tdp_per_unit"].update(source_type="mlc_default", source="D.2"),
        "mlc_default",
    ),
    "no figure": (lambda t: GPU(t).pop("tdp_per_unit"), "accelerator.tdp_per_unit is missing"),
    "two figures": (lambda t: GPU(t)["tdp_per_unit"].update(value_kw=0.7), "value_w or value_kw and nothing else"),
    "no power": (lambda t: t.pop("power"), "a Standardized submission states its provisioned power"),
    "cooled twice": (lambda t: t["power"].update(cooling="liquid"), "they must agree"),
    "misspelt": (lambda t: t["node"].update(drivers="1"), "field 'node.drivers' is not known; did you mean 'driver'"),
    "deep": (
        lambda t: GPU(t)["tdp_per_unit"].update(watts=1),
        "components.accelerator.tdp_per_unit.watts' is not known",
    ),
    "short name": (lambda t: t["system"].update(shortened_system_name="x" * 21), "must have 1 to 20 characters"),
    "nowhere": (lambda t: t["system"].pop("availability_url"), "availability_url is missing"),
    "no date": (lambda t: t["system"].update(system_availability_status="Preview"), "must be a date"),
    "a slash": (lambda t: t["submission"].update(organization="a/b"), "becomes a directory"),
    "text for a number": (lambda t: t["parallelism"].update(data_parallel="eight"), "Expected `int`, got `str`"),
    "no cores": (lambda t: t["node"].pop("host_processor_core_count"), "one of host_processor_core_count"),
    "another system": (lambda t: t["power"].update(system_desc_id="other"), "the system's directory is 'Example_8x'"),
    "no fabric": (
        lambda t: (
            t["power"]["node_sets"][0].update(nodes_provisioned=2),
            component("scale_up_network")(t).update(method="none"),
        ),
        "nothing connects the 2 nodes",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_that_names_the_place(name: str, tmp_path: Path) -> None:
    change, text = WRONG[name]
    tree = copy.deepcopy(owner_yaml.tree())
    change(tree)
    with pytest.raises(UserError) as caught:
        read_owner(owner_yaml.write(tmp_path / "s.yaml", tree))
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    for text in ("- a\n", "{", ""):
        (tmp_path / "s.yaml").write_text(text)
        with pytest.raises(UserError, match=r"s\.yaml"):
            read_owner(tmp_path / "s.yaml")


def test_a_rehearsal_says_so_in_every_name_and_claims_no_power() -> None:
    found = rehearsed(MACHINE, workers=1)
    assert "REHEARSAL" in found.system_id and found.power is None and found.submission.division == "RDI"
    assert BLANK not in str(found)
