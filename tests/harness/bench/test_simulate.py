"""The dispatcher in a simulated machine room. Simulated time: nothing here depends on this machine's speed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.bench.simulate import Room, Simulation, at_rate, engine_of
from harness.bench.simulate_shares import SharedSimulation
from harness.inventory.floors import step_times
from mlperf_llama_base.errors import UserError
from tests.harness.inventory.test_floors import sums


@pytest.mark.parametrize("slow", [1.0, 0.5])
def test_32_nodes_of_8_gpus_are_busy_while_there_is_work(slow: float) -> None:
    figures = Simulation(Room(nodes=32, gpus=8, slow=slow, seconds=30)).run()
    # start and end cost the same in any test; one by the rules is 20 times as long, for the same 1 %
    assert figures["idle_fraction"] * figures["seconds"] / 600 < 0.002
    assert figures["of_engines"] > 0.9


def test_a_gpu_of_a_given_speed() -> None:
    fast = at_rate(Room(nodes=1, seconds=20), 170)
    figures = Simulation(fast).run()
    assert 0.95 * 8 * 170 < figures["samples_per_second"] < 8 * 170


def test_the_process_with_loadgen_is_a_limit_where_it_would_be_one() -> None:
    figures = Simulation(Room(nodes=8, gpus=8, seconds=10, hub_us=1000)).run()
    assert figures["samples_per_second"] < 1010
    assert figures["hub_busy_fraction"] > 0.98


def test_an_engine_from_a_runs_own_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = SimpleNamespace(engine_live_facts={"0": {"step_sums": sums(0)}}, engine=None)
    monkeypatch.setattr("harness.bench.simulate.read_result", lambda path: result)
    found = engine_of(tmp_path)
    times = step_times(result.engine_live_facts)
    assert times is not None
    assert found == {"step_ms": times.a_ms, "sequence_us": times.c_us, "prefill_us": times.p_us}
    assert Room(**found).prefill_us == pytest.approx(12.4)
    result.engine_live_facts = {}
    with pytest.raises(UserError, match="step_log=true"):
        engine_of(tmp_path)


def test_several_dispatching_processes_do_as_much_as_one_that_is_fast_enough() -> None:
    room = Room(nodes=8, gpus=8, slow=0.5, seconds=10)
    one, several = Simulation(room).run(), SharedSimulation(room, shares=4).run()
    assert several["samples"] == one["samples"] and several["shares"] == 4
    assert several["seconds"] < one["seconds"] + 0.2  # lots, turns and a wire more, not a share that waits


def test_several_processes_do_what_one_cannot_and_the_front_is_a_limit_where_it_would_be_one() -> None:
    room = Room(nodes=8, gpus=8, seconds=10, hub_us=600)
    assert Simulation(room).run()["samples_per_second"] < 1700
    assert SharedSimulation(room, shares=4).run()["samples_per_second"] > 3000
    assert SharedSimulation(room, shares=4, front_us=1000).run()["samples_per_second"] < 1010
