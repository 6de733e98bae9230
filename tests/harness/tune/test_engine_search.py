"""Engine settings: no trial twice, nothing left out of a small grid, the budget kept."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cli.tune import parse_search
from harness.config import RunConfig
from harness.tune.engine_search import grid, optimise
from harness.tune.state import with_settings
from mlperf_llama_base.errors import UserError

SPACE: dict[str, list[Any]] = {"max_num_batched_tokens": [2048, 4096, 8192], "max_num_seqs": [256, 512]}


def value(settings: dict[str, Any]) -> float:
    """Best at 4096 and 512, where neither setting alone shows it."""
    good = settings == {"max_num_batched_tokens": 4096, "max_num_seqs": 512}
    return 60.0 if good else 40.0 + settings["max_num_batched_tokens"] / 1000 - settings["max_num_seqs"] / 100


def test_a_small_grid_is_searched_whole_and_nothing_twice() -> None:
    tried: list[dict[str, Any]] = []

    def evaluate(settings: dict[str, Any]) -> float:
        tried.append(settings)
        return value(settings)

    optimise(SPACE, evaluate, known=[], seconds=600, seed=0)
    assert len(tried) == len(grid(SPACE)) == 6
    assert all(settings in tried for settings in grid(SPACE))
    assert max(tried, key=value) == max(grid(SPACE), key=value)


def test_what_is_known_is_not_tried_again() -> None:
    known = [(settings, value(settings)) for settings in grid(SPACE)[:4]]
    tried: list[dict[str, Any]] = []
    optimise(SPACE, lambda s: tried.append(s) or 1.0, known=known, seconds=600, seed=0)  # type: ignore[func-returns-value]
    assert sorted(map(str, tried)) == sorted(map(str, grid(SPACE)[4:]))


def test_without_time_one_setting_is_tried() -> None:
    tried: list[dict[str, Any]] = []
    optimise(SPACE, lambda s: tried.append(s) or 1.0, known=[], seconds=0, seed=0)  # type: ignore[func-returns-value]
    assert len(tried) == 1


def test_settings_are_the_engines_or_any_key() -> None:
    config = with_settings(RunConfig(), {"max_num_seqs": 512, "dispatch.prefill_weight": 4})
    assert config.engine.args == {"max_num_seqs": 512}
    assert config.dispatch.prefill_weight == 4
    with pytest.raises(UserError, match=r"dispatch\.prefil_weight"):
        with_settings(RunConfig(), {"dispatch.prefil_weight": 4})


def test_search_options_are_yaml_scalars() -> None:
    assert parse_search(["a=1,2", "b=fp8,true,0.9"]) == {"a": [1, 2], "b": ["fp8", True, 0.9]}


@pytest.mark.parametrize("text", ["a", "a=", "=1,2", "a=1,1", "a=[1,2],3", "a=1,]["])
def test_a_search_option_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--search"):
        parse_search([text])
