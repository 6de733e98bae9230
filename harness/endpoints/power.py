"""system_power.json: what the system is provisioned to draw, every figure with its public source.

The rules' appendix E and their sum (4.5.2): parts of a node built from its components, with 30 % (liquid) or 50 % (air)
on top, or a published figure of the whole node, which has that in it already. MLCommons' own defaults tag a result as
estimated, and exist for few parts: here every figure is the owner's, with a URL, or is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

OVERHEAD = {"liquid": 0.30, "air": 0.50}
COOLING_WORDS = {"liquid": ("liquid", "water", "immersion"), "air": ("air",)}


class Sourced(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A figure in W or kW (for a bit on a wire in pJ) and the page that states it."""

    source_type: Literal["vendor_spec", "publication", "public_statement"]
    source: str
    value_w: float | None = None
    value_kw: float | None = None
    value_pj: float | None = None

    @property
    def watts(self) -> float:
        return self.value_w if self.value_w is not None else 1e3 * (self.value_kw or 0.0)

    def faults(self, where: str, *, energy: bool = False) -> Iterator[str]:
        given = [value for value in (self.value_w, self.value_kw, self.value_pj) if value is not None]
        unit = "value_pj" if energy else "value_w or value_kw"
        if len(given) != 1 or (self.value_pj is not None) != energy:
            yield f"{where} must have {unit} and nothing else"
        elif given[0] < 0:
            yield f"{where} is negative"
        if not self.source.startswith(("https://", "http://")):
            yield f"{where} has no source: give the URL of the page that states the figure, found {self.source!r}"


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Processors or accelerators of a node."""

    model: str
    count_per_node: int
    tdp_per_unit: Sourced | None = None


class ScaleUp(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What connects the accelerators of a node: switches with a power of their own, or nothing that draws any."""

    method: Literal["declared_tdp", "bandwidth_estimate", "none"]
    switch_count: int | None = None
    tdp_per_switch: Sourced | None = None
    aggregate_bandwidth_tbps: float | None = None
    energy_per_bit_pj: Sourced | None = None

    def faults(self) -> Iterator[str]:
        where = "scale_up_network"
        if self.method == "declared_tdp":
            yield from _needed(self.tdp_per_switch, f"{where}.tdp_per_switch")
            if self.switch_count is None:
                yield f"{where}.switch_count is missing"
        elif self.method == "bandwidth_estimate":
            yield from _needed(self.energy_per_bit_pj, f"{where}.energy_per_bit_pj", energy=True)
            if self.aggregate_bandwidth_tbps is None:
                yield f"{where}.aggregate_bandwidth_tbps (terabytes a second) is missing"

    @property
    def watts(self) -> float:
        """Terabytes a second, times 8, times pJ a bit, are watts."""
        if self.method == "declared_tdp" and self.tdp_per_switch:
            return (self.switch_count or 0) * self.tdp_per_switch.watts
        if self.method == "bandwidth_estimate" and self.energy_per_bit_pj:
            return (self.aggregate_bandwidth_tbps or 0.0) * 8 * (self.energy_per_bit_pj.value_pj or 0.0)
        return 0.0


class PowerComponents(msgspec.Struct, kw_only=True, omit_defaults=True):
    cpu: Part
    accelerator: Part
    scale_up_network: ScaleUp


class Nics(msgspec.Struct, kw_only=True, omit_defaults=True):
    count_per_node: int
    bandwidth_per_nic_gbps: float
    counted: bool = True
    tdp_per_nic: Sourced | None = None
    excluded_from_published_power: str | None = None


class Switch(msgspec.Struct, kw_only=True, omit_defaults=True):
    model: str
    count: int
    bandwidth_tbps: float
    power_per_switch: Sourced | None = None


class ScaleOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The network between nodes; one node has none."""

    present: bool
    cabling: Literal["passive", "active_optical"] | None = None
    required_bandwidth_tbps: float | None = None
    nics: Nics | None = None
    switches: list[Switch] | None = None


class NodeSet(msgspec.Struct, kw_only=True, omit_defaults=True):
    node_set_id: int
    system_node_ensemble_id: int
    nodes_provisioned: int
    power_method: Literal["component_sum", "published_system", "node_scaling"]
    components: PowerComponents | None = None
    published_power: Sourced | None = None
    nodes_in_published_rack: int | None = None

    def faults(self) -> Iterator[str]:
        """What a reviewer or the official checker would refuse."""
        if self.nodes_provisioned < 1:
            yield "nodes_provisioned must be at least 1"
        if self.power_method != "component_sum":
            yield from _needed(self.published_power, "published_power")
            if self.power_method == "node_scaling" and (self.nodes_in_published_rack or 0) <= self.nodes_provisioned:
                yield "nodes_in_published_rack must be more than nodes_provisioned"
            return
        if self.components is None:
            yield "power_method component_sum needs components"
            return
        for name in ("cpu", "accelerator"):
            part: Part = getattr(self.components, name)
            if part.count_per_node:
                yield from _needed(part.tdp_per_unit, f"{name}.tdp_per_unit")
        yield from self.components.scale_up_network.faults()

    @property
    def watts(self) -> tuple[float, float]:
        """Of all its nodes: what the overhead comes on top of, and published figures."""
        if self.published_power and self.power_method != "component_sum":
            share = 1 / self.nodes_in_published_rack if self.nodes_in_published_rack else 1.0
            return 0.0, self.nodes_provisioned * share * self.published_power.watts
        if self.components is None:
            return 0.0, 0.0
        parts = (self.components.cpu, self.components.accelerator)
        node = sum(part.count_per_node * part.tdp_per_unit.watts for part in parts if part.tdp_per_unit)
        return self.nodes_provisioned * (node + self.components.scale_up_network.watts), 0.0


class SystemPower(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file. ``system_desc_id``: the system's directory."""

    system_desc_id: str
    cooling: Literal["liquid", "air"]
    node_sets: list[NodeSet]
    scale_out: ScaleOut
    declared_provisioned_power: Sourced | None = None
    notes: str | None = None

    def faults(self) -> list[str]:
        """Every reason why the file would be refused."""
        found = [f"node_sets[{s.node_set_id}]: {text}" for s in self.node_sets for text in s.faults()]
        nodes = sum(s.nodes_provisioned for s in self.node_sets)
        if not self.node_sets:
            found.append("node_sets is empty")
        if self.declared_provisioned_power:
            found += self.declared_provisioned_power.faults("declared_provisioned_power")
        if self.scale_out.present:
            found += self._fabric_faults()
        elif nodes > 1 and all(s.components and s.components.scale_up_network.method == "none" for s in self.node_sets):
            found.append(f"scale_out.present is false, but nothing connects the {nodes} nodes")
        return found

    def _fabric_faults(self) -> Iterator[str]:
        fabric = self.scale_out
        for name in ("cabling", "required_bandwidth_tbps", "nics", "switches"):
            if getattr(fabric, name) is None:
                yield f"scale_out.{name} is missing"
        if fabric.nics and fabric.nics.counted:
            yield from _needed(fabric.nics.tdp_per_nic, "scale_out.nics.tdp_per_nic")
        for number, switch in enumerate(fabric.switches or []):
            yield from _needed(switch.power_per_switch, f"scale_out.switches[{number}].power_per_switch")

    @property
    def kilowatts(self) -> float:
        """Provisioned power of the whole system, as the official checker adds it up, to two decimals."""
        if self.declared_provisioned_power:
            return round(self.declared_provisioned_power.watts / 1e3, 2)
        major = published = 0.0
        nics = self.scale_out.nics if self.scale_out.present else None
        for node_set in self.node_sets:
            parts, whole = node_set.watts
            if nics and nics.counted and nics.tdp_per_nic and node_set.power_method == "component_sum":
                parts += node_set.nodes_provisioned * nics.count_per_node * nics.tdp_per_nic.watts
            major, published = major + parts, published + whole
        switches = sum(
            s.count * s.power_per_switch.watts
            for s in (self.scale_out.switches or [] if self.scale_out.present else [])
            if s.power_per_switch
        )
        return round((major * (1 + OVERHEAD[self.cooling]) + published + switches) / 1e3, 2)


def _needed(value: Sourced | None, where: str, *, energy: bool = False) -> Iterator[str]:
    if value is None:
        yield f"{where} is missing"
    else:
        yield from value.faults(where, energy=energy)


def cooling_of(text: str | None) -> Literal["liquid", "air"] | None:
    """Which overhead a description of the cooling names; liquid is looked for first."""
    lower = (text or "").lower()
    for kind in ("liquid", "air"):
        if any(word in lower for word in COOLING_WORDS[kind]):
            return "liquid" if kind == "liquid" else "air"
    return None
