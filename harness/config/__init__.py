"""The one configuration tree: YAML profiles, ``--set key.path=value`` and flags all end here.

Later sources win: defaults, profile (its ``scenarios.NAME`` part last), flags, ``--set``. An unknown key is an error
that names the nearest one. ``config.yaml`` of a run is this tree complete, and can be given back as ``--profile``.
"""

from harness.config.kinds import Benchmark, Mode, Scenario
from harness.config.sources import PROFILES, Tree, all_keys, build, field_of, load_profile, merge, parse_set
from harness.config.tree import (
    ClusterConfig,
    DatasetConfig,
    DispatchConfig,
    EngineConfig,
    LoadGenConfig,
    ModelConfig,
    MonitorConfig,
    RunConfig,
    Strict,
    WorkersConfig,
)

__all__ = [
    "PROFILES",
    "Benchmark",
    "ClusterConfig",
    "DatasetConfig",
    "DispatchConfig",
    "EngineConfig",
    "LoadGenConfig",
    "Mode",
    "ModelConfig",
    "MonitorConfig",
    "RunConfig",
    "Scenario",
    "Strict",
    "Tree",
    "WorkersConfig",
    "all_keys",
    "build",
    "field_of",
    "load_profile",
    "merge",
    "parse_set",
]
