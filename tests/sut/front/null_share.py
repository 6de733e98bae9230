"""A share of null workers: ``python -m tests.sut.front.null_share``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sut.front.share import ShareHub, own_spec, work
from sut.supervisor import SupervisorOptions
from sut.workers.local import LocalPool
from tests.sut.rig import make_dispatcher

PROMPTS = [np.arange(1 + i, 21 + i, dtype=np.int32).tobytes() for i in range(64)]


def main() -> None:
    spec = own_spec()
    offline = not spec.workers[0].engine.first_tokens
    pool = LocalPool()
    hub = ShareHub(
        spec=spec,
        dispatcher=make_dispatcher(offline=offline),
        pool=pool,
        prompts=PROMPTS.__getitem__,
        options=SupervisorOptions(heartbeat_timeout_s=2.0, max_restarts=spec.setup["max_restarts"]),
        bind=f"ipc://{Path(spec.setup['folder']) / f'wire-{spec.number}'}",
    )
    work(hub, pool)


if __name__ == "__main__":
    main()
