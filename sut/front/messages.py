"""The wire between the front and its shares, processes of one machine. Columns travel as the bytes of arrays (native
order), one message for all that a turn has.

A sample is known by its *number* in the test, from 0; LoadGen's ids, which are addresses, stay with the front.
"""

from __future__ import annotations

import msgspec

from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError
from sut.dispatching import Counts
from sut.messages import EngineInfo, RawArguments, Stop, WorkerSpec
from sut.supervisor import LostWorker, WorkerView

LOT_S, LOT = 0.01, 512  # answers that a share keeps back in Offline: for so long, and so many


class ShareSpec(msgspec.Struct, kw_only=True):
    """All that the process of a share needs to start. ``identity``: its name on the wire to the front at ``endpoint``;
    ``setup``: what the module that it runs wants to know; ``curve_keys``: of its hub's wire to the workers.
    """

    number: int
    identity: bytes = b""
    endpoint: str = ""
    workers: list[WorkerSpec]
    curve_keys: tuple[bytes, bytes] | None = None
    setup: RawArguments = {}


class Given(msgspec.Struct, tag="given"):
    """Samples for a share. ``numbers`` int64, ``indices`` int32, ``issue_ns`` int64, ``attempts`` int8: of those that
    another share had. ``first`` (int32 ids) and ``first_ns`` (int64, 0: none) of first tokens that LoadGen has heard
    of; empty where it has of none.
    """

    numbers: bytes
    indices: bytes
    issue_ns: bytes
    attempts: bytes
    first: bytes = b""
    first_ns: bytes = b""


class NewTest(msgspec.Struct, tag="test"):
    """Count from zero, as test ``number``."""

    number: int


class Ask(msgspec.Struct, tag="ask"):
    """Send :class:`News` now, with this ``question``."""

    question: int


class Answers(msgspec.Struct, tag="answers"):
    """``first``: numbers (int64) of samples whose first token exists, ``first_tokens`` (int32) those.

    ``columns``: of the completed, as :class:`~sut.record.SampleRecord` has them, ``sample_id`` being the number.
    ``tokens``: their ids (int32 LE) in rows of ``room`` bytes, each as long as ``output_tokens`` says.
    """

    counts: Counts
    first: bytes = b""
    first_tokens: bytes = b""
    columns: list[bytes] = []
    room: int = 0
    tokens: bytes = b""


class News(msgspec.Struct, tag="news", kw_only=True):
    """How a share is, several times a second. ``room``: samples that its ready workers may hold; ``held``: those they
    do, by worker. ``cpu_s``: of its process, ``hub_cpu_s``: of its hub's thread.
    """

    test: int
    answers: int | None
    counts: Counts
    workers: list[WorkerView]
    held: dict[int, int]
    engine: EngineInfo | None
    lost: list[LostWorker]
    refused: int
    refused_peers: int
    dead: int
    capacity: int
    room: int
    events: int
    busy_share: float
    cpu_s: float
    hub_cpu_s: float


class Broke(msgspec.Struct, tag="broke"):
    """The share cannot go on. ``alone``: for want of workers, and others may have some; else the run is over."""

    reason: str
    exit_code: int
    alone: bool

    @property
    def kind(self) -> type[HarnessError]:
        return next((kind for kind in (UserError, EnvironmentFault) if kind.exit_code == self.exit_code), RunError)


FromShare = Answers | News | Broke
ToShare = Given | NewTest | Ask | Stop

encode = msgspec.msgpack.Encoder().encode
decode_from_share = msgspec.msgpack.Decoder(FromShare).decode
decode_to_share = msgspec.msgpack.Decoder(ToShare).decode
