"""What LoadGen cannot know of a test: session.json and events.parquet."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.config import RunConfig
from harness.rundir.names import EVENTS, SESSION
from mlperf_llama_base.files import write_json
from sut.hub import Hub

SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class Outcome:
    """Collected while a session goes on; saved whatever happens."""

    config: RunConfig
    outcome: str = "failed"
    error: str | None = None
    from_config_rc: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    smoke_overrides: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    test_started: str | None = None
    test_ended: str | None = None
    wall_s: float | None = None

    def as_dict(self, hub: Hub | None) -> dict[str, Any]:
        config = self.config
        return {
            "schema_version": SCHEMA_VERSION,
            "outcome": self.outcome,
            "error": self.error,
            "scenario": config.scenario.value,
            "mode": config.mode.value,
            "benchmark": config.benchmark.value,
            "model_name": config.model_name,
            "from_config_rc": self.from_config_rc,
            "settings": self.settings,
            "smoke_overrides": self.smoke_overrides,
            "smoke": [f"{name} set to {value}" for name, value in self.smoke_overrides.items()],
            "dataset": self.dataset,
            "model": self.model,
            "test_started": self.test_started,
            "test_ended": self.test_ended,
            "wall_s": self.wall_s,
            "process": _process(),
        } | (_of_hub(hub) if hub else _NO_HUB)

    def save(self, run_dir: Path, hub: Hub | None) -> None:
        """Write both files. Raises ``OSError`` if the disk is full."""
        write_json(run_dir / SESSION, self.as_dict(hub))
        if hub is not None and len(hub.record):
            write_events(run_dir / EVENTS, hub)


def _process() -> dict[str, float]:
    """CPU seconds and peak resident bytes of the LoadGen process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_rss_bytes": usage.ru_maxrss * 1024}


_NO_HUB: dict[str, Any] = {
    "samples": {"issued": 0, "completed": 0, "lost": 0, "retried": 0, "duplicates": 0, "failed": 0},
    "violations": {},
    "violation_examples": [],
    "workers": [],
    "restarts": 0,
    "lost_workers": [],
    "refused_messages": 0,
    "refused_peers": 0,
    "engine": None,
    "engine_live_facts": {},
    "tokens": None,
}


def _of_hub(hub: Hub) -> dict[str, Any]:
    d = hub.dispatcher
    return {
        "samples": {
            "issued": d.issued,
            "completed": d.completed,
            "lost": d.issued - d.completed,
            "retried": d.retried,
            "duplicates": d.duplicates,
            "failed": d.failures,
        },
        "violations": dict(d.violations),
        "violation_examples": d.examples,
        "workers": [
            {
                "id": i,
                "node": w.node,
                "gpu": w.gpu,
                "gpus": w.spec.gpus,
                "pid": w.pid,
                "state": w.state,
                "samples": w.samples,
                "tokens": w.tokens,
                "restarts": w.restarts,
                "load_s": w.load_s,
                "warm_up_s": w.warm_up_s,
                "rss_bytes": w.beat.rss_bytes,
                "busy_fraction": w.busy_beats / w.beats if w.beats else None,
                "fault": w.fault or None,
            }
            for i, w in hub.workers.items()
        ],
        "restarts": sum(w.restarts for w in hub.workers.values()),
        "lost_workers": hub.lost,
        "refused_messages": hub.refused,
        "refused_peers": hub.refused_peers,
        "engine": msgspec.to_builtins(hub.engine) if hub.engine else None,
        "engine_live_facts": {str(i): w.beat.facts for i, w in hub.workers.items() if w.beat.facts},
        "tokens": _tokens(hub),
    }


def _tokens(hub: Hub) -> dict[str, Any] | None:
    if not len(hub.record):
        return None
    given, got = hub.record.column("input_tokens"), hub.record.column("output_tokens")
    return {
        "input_mean": float(given.mean()),
        "input_max": int(given.max()),
        "input_total": int(given.sum(dtype=np.int64)),
        "output_mean": float(got.mean()),
        "output_min": int(got.min()),
        "output_max": int(got.max()),
        "output_total": int(got.sum(dtype=np.int64)),
    }


def write_events(path: Path, hub: Hub) -> None:
    """A row a sample; times in ns since the test's first issue, ``first_token_ns`` null where none was reported."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: hub.record.column(name) for name in hub.record.columns}
    start = int(columns["issue_ns"].min())
    first = columns["first_token_ns"]
    arrays = {}
    for name, values in columns.items():
        if name == "first_token_ns":
            arrays[name] = pa.array(first - start, mask=first == 0)
        else:
            arrays[name] = pa.array(values - start if name.endswith("_ns") else values)
    scratch = path.with_name(f".{path.name}")
    pq.write_table(pa.table(arrays), scratch, compression="zstd")
    scratch.replace(path)
