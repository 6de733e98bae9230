"""What the tuner must know of a session's engines to play them."""

from __future__ import annotations

from typing import Any

from harness.config import RunConfig
from harness.rounds import ROUND
from harness.session.session import Session
from harness.tune.model import Engines, Load

WITH_STEPS = "vllm"  # records its steps at no cost that was ever measured
SCHEDULER = "scheduler_cls"  # a user's own, in whose place the record's would stand


def with_steps(config: RunConfig) -> RunConfig:
    """Have the engine record its steps, where it can and the user does not say otherwise."""
    args = config.engine.args
    if config.engine.name != WITH_STEPS or config.scenario not in ROUND.limits_ns:
        return config
    if "step_log" in args or args.get(SCHEDULER):
        return config
    config = config.model_copy(deep=True)
    config.engine.args["step_log"] = True
    return config


def tells_steps(session: Session) -> bool:
    """Whether the engines record what their steps take."""
    return any("step_sums" in view.beat.facts for view in session.hub.workers.values())


def engines_of(session: Session) -> Engines:
    """As many engines as are ready, with the limits that they say they have."""
    hub, config = session.hub, session.config
    facts = hub.engine.facts if hub.engine else {}
    own: dict[str, Any] = {**facts, **(facts.get("args") or {})}
    sequences = hub.engine.capacity if hub.engine else 512
    if cache := own.get("kv_cache_tokens"):
        longest_mean = float(session.lengths.mean()) + config.engine.max_new_tokens
        sequences = max(1, min(sequences, int(cache / longest_mean)))
    return Engines(
        workers=max(hub.ready, 1),
        max_num_seqs=sequences,
        max_num_batched_tokens=int(own.get("max_num_batched_tokens") or 8192),
        held_ms=own.get("step_time_ms"),
        late_after_ms=own.get("late_after_ms"),
        graphs=tuple(sorted(own.get("cudagraph_sizes") or ())),
        prefill_schedule_interval=int(own.get("prefill_schedule_interval") or 1),
        policy=config.dispatch.policy,
        prefill_weight=config.dispatch.prefill_weight,
    )


def load_of(session: Session) -> Load:
    """The data set's prompts, and what the scenario asks of latencies."""
    ttft, tpot = ROUND.limits_ns[session.config.scenario]
    return Load(
        lengths=session.lengths,
        limits_ms=(ttft / 1e6, tpot / 1e6),
        samples=session.config.benchmark.sample_count,
    )
