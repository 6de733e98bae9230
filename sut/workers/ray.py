"""Workers on the nodes of a Ray cluster: Ray places an actor for each, gives it its GPUs and reports its end; the
actor starts the same worker process as on one machine, and the tokens go over ZeroMQ as ever.

One thread of the pool makes every call into Ray, so that a node that does not answer never holds up the dispatcher.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from mlperf_llama_base import typed
from sut.messages import WorkerSpec
from sut.workers.base import Exit, WorkerPool
from sut.workers.ray_host import LOG_CHUNK, Host, Location

log = logging.getLogger("cluster")
KILL_GRACE_S = 3.0  # for the actor's answer; a node that is cut off or stopped gives none
LOG_EVERY_S = 5.0
NODES_EVERY_S = 1.0


@dataclass(kw_only=True)
class RayOptions:
    """``resources`` of a worker: ``{"GPU": 1}``, ``{"CPU": 8}``, or the cluster's own names. ``strategy``: Ray's.

    ``new_spec``: makes the spec of one more worker when the cluster has grown; ``None``: their number is fixed.
    """

    strategy: str
    resources: dict[str, float]
    workers: int
    new_spec: Callable[[int], WorkerSpec] | None = None


@dataclass(eq=False)
class _Actor:
    spec: WorkerSpec
    handle: Any
    run: Any
    where: Any
    location: Location | None = None
    log: Any = None
    log_offset: int = 0
    log_at: float = 0.0
    kill_at: float | None = None
    gone: bool = False  # its exit was reported; only the rest of its log is waited for

    def waiting_for(self) -> Iterator[Any]:
        yield from (f for f in (None if self.gone else self.run, self.where, self.log) if f is not None)


@dataclass
class _Shared:
    """What the hub's thread reads."""

    exits: deque[Exit] = field(default_factory=deque)
    added: deque[WorkerSpec] = field(default_factory=deque)
    places: dict[int, str] = field(default_factory=dict)


def fits(total: dict[str, float], need: dict[str, float]) -> int:
    """Workers that a node with these resources can hold."""
    return min(int(total.get(name, 0.0) / amount + 1e-6) for name, amount in need.items())


def worker_nodes(need: dict[str, float]) -> list[dict[str, Any]]:
    """Living nodes that can hold a worker, as ``ray.nodes()`` describes them."""
    return [n for n in ray.nodes() if n["Alive"] and fits(n["Resources"], need) > 0]


class RayPool(WorkerPool):
    """Needs a connected Ray (``ray.init``), which it disconnects in ``close``."""

    def __init__(self, options: RayOptions) -> None:
        self._options = options
        self._commands: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._shared = _Shared()
        self._actors: dict[int, _Actor] = {}
        self._leaving: list[_Actor] = []
        self._group: Any = None
        self._wanted = options.workers
        self._suspect: set[str] = set()  # nodes lost to us, which Ray counts as alive for a quarter of a minute more
        self._nodes_at = 0.0
        self._closing: float | None = None
        self._thread = threading.Thread(target=self._work, name="ray-pool", daemon=True)
        self._thread.start()

    # -- called by the hub: nothing here waits -------------------------------------------------------------------

    def start(self, spec: WorkerSpec) -> None:
        self._shared.places.pop(spec.id, None)
        self._commands.put(("start", typed.from_msgpack(msgspec.msgpack.encode(spec), WorkerSpec)))

    def kill(self, worker: int) -> None:
        self._commands.put(("kill", worker))

    def exits(self) -> list[Exit]:
        return _drain(self._shared.exits)

    def added(self) -> list[WorkerSpec]:
        return _drain(self._shared.added)

    def place(self, worker: int) -> str | None:
        return self._shared.places.get(worker)

    def close(self, grace_s: float) -> None:
        if self._closing is None:
            self._closing = time.monotonic() + grace_s
        self._thread.join(grace_s + KILL_GRACE_S + 10)

    # -- the pool's thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._closing is None:
                self._take_commands()
                self._look(0.05)
                self._watch_nodes()
            while time.monotonic() < self._closing and self._actors:
                self._look(0.05)
            for actor in self._actors.values():
                self._end(actor)
            while self._actors or self._leaving:
                self._look(0.05)
            if self._group is not None:
                remove_placement_group(self._group)
            ray.shutdown()
        except Exception:  # the hub must learn that nothing is watched any more
            log.exception("the connection to Ray broke")
            for actor in self._actors.values():
                self._told(actor, None, "the connection to Ray broke")

    def _take_commands(self) -> None:
        try:
            while True:
                command, value = self._commands.get(timeout=0.05)
                if command == "start":
                    self._launch(value)
                elif value in self._actors:
                    self._end(self._actors[value])
        except Empty:
            pass

    def _launch(self, spec: WorkerSpec) -> None:
        need = dict(self._options.resources)
        handle = Host.options(  # type: ignore[attr-defined]
            num_gpus=need.pop("GPU", 0),
            num_cpus=need.pop("CPU", 0),
            resources=need or None,
            max_restarts=0,
            max_concurrency=8,
            scheduling_strategy=self._scheduling(spec.id),
        ).remote()
        run = handle.run.remote(msgspec.msgpack.encode(spec))
        self._actors[spec.id] = _Actor(spec, handle, run, handle.location.remote())

    def _scheduling(self, worker: int) -> Any:
        options = self._options
        if not options.strategy.startswith("STRICT"):
            return "SPREAD" if options.strategy == "SPREAD" else "DEFAULT"
        if self._group is None:
            self._group = placement_group([options.resources] * options.workers, strategy=options.strategy)
        return PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=worker)

    def _look(self, timeout_s: float) -> None:
        now = time.monotonic()
        everyone = [*self._actors.values(), *self._leaving]
        owners = {future: actor for actor in everyone for future in actor.waiting_for()}
        if owners:
            ready, _ = ray.wait(list(owners), num_returns=len(owners), timeout=timeout_s)
            for future in ready:
                self._happened(owners[future], future)
        for actor in everyone:
            if actor.kill_at is not None and now > actor.kill_at:
                self._give_up(actor)
            elif actor.log is None and actor.location is not None and not actor.gone and now > actor.log_at:
                actor.log = actor.handle.log.remote(actor.log_offset)

    def _happened(self, actor: _Actor, future: Any) -> None:
        try:
            value = ray.get(future, timeout=5)
        except (RayError, TimeoutError) as error:
            if future == actor.run:
                self._told(actor, None, f"lost its node or its actor ({type(error).__name__})")
            actor.log = actor.where = None
            self._give_up(actor)
            return
        if future == actor.run:
            self._told(actor, *value)
            actor.kill_at = time.monotonic() + KILL_GRACE_S
            actor.log = actor.handle.log.remote(actor.log_offset)
        elif future == actor.where:
            actor.where, actor.location = None, value
            self._shared.places[actor.spec.id] = value.node
            log.info("worker %d is on node %s with GPUs %s", actor.spec.id, value.node, value.gpus)
        else:
            self._save_log(actor, value)

    def _save_log(self, actor: _Actor, chunk: bytes) -> None:
        actor.log = None
        actor.log_offset += len(chunk)
        actor.log_at = time.monotonic() + (LOG_EVERY_S if len(chunk) < LOG_CHUNK else 0.0)
        if chunk and actor.spec.log_file:
            path = Path(actor.spec.log_file)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(chunk)
            except OSError as error:
                log.warning("the log of worker %d cannot be saved: %s", actor.spec.id, error)
        if actor.gone and len(chunk) == LOG_CHUNK:
            actor.log = actor.handle.log.remote(actor.log_offset)
        elif actor.gone:
            self._give_up(actor)

    def _told(self, actor: _Actor, code: int | None, reason: str) -> None:
        """Tell the hub once of the end of this incarnation."""
        if not actor.gone:
            actor.gone = True
            if code is None and actor.location is not None:
                self._suspect.add(actor.location.node_id)
            if self._actors.get(actor.spec.id) is actor:
                del self._actors[actor.spec.id]
            self._leaving.append(actor)
            self._shared.exits.append(Exit(actor.spec.id, actor.spec.incarnation, code, reason))

    def _end(self, actor: _Actor) -> None:
        """Ask the node to kill the worker's processes; :meth:`_give_up` follows if it does not answer."""
        actor.handle.stop.remote()
        actor.kill_at = time.monotonic() + KILL_GRACE_S

    def _give_up(self, actor: _Actor) -> None:
        self._told(actor, None, "was killed, and its node does not answer")
        actor.kill_at = None
        if actor in self._leaving:
            self._leaving.remove(actor)
        ray.kill(actor.handle)

    def _watch_nodes(self) -> None:
        now = time.monotonic()
        if now < self._nodes_at:
            return
        self._nodes_at = now + NODES_EVERY_S
        nodes = ray.nodes()
        dead = {n["NodeID"] for n in nodes if not n["Alive"]}
        for actor in list(self._actors.values()):
            if actor.location is not None and actor.location.node_id in dead:
                self._told(actor, None, f"node {actor.location.node} is dead")
                self._give_up(actor)
        if self._options.new_spec is None or any(actor.location is None for actor in self._actors.values()):
            return  # a worker that waits for a place comes before another one
        alive = [n for n in nodes if n["Alive"] and n["NodeID"] not in self._suspect]
        room = sum(fits(n["Resources"], self._options.resources) for n in alive)
        while self._wanted < room:
            self._shared.added.append(self._options.new_spec(self._wanted))
            self._wanted += 1


def _drain(queue: deque[Any]) -> list[Any]:
    out = []
    while queue:
        out.append(queue.popleft())
    return out
