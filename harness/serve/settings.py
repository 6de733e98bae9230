"""What ``serve`` is told beside the configuration of its workers."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from mlperf_llama_base.errors import EnvironmentFault, UserError

SPARE_HANDLES = 1024  # files, workers, connections without a stream
USUAL_STREAMS = 16_384
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """``max_streams``: requests open at once; None: as many as the file handles allow, at most ``USUAL_STREAMS``.
    ``drain_s``: how long open requests may go on after SIGTERM. ``chunk_ms``: least time between two chunks of a
    stream; 0: every step of the engine is a chunk. ``name``: of the model, as clients call it.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key_env: str | None = None
    max_streams: int | None = None
    chat_template: str = "auto"
    name: str | None = None
    drain_s: float = 60.0
    chunk_ms: float = 0.0
    body_bytes: int = 16 << 20

    @property
    def key(self) -> str | None:
        """The API key. Raises ``UserError`` where the variable that should hold it is empty."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UserError(f"--api-key-env: the environment variable {self.api_key_env} is not set")
        return key

    @property
    def open_to_all(self) -> bool:
        """Whoever reaches this machine can ask."""
        return self.host not in LOOPBACK and self.api_key_env is None


def streams_within_handles(wanted: int | None) -> int:
    """How many requests may be open at once; takes as many file handles as this process may have.

    Raises ``EnvironmentFault`` where those are too few for ``wanted``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = (wanted or USUAL_STREAMS) + SPARE_HANDLES
    if soft < need:
        allowed = need if hard == resource.RLIM_INFINITY else min(hard, need)
        soft = max(soft, allowed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if wanted is None:
        return min(USUAL_STREAMS, max(1, soft - SPARE_HANDLES))
    if soft < need:
        raise EnvironmentFault(
            f"{wanted:,} open streams need {need:,} file handles, this process may have {soft:,}: "
            f"run `ulimit -Hn {need}` as root before, or lower --max-streams to {max(1, soft - SPARE_HANDLES)}"
        )
    return wanted
