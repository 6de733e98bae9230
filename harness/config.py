"""The one configuration tree: YAML profiles, ``--set key.path=value`` and flags all end here.

Later sources win: defaults, profile (its ``scenarios.NAME`` part last), flags, ``--set``. An unknown key is an error
that names the nearest one. ``config.yaml`` of a run is this tree complete, and can be given back as ``--profile``.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.rounds import ROUND
from mlperf_llama_base.errors import UserError, nearest

PROFILES = Path(__file__).parent / "profiles"
STRATEGIES = ("SPREAD", "STRICT_SPREAD", "PACK", "STRICT_PACK")


class Scenario(StrEnum):
    """What the user chooses. Interactive is LoadGen's Server under another model name and other limits."""

    OFFLINE = "offline"
    SERVER = "server"
    INTERACTIVE = "interactive"
    SINGLESTREAM = "singlestream"

    @property
    def loadgen_name(self) -> str:
        """The scenario's name in LoadGen and in its configuration keys."""
        return {"offline": "Offline", "server": "Server", "interactive": "Server", "singlestream": "SingleStream"}[self]

    @property
    def directory(self) -> str:
        """The scenario's directory in a submission tree."""
        names = {"offline": "Offline", "server": "Server", "interactive": "Interactive", "singlestream": "SingleStream"}
        return names[self]


class Mode(StrEnum):
    PERFORMANCE = "performance"
    ACCURACY = "accuracy"
    COMPLIANCE = "compliance"


class Benchmark(StrEnum):
    """Datacenter (``llama3.1-8b``) or edge (``llama3.1-8b-edge``)."""

    DATACENTER = "datacenter"
    EDGE = "edge"

    @property
    def sample_count(self) -> int:
        """Samples of the full data set (MLCommons' mlperf.conf)."""
        return ROUND.benchmarks[self].samples

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Every scenario that the round knows for this benchmark."""
        return tuple(map(Scenario, ROUND.benchmarks[self].scenarios))

    def model_name(self, scenario: Scenario) -> str:
        """LoadGen's model name: it selects the limits in mlperf.conf. Also for a scenario that the round lacks here."""
        models = ROUND.benchmarks[self].models
        return models.get(scenario, models[Scenario.OFFLINE])


class Strict(BaseModel):
    """Unknown keys are errors, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class ModelConfig(Strict):
    path: str | None = Field(None, description="Folder or Hugging Face hub id; none: the demo model")
    revision: str | None = Field(None, description="Hub revision")
    tokenizer: str | None = Field(None, description="Folder or hub id of the tokenizer, if it is not the model's")


class DatasetConfig(Strict):
    path: str | None = Field(None, description="MLCommons' JSON or our own; none: the demo articles")
    limit: int | None = Field(None, ge=1, description="Use only the first N samples (never submittable)")


class EngineConfig(Strict):
    name: str = Field("transformers", description="null, transformers, vllm, openai")
    device: str = Field("auto", description="auto, cpu, cuda")
    max_new_tokens: int = Field(ROUND.max_new_tokens, ge=1)
    min_new_tokens: int = Field(ROUND.min_new_tokens, ge=0)
    args: dict[str, Any] = Field(default_factory=dict, description="The engine's own arguments")

    @field_validator("name", mode="before")
    @classmethod
    def _yaml_null(cls, value: Any) -> Any:
        return "null" if value is None else value  # YAML reads the engine's name as nothing


class WorkersConfig(Strict):
    count: int | None = Field(None, ge=1, description="Workers; none: one a GPU (or one without a GPU)")
    tensor_parallel: int = Field(1, ge=1, description="GPUs of one worker")
    start_timeout_s: float = Field(900.0, gt=0, description="Deadline of loading and warming up")
    heartbeat_s: float = Field(1.0, gt=0)
    heartbeat_timeout_s: float = Field(15.0, gt=0, description="A worker silent for so long is lost")
    stall_timeout_s: float = Field(180.0, gt=0, description="A worker with work and no event for so long is hung")
    max_restarts: int = Field(3, ge=0, description="For each worker")
    max_attempts: int = Field(4, ge=1, description="For each sample")
    pin_numa: bool = True
    warm_up_prompts: int = Field(16, ge=0, description="Random prompts for each worker before the clock starts")


class DispatchConfig(Strict):
    policy: str = Field("auto", description="auto, credit, prefill-aware, least-pending, round-robin")
    order: str = Field("issue", description="Offline: issue, longest-first, tail-longest-first; inside a block only")
    prefill_weight: float = Field(8.0, ge=0, description="Weight of a request without first token against a decoding")
    backlog: int = Field(128, ge=1, description="Offline: samples beyond an engine's capacity to keep at it")


class LoadGenConfig(Strict):
    user_conf: str | None = Field(None, description="LoadGen user.conf")
    target_qps: float | None = Field(None, gt=0, description="Written to a generated user.conf; wins over user_conf")
    target_latency_ms: float | None = Field(None, gt=0, description="SingleStream: expected mean latency")
    min_duration_ms: int | None = Field(
        None, ge=0, description=f"Smoke runs only: shorter than the rules' {ROUND.min_duration_ms:,}"
    )
    min_query_count: int | None = Field(None, ge=1, description="Smoke runs only")
    max_query_count: int | None = Field(None, ge=1, description="Smoke runs only")
    max_duration_ms: int | None = Field(None, ge=1, description="Smoke runs only")


class ClusterConfig(Strict):
    address: str = Field("local", description="local, auto, or the address of a Ray cluster")
    strategy: str = Field("SPREAD", description="Ray placement: SPREAD, STRICT_SPREAD, PACK, STRICT_PACK")
    resources: dict[str, float] = Field(default_factory=dict, description="Of a worker; none: one GPU, or one CPU")
    bind: str | None = Field(None, description="Address of this machine that the nodes reach")
    min_workers: int | None = Field(None, ge=1, description="Start with so many ready; the others join later")
    placement_timeout_s: float = Field(60.0, gt=0, description="A run whose workers all wait so long for a node ends")

    @field_validator("strategy")
    @classmethod
    def _strategy(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
        return value


class MonitorConfig(Strict):
    enabled: bool = True
    interval_s: float = Field(1.0, gt=0)
    metrics_port: int | None = Field(None, ge=1, le=65535, description="Prometheus endpoint")
    metrics_host: str = "127.0.0.1"


class RunConfig(Strict):
    """Everything that decides a run."""

    scenario: Scenario = Scenario.OFFLINE
    mode: Mode = Mode.PERFORMANCE
    benchmark: Benchmark = Benchmark.DATACENTER
    output: str = Field("", description="Directory of the run")
    overwrite: bool = False
    skip_preflight: bool = False
    stall_timeout_s: float = Field(600.0, gt=0, description="Watchdog: a run without any event for so long is ended")
    model: ModelConfig = Field(default_factory=ModelConfig)
    dataset: DatasetConfig = Field(default_factory=DatasetConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    workers: WorkersConfig = Field(default_factory=WorkersConfig)
    dispatch: DispatchConfig = Field(default_factory=DispatchConfig)
    loadgen: LoadGenConfig = Field(default_factory=LoadGenConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    monitor: MonitorConfig = Field(default_factory=MonitorConfig)
    scorer: str = Field("fast", description="fast, rouge-score, evaluate")

    @property
    def model_name(self) -> str:
        """LoadGen's model name: it selects the limits in mlperf.conf."""
        return self.benchmark.model_name(self.scenario)

    def save(self, path: Path) -> None:
        """Write the complete tree as YAML, but for ``overwrite``: given back, the file must not replace anything."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json", exclude={"overwrite"}), sort_keys=False))


def load_profile(name_or_path: str, scenario: str | None) -> dict[str, Any]:
    """Read a profile: a file, or the name of one in ``harness/profiles``. ``scenarios.NAME`` is merged over the rest.

    Raises ``UserError`` if there is none or it is no YAML mapping.
    """
    path = Path(name_or_path)
    if not path.is_file():
        known = sorted(p.stem for p in PROFILES.glob("*.yaml"))
        if name_or_path not in known:
            raise UserError(
                f"profile {name_or_path!r} is neither a file nor one of {', '.join(known)}"
                f"{nearest(name_or_path, known)}"
            )
        path = PROFILES / f"{name_or_path}.yaml"
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"profile {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"profile {path} must be a mapping of configuration keys")
    parts = tree.pop("scenarios", {}) or {}
    if not isinstance(parts, dict) or not all(isinstance(part, dict | None) for part in parts.values()):
        raise UserError(f"profile {path}: 'scenarios' must map names of scenarios to configuration keys")
    for key in parts:
        if key not in list(Scenario):
            raise UserError(f"profile {path}: scenario {key!r} is not known{nearest(str(key), Scenario)}")
    return merge(tree, parts.get(scenario or tree.get("scenario", Scenario.OFFLINE), {}) or {})


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on it, mapping by mapping."""
    out = dict(base)
    for key, value in over.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def parse_set(assignments: list[str]) -> dict[str, Any]:
    """Turn ``["engine.args.max_num_seqs=512"]`` into a tree. Values are YAML scalars, lists or mappings."""
    tree: dict[str, Any] = {}
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


def build(*trees: dict[str, Any]) -> RunConfig:
    """Merge the trees, later ones over earlier ones, and validate. Raises ``UserError`` naming the key."""
    tree: dict[str, Any] = {}
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
    return f"configuration key {where!r}: {error['msg'][0].lower()}{error['msg'][1:]} (got {error['input']!r})"


def all_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> list[str]:
    """Every key path of the tree, for messages."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += all_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys
