"""``python -m harness.session.share``: one of several dispatching processes of a session (``dispatch.processes``).

It reads the data set itself, and starts and watches its share of the workers.
"""

from __future__ import annotations

import logging
import signal
from pathlib import Path

from harness import config
from harness.session.__main__ import take_file_handles
from harness.session.system import make_dispatcher
from harness.session.wire import join, supervisor_options
from mlperf_llama_base import interrupt
from mlperf_llama_base.errors import HarnessError, RunError
from qsl.dataset import Dataset
from qsl.library import SampleLibrary
from sut.front.messages import ShareSpec
from sut.front.share import ShareHub, own_spec, refuse, work
from sut.policies import make_order
from sut.workers.base import WorkerPool


def make(spec: ShareSpec) -> tuple[ShareHub, WorkerPool]:
    """The share's hub, not yet started, and the pool that its workers will be in."""
    run_config = config.build(spec.setup["config"])
    dataset = Dataset.load(Path(run_config.dataset.path or ""), limit=run_config.dataset.limit)
    if dataset.sha256 != spec.setup["data_sha256"]:
        raise RunError(f"{dataset.path} was changed while the run started")
    library = SampleLibrary(dataset)
    library.load(range(library.total_count))
    block = min(dataset.count, run_config.benchmark.sample_count)
    dispatcher = make_dispatcher(run_config, block=block, eos_token_ids=spec.setup["eos_token_ids"])
    dispatcher.order = make_order("issue")  # the front has sorted
    socket = Path(spec.setup["socket"])
    pool, bind = join(run_config, specs=spec.workers, socket=socket.with_name(f"{socket.name}-{spec.number}"))
    hub = ShareHub(
        spec=spec,
        dispatcher=dispatcher,
        pool=pool,
        prompts=library.__getitem__,
        lengths=dataset.lengths.tolist(),
        options=supervisor_options(run_config),
        bind=bind,
    )
    return hub, pool


def main() -> None:
    spec = own_spec()
    for number in interrupt.heard():
        signal.signal(number, signal.SIG_IGN)  # the session hears them, and tells us
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s share {spec.number} %(name)s %(levelname)s %(message)s"
    )
    take_file_handles()
    try:
        hub, pool = make(spec)
    except HarnessError as error:
        refuse(spec, error)
    else:
        work(hub, pool)


if __name__ == "__main__":
    main()
