"""The wire between the dispatcher and its workers, and what an engine takes and returns.

Everything here is a msgspec struct, encoded as msgpack. Nothing assumes that both ends are on one machine.
Token ids travel as little-endian int32 bytes, the form LoadGen logs (``n_tokens = len(tokens) // 4``).
"""

from __future__ import annotations

from typing import Any

import msgspec

RawArguments = dict[str, Any]
"""An engine's own arguments as the user gave them; each engine has its own idea of what they may be."""


class Limits(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What one request asks for, where it is not what the engine was started with. LoadGen's samples have none.

    ``min_tokens``: no end of sequence before so many. ``ignore_eos``: none at all. ``stream``: report every token with
    :class:`Tokens` as soon as it exists. ``resumed``: the last so many ids of the prompt are the beginning of the
    answer, from a worker that was lost; both other numbers count what comes after them.
    """

    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    stream: bool = False
    resumed: int = 0


class Request(msgspec.Struct, array_like=True, gc=False):
    """One sample to generate for. ``tokens``: prompt ids, int32 LE, shape [prompt_length]."""

    id: int
    tokens: bytes
    limits: Limits | None = None


class FirstToken(msgspec.Struct, array_like=True, tag="f", gc=False):
    """The sample's first token exists. ``tokens``: int32 LE, exactly one id."""

    id: int
    tokens: bytes


class Tokens(msgspec.Struct, array_like=True, tag="t", gc=False):
    """Further tokens of a sample that is streamed, after its first. ``tokens``: int32 LE, those that are new."""

    id: int
    tokens: bytes


class Completion(msgspec.Struct, array_like=True, tag="c", gc=False):
    """The sample is finished. ``tokens``: every generated id with its EOS, int32 LE, shape [n_tokens].

    ``counted``: n_tokens by another count that the engine has (a server's ``usage``), -1 where there is none. One that
    differs makes the run invalid: somebody is wrong about what is being measured.
    """

    id: int
    tokens: bytes
    counted: int = -1


class Failure(msgspec.Struct, array_like=True, tag="x", gc=False):
    """The engine could not finish this sample; it may be tried elsewhere."""

    id: int
    reason: str


Event = FirstToken | Tokens | Completion | Failure

HONOURS = ("max_tokens", "min_tokens", "ignore_eos", "stream", "cancel")
"""What an engine may do for one request alone: the fields of :class:`Limits`, and to end it when told to."""


class EngineSettings(msgspec.Struct, kw_only=True):
    """What an engine is built from; travels to the worker in its spec.

    ``args`` are the engine's own arguments. ``first_tokens`` asks for a :class:`FirstToken` as soon as it exists
    (Server, Interactive, SingleStream); without it only completions are sent (Offline). ``start_timeout_s``: a worker
    that is not ready by then is given up (``workers.start_timeout_s``).
    """

    name: str
    model: str
    max_new_tokens: int = 128
    min_new_tokens: int = 1
    first_tokens: bool = True
    device: str = "auto"
    tensor_parallel: int = 1
    start_timeout_s: float = 900.0
    args: RawArguments = {}


class EngineInfo(msgspec.Struct, kw_only=True):
    """What an engine says of itself once loaded; ends up in result.json and calibration.md.

    ``capacity``: samples that it can work on at once. ``facts``: number formats, dropped arguments, back ends.
    ``not_submittable``: reasons for which a result of this engine cannot be submitted (such as dummy weights).
    ``honours``: of :data:`HONOURS`, what it does for a single request; a server refuses what asks for the rest.
    """

    name: str
    version: str
    capacity: int
    eos_token_ids: list[int]
    vocab_size: int | None = None
    max_prompt_tokens: int | None = None
    prefix_caching: bool = False
    weight_dtype: str = "unknown"
    kv_cache_dtype: str = "unknown"
    facts: dict[str, Any] = {}
    not_submittable: list[str] = []
    honours: list[str] = []


class WorkerSpec(msgspec.Struct, kw_only=True):
    """All that a worker process needs to start. ``incarnation`` counts its restarts from 0; ``identity`` is its name on
    the wire, a new one each time.

    ``gpus``: as CUDA_VISIBLE_DEVICES takes them: numbers, UUIDs, MIG slices.
    """

    id: int
    incarnation: int = 0
    identity: bytes = b""
    endpoint: str
    engine: EngineSettings
    gpus: list[str] = []
    log_file: str | None = None
    cache_dir: str | None = None
    warm_up_lengths: list[int] = []
    heartbeat_s: float = 1.0
    pin_numa: bool = True
    curve_server_key: bytes | None = None
    curve_public_key: bytes | None = None
    curve_secret_key: bytes | None = None
    env: dict[str, str] = {}


class Hello(msgspec.Struct, tag="hello"):
    """First message of a worker process, before it loads its engine. ``numa_nodes``: those that it is bound to."""

    pid: int
    node: str
    gpu: str | None = None
    numa_nodes: list[int] = []


class Ready(msgspec.Struct, tag="ready"):
    """The engine is loaded and warm."""

    info: EngineInfo
    load_s: float
    warm_up_s: float


class StepEvents(msgspec.Struct, tag="events"):
    """Events of one engine step, in order."""

    events: list[Event]


class Heartbeat(msgspec.Struct, tag="beat"):
    """Counters of a worker, sent every ``heartbeat_s`` from a thread of its own.

    ``tokens``: made since Ready, those of unfinished answers included where the engine counts them. ``progress``: grows
    with every event; ``facts`` carries what changed since Ready (compilations, for example).
    """

    state: str
    waiting: int = 0
    running: int = 0
    completed: int = 0
    tokens: int = 0
    progress: int = 0
    rss_bytes: int = 0
    facts: dict[str, Any] = {}


class Fault(msgspec.Struct, tag="fault"):
    """The worker cannot go on; its process ends after this.

    ``exit_code``: of the error's family (:mod:`mlperf_llama_base.errors`). After 2 (what the user gave is wrong) and 3
    (the environment is not fit) a restart cannot help.
    """

    reason: str
    exit_code: int = 4


class Submit(msgspec.Struct, tag="submit"):
    requests: list[Request]


class Cancel(msgspec.Struct, tag="cancel"):
    """Nobody waits for these requests any more."""

    ids: list[int]


class Stop(msgspec.Struct, tag="stop"):
    """Finish at once and leave."""


FromWorker = Hello | Ready | StepEvents | Heartbeat | Fault
ToWorker = Submit | Cancel | Stop

encode = msgspec.msgpack.Encoder().encode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
