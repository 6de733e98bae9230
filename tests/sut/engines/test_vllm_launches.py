"""What a worker's process takes to launch a step, without vLLM."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from sut.engines import vllm_launches, vllm_start


@dataclass
class Step:
    num_scheduled_tokens: dict[str, int]

    @property
    def total_num_scheduled_tokens(self) -> int:
        return sum(self.num_scheduled_tokens.values())


def test_steps_are_timed_by_what_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    name = vllm_start.MODULES[0]
    module = ModuleType(name)

    class Worker:
        def execute_model(self, scheduler_output: Step) -> str:
            return "output"

    Worker.__module__ = name
    module.Worker = Worker  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm_launches, "sums", {})
    vllm_launches.watch()
    vllm_launches.watch()  # in one process the engine may start again
    worker = Worker()
    for scheduled in ({"-1": 16}, {}, {"1": 1, "2": 1}, {"1": 1, "3": 40}, {"3": 1, "4": 7}):
        assert worker.execute_model(Step(scheduled)) == "output"
    assert {kind: count for kind, (count, _) in vllm_launches.sums.items()} == {"decode": 1, "with prompts": 2}


def test_processes_add_up() -> None:
    found = vllm_launches.facts([{"decode": [1, 0.001]}, {"decode": [3, 0.011], "with prompts": [1, 0.024]}, {}])
    assert found == {"decode": {"count": 4, "mean_ms": 3.0}, "with prompts": {"count": 1, "mean_ms": 24.0}}
