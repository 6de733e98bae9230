"""What is known of the workers, and how long to be patient with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sut.messages import Heartbeat, WorkerSpec


@dataclass(slots=True)
class WorkerView:
    """What is known of one worker, over all its incarnations."""

    spec: WorkerSpec
    state: str = "starting"
    node: str = ""
    gpu: str | None = None
    pid: int = 0
    started: float = 0.0
    heard: float = 0.0
    moved: float = 0.0
    idle_since: float = 0.0
    progress: int = -1
    restarts: int = 0
    samples: int = 0
    tokens: int = 0
    load_s: float = 0.0
    warm_up_s: float = 0.0
    beat: Heartbeat = field(default_factory=lambda: Heartbeat(state="starting"))
    beats: int = 0
    busy_beats: int = 0
    fault: str = ""
    exit_code: int = 0


@dataclass(kw_only=True, slots=True)
class HubOptions:
    """Seconds and counts of supervision; see ``workers`` in the configuration."""

    start_timeout_s: float = 900.0
    heartbeat_timeout_s: float = 15.0
    stall_timeout_s: float = 180.0
    max_restarts: int = 3
    placement_timeout_s: float = 60.0
