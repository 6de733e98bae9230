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
from harness.submission.measurements import REFERENCE
from harness.submission.system_description import BLANK
from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError, nearest

DATASET_LINK = "https://huggingface.co/datasets/abisee/cnn_dailymail"


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


def read_owner(path: Path) -> Owner:
    """Read the completed YAML. Raises ``UserError`` naming what is blank, unknown, of the wrong kind, or unsourced."""
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"system description {path} cannot be read: {' '.join(str(error).split())[:160]}") from error
    if stranger := next(unknown_keys(tree, Owner), None):
        raise UserError(f"system description {path}: {stranger}")
    if blanks := list(_blanks(tree)):
        raise UserError(f"system description {path} is not complete: fill in {', '.join(blanks)}")
    try:
        owner = typed.convert(tree, Owner)
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
