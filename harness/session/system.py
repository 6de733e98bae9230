"""A running system: the data in memory, the wire, and the workers.

Made in one place and complete once made: nothing of it is ever absent.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.config import RunConfig, Scenario
from harness.inventory.calibration import read_calibration
from harness.rundir import names
from harness.rundir.session import Dataset as DatasetRecord
from harness.rundir.session import Model
from harness.session.journal import Journal
from harness.session.wire import connect, plan, supervisor_options
from mlperf_llama_base import orphans, typed
from mlperf_llama_base.errors import HarnessError
from mlperf_llama_base.scratch import ScratchFolder
from qsl.dataset import Dataset
from qsl.library import SampleLibrary
from sut import engines
from sut.completions import report, report_rows
from sut.dispatcher import Dispatcher
from sut.dispatching import Dispatching
from sut.engines import shapes
from sut.engines.facts import ModelUse
from sut.front.front import Front
from sut.front.ledger import Ledger
from sut.front.messages import ShareSpec
from sut.front.part import launcher
from sut.hub import Hub
from sut.policies import make_order, make_policy
from sut.workers.base import grace_s

SOCKET = "wire"

Made = tuple[Dispatching, Callable[[float], None]]
"""What stands between LoadGen and the workers, and what ends those within so many seconds."""


class System:
    """Started on construction: the workers are loading, not yet ready. ``close`` ends all of it.

    ``library`` is the QSL, ``hub`` takes what is issued and answers LoadGen.
    Raises ``UserError`` and ``EnvironmentFault`` for data, a model, a cluster or GPUs that are not fit; nothing is
    left running then.
    """

    def __init__(self, config: RunConfig, journal: Journal) -> None:
        model = _inspect_model(config, journal)
        self.dataset = Dataset.load(
            Path(config.dataset.path or ""), limit=config.dataset.limit, vocab_size=model.get("vocab_size")
        )
        self.library = SampleLibrary(
            self.dataset, performance_count=min(self.dataset.count, config.benchmark.sample_count)
        )
        journal.describe(dataset=_describe_data(self.dataset, self.library, config))
        journal.phase("starting workers")
        orphans.end_abandoned()
        with contextlib.ExitStack() as on_failure:
            self._scratch = ScratchFolder(socket=len(f"{SOCKET}-00"))  # of the local wire, for us alone
            on_failure.callback(self._scratch.remove)
            make = self._several if config.dispatch.processes > 1 else self._connect
            eos_token_ids = list(model.get("eos_token_ids", []))
            self.hub, self._end = make(config, journal.run_dir, eos_token_ids=eos_token_ids)
            journal.follow(self.hub)
            self.hub.start()
            on_failure.pop_all()

    def _connect(self, config: RunConfig, run_dir: Path, *, eos_token_ids: list[int]) -> Made:
        """The hub, and what ends its workers. ``eos_token_ids``: of the model that was inspected."""
        wire = connect(config, run_dir=run_dir, socket=self._scratch.path / SOCKET)
        hub = Hub(
            dispatcher=make_dispatcher(config, block=self.library.performance_count, eos_token_ids=eos_token_ids),
            pool=wire.pool,
            specs=wire.specs,
            prompts=self.library.__getitem__,
            lengths=self.dataset.lengths.tolist(),
            deliver=report,
            options=supervisor_options(config),
            bind=wire.bind,
            curve_keys=wire.curve_keys,
        )
        return hub, wire.pool.close

    def _several(self, config: RunConfig, run_dir: Path, *, eos_token_ids: list[int]) -> Made:
        """The front of several dispatching processes, and what ends those."""
        workers, curve_keys = plan(config, run_dir=run_dir)
        setup = {
            "config": config.model_dump(mode="json"),
            "socket": str(self._scratch.path / SOCKET),
            "data_sha256": self.dataset.sha256,
            "eos_token_ids": eos_token_ids,
        }
        count = min(config.dispatch.processes, len(workers))
        front = Front(
            shares=[
                ShareSpec(number=i, workers=workers[i::count], curve_keys=curve_keys, setup=setup) for i in range(count)
            ],
            launch=launcher("harness.session.share", run_dir / names.SESSION_LOG),
            ledger=Ledger(
                first_tokens=config.scenario is not Scenario.OFFLINE,
                lengths=self.dataset.lengths.tolist(),
                order=make_order(config.dispatch.order) if config.dispatch.order != "issue" else None,
                block=self.library.performance_count,
            ),
            deliver=report_rows,
            options=supervisor_options(config),
            bind=f"ipc://{self._scratch.path / SOCKET}",
        )
        return front, front.end

    @property
    def idle(self) -> bool:
        """Whether every worker is ready and none has work."""
        return self.hub.ready == len(self.hub.workers) and not self.hub.outstanding

    def close(self) -> None:
        """End the workers. No process of ours is left afterwards."""
        grace = grace_s(idle=self.idle)
        with contextlib.suppress(HarnessError):
            self.hub.stop()
        self._end(grace)
        self._scratch.remove()


def make_dispatcher(config: RunConfig, *, block: int, eos_token_ids: list[int]) -> Dispatcher:
    dispatch, offline = config.dispatch, config.scenario is Scenario.OFFLINE
    return Dispatcher(
        policy=make_policy(
            dispatch.policy, offline=offline, backlog=dispatch.backlog, prefill_weight=dispatch.prefill_weight
        ),
        order=make_order(dispatch.order),
        block=block,
        max_attempts=config.workers.max_attempts,
        first_tokens=not offline,
        eos_token_ids=eos_token_ids,
    )


def _inspect_model(config: RunConfig, journal: Journal) -> dict[str, Any]:
    use = engines.find(config.engine.name).model
    if use is ModelUse.NONE or (use is ModelUse.SERVED and not config.model.path):
        return {}
    if shapes.is_shape(config.model.path or ""):
        reasons = [f"{config.model.path} is a shape with random weights"]
        journal.describe(model=Model(path=config.model.path, is_llama_3_1_8b=False, reasons=reasons))
        return {}
    from harness.inventory.model import inspect_model

    info = dataclasses.asdict(inspect_model(config.model.path or "", revision=config.model.revision))
    model = typed.convert({"path": config.model.path} | info, Model)
    if record := read_calibration(info["folder"]):
        model.calibration = record.without_marks
    journal.describe(model=model)
    return info


def _describe_data(dataset: Dataset, library: SampleLibrary, config: RunConfig) -> DatasetRecord:
    return DatasetRecord(
        path=str(dataset.path),
        sha256=dataset.sha256,
        format=dataset.format,
        label=dataset.label,
        count=dataset.count,
        total_count=library.total_count,
        performance_count=library.performance_count,
        input_tokens_mean=float(dataset.lengths.mean()),
        input_tokens_max=int(dataset.lengths.max()),
        duplicates=dataset.duplicates,
        is_official_count=dataset.count == config.benchmark.sample_count,
    )
