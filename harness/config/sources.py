"""Where a configuration comes from: profiles, ``--set``, flags; merged and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from harness.config.kinds import Benchmark, Scenario
from harness.config.tree import RunConfig
from mlperf_llama_base.errors import UserError, nearest

PROFILES = Path(__file__).parents[1] / "profiles"

Tree = dict[str, Any]
"""Keys of the configuration as a YAML file has them: nested, and not checked yet."""


def load_profile(name_or_path: str, scenario: str | None) -> Tree:
    """Read a profile: a file, or the name of one in ``harness/profiles``. ``scenarios.NAME`` is merged over the rest,
    and all of it over the profile that ``base`` names.

    Raises ``UserError`` if there is none or it is no YAML mapping.
    """
    tree = _with_base(name_or_path, above=[])
    parts = tree.pop("scenarios", {})
    return merge(tree, parts.get(scenario or tree.get("scenario", Scenario.OFFLINE), {}))


def _with_base(name_or_path: str, *, above: list[Path]) -> Tree:
    """A profile over its base, and so on; ``above``: those that lie on it."""
    path = _find(name_or_path)
    if path in above:
        raise UserError(f"profile {path}: 'base' leads back to it")
    tree = _read(path)
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise UserError(f"profile {path}: 'base' must name a profile (got {base!r})")
    return merge(_with_base(base, above=[*above, path]), tree)


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if not path.is_file():
        known = sorted(p.stem for p in PROFILES.glob("*.yaml"))
        if name_or_path not in known:
            raise UserError(
                f"profile {name_or_path!r} is neither a file nor one of {', '.join(known)}"
                f"{nearest(name_or_path, known)}"
            )
        path = PROFILES / f"{name_or_path}.yaml"
    return path


def _read(path: Path) -> Tree:
    """A profile as it stands in its file, ``scenarios`` a mapping of mappings."""
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"profile {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"profile {path} must be a mapping of configuration keys")
    parts = tree.get("scenarios") or {}
    if not isinstance(parts, dict) or not all(isinstance(part, dict | None) for part in parts.values()):
        raise UserError(f"profile {path}: 'scenarios' must map names of scenarios to configuration keys")
    for key in parts:
        if key not in list(Scenario):
            raise UserError(f"profile {path}: scenario {key!r} is not known{nearest(str(key), Scenario)}")
    return {**tree, "scenarios": {key: part or {} for key, part in parts.items()}}


def merge(base: Tree, over: Tree) -> Tree:
    """Return ``base`` with ``over`` laid on it, mapping by mapping."""
    out = dict(base)
    for key, value in over.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def parse_set(assignments: list[str]) -> Tree:
    """Turn ``["engine.args.max_num_seqs=512"]`` into a tree. Values are YAML scalars, lists or mappings."""
    tree: Tree = {}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--set {text!r}: expected key.path=value")
        try:
            node: Any = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {text!r}: the value is not YAML") from error
        for part in reversed(key.strip().split(".")):
            node = {part: node}
        tree = merge(tree, node)
    return tree


def build(*trees: Tree) -> RunConfig:
    """Merge the trees, later ones over earlier ones, and validate. Raises ``UserError`` naming the key."""
    tree: Tree = {}
    for part in trees:
        tree = merge(tree, part)
    if tree.get("scenario") == Scenario.SINGLESTREAM and "benchmark" not in tree:
        tree["benchmark"] = Benchmark.EDGE  # SingleStream exists only there
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError("; ".join(_explain(e) for e in error.errors())) from error


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"configuration key {where!r} is not known{nearest(where, all_keys())}"
    if error["type"] == "value_error":  # of ours, about several keys at once
        return f"configuration key {where!r}: {error['ctx']['error']}"
    return f"configuration key {where!r}: {error['msg'][0].lower()}{error['msg'][1:]} (got {error['input']!r})"


def all_keys() -> list[str]:
    """Every key path of the tree."""
    return list(_fields(RunConfig))


def field_of(key: str) -> FieldInfo:
    """What is declared for a key path: type, default, bounds, description. Raises ``KeyError``."""
    return _fields(RunConfig)[key]


def _fields(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _fields(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found
