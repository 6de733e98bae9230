"""The configuration tree: what wins over what, and what a mistake is told as."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import config
from harness.accuracy.scorers import SCORERS
from harness.cli.options import RunSetup
from harness.config import PROFILES, Benchmark, Mode, RunConfig, Scenario, build, load_profile, merge, parse_set
from harness.config import tree as keys
from mlperf_llama_base.errors import UserError
from sut.policies import ORDERS, POLICIES


def profile(folder: Path, content: Any) -> str:
    path = folder / "profile.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


# -- what wins ---------------------------------------------------------------------------------------------------------


def test_later_sources_win(tmp_path: Path) -> None:
    path = profile(
        tmp_path,
        {
            "workers": {"count": 1, "tensor_parallel": 2},
            "loadgen": {"target_qps": 1.0},
            "dispatch": {"backlog": 7},
            "engine": {"args": {"a": 1, "b": {"c": 1, "d": 1}}},
            "scenarios": {"server": {"loadgen": {"target_qps": 2.0}, "workers": {"count": 2}}},
        },
    )
    found = RunSetup(profile=path, scenario=Scenario.SERVER).config()
    assert (found.loadgen.target_qps, found.workers.count, found.workers.tensor_parallel) == (2.0, 2, 2)
    found = RunSetup(profile=path, scenario=Scenario.SERVER, target_qps=3.0).config()
    assert (found.loadgen.target_qps, found.workers.count) == (3.0, 2)
    found = RunSetup(
        profile=path,
        scenario=Scenario.SERVER,
        target_qps=3.0,
        workers=3,
        settings=["loadgen.target_qps=4", "engine.args.b.c=2", "loadgen.target_qps=5"],
    ).config()
    assert (found.loadgen.target_qps, found.workers.count, found.dispatch.backlog) == (5.0, 3, 7)
    assert found.engine.args == {"a": 1, "b": {"c": 2, "d": 1}}


def test_the_defaults_are_left_where_nothing_is_said() -> None:
    assert build() == RunConfig()
    assert RunSetup().config() == RunConfig()


@pytest.mark.parametrize(
    ("chosen", "own", "sets", "wanted"),
    [
        (None, None, [], "offline's"),
        ("server", None, [], "server's"),
        (None, "server", [], "server's"),
        ("offline", "server", [], "offline's"),
        (None, None, ["scenario=server"], "server's"),
        ("offline", None, ["scenario=server"], "server's"),
        ("interactive", None, [], "all"),
    ],
)
def test_the_part_of_the_scenario_that_runs(
    tmp_path: Path, chosen: str | None, own: str | None, sets: list[str], wanted: str
) -> None:
    tree: dict[str, Any] = {
        "output": "all",
        "scenarios": {"offline": {"output": "offline's"}, "server": {"output": "server's"}},
    }
    path = profile(tmp_path, tree | ({"scenario": own} if own else {}))
    found = RunSetup(profile=path, scenario=Scenario(chosen) if chosen else None, settings=sets).config()
    assert found.output == wanted


def test_a_scenarios_part_may_be_empty(tmp_path: Path) -> None:
    assert load_profile(profile(tmp_path, "scenarios:\n  offline:\n"), "offline") == {}
    assert load_profile(profile(tmp_path, ""), None) == {}


def test_merging_leaves_its_arguments_alone() -> None:
    base, over = {"a": {"b": 1}, "c": [1]}, {"a": {"d": 2}, "c": [2]}
    assert merge(base, over) == {"a": {"b": 1, "d": 2}, "c": [2]}
    assert (base, over) == ({"a": {"b": 1}, "c": [1]}, {"a": {"d": 2}, "c": [2]})
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}


# -- scenarios and benchmarks ------------------------------------------------------------------------------------------


def test_singlestream_is_an_edge_scenario() -> None:
    assert build({"scenario": "singlestream"}).benchmark is Benchmark.EDGE
    assert RunSetup(scenario=Scenario.SINGLESTREAM).config().benchmark is Benchmark.EDGE
    assert RunSetup(settings=["scenario=singlestream"]).config().benchmark is Benchmark.EDGE
    assert build({"scenario": "singlestream", "benchmark": "datacenter"}).benchmark is Benchmark.DATACENTER
    assert build({"scenario": "offline"}).benchmark is Benchmark.DATACENTER


@pytest.mark.parametrize(
    ("scenario", "benchmark", "name"),
    [
        ("offline", "datacenter", "llama3_1-8b"),
        ("server", "datacenter", "llama3_1-8b"),
        ("interactive", "datacenter", "llama3_1-8b-interactive"),
        ("singlestream", "edge", "llama3_1-8b-edge"),
        ("offline", "edge", "llama3_1-8b-edge"),
    ],
)
def test_the_name_by_which_loadgen_finds_the_limits(scenario: str, benchmark: str, name: str) -> None:
    assert build({"scenario": scenario, "benchmark": benchmark}).model_name == name


# -- --set -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("workers.count=2", {"workers": {"count": 2}}),
        (" workers.count = 2", {"workers": {"count": 2}}),
        ("engine.args.speculative={a: [1, x]}", {"engine": {"args": {"speculative": {"a": [1, "x"]}}}}),
        ("engine.args.url=http://h/?a=b", {"engine": {"args": {"url": "http://h/?a=b"}}}),
        ("monitor.enabled=false", {"monitor": {"enabled": False}}),
        ("model.path=", {"model": {"path": None}}),
        ("scorer='1'", {"scorer": "1"}),
    ],
)
def test_a_setting(text: str, tree: dict[str, Any]) -> None:
    assert parse_set([text]) == tree


def test_settings_add_up() -> None:
    assert parse_set([]) == {}
    assert parse_set(["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize(
    ("text", "words"), [("workers.count", "key.path=value"), ("=2", "key.path=value"), ("a=[", "not YAML")]
)
def test_a_setting_with_a_mistake(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_set([text])


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "key", "meant"),
    [
        ({"workers": {"cout": 2}}, "workers.cout", "workers.count"),
        ({"loadgen": {"target_qp": 2}}, "loadgen.target_qp", "loadgen.target_qps"),
        ({"scenarioo": "offline"}, "scenarioo", "scenario"),
        ({"enigne": {}}, "enigne", "engine"),
    ],
)
def test_an_unknown_key_names_the_nearest(tree: dict[str, Any], key: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"'{key}' is not known; did you mean '{meant}") as caught:
        build(tree)
    assert "\n" not in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(UserError, match=r"workers.count.*greater than or equal to 1.*\(got 0\).*'zzz' is not known$"):
        build({"workers": {"count": 0}, "zzz": 1})


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"scenario": "multistream"}, "scenario.*'offline', 'server'"),
        ({"loadgen": {"target_qps": -1}}, "loadgen.target_qps.*greater than 0"),
        ({"workers": 3}, "workers.*dictionary"),
        ({"engine": {"device": None}}, "engine.device.*string"),
        ({"dispatch": {"policy": "x"}}, "dispatch.policy.*'auto', 'credit'"),
        ({"scorer": "x"}, "scorer.*'fast', 'rouge-score' or 'evaluate'"),
        ({"cluster": {"strategy": "SPRED"}}, "cluster.strategy.*SPREAD, STRICT_SPREAD"),
        ({"workers": {"heartbeat_s": 20}}, "'workers': heartbeat_s 20 must be below heartbeat_timeout_s 15$"),
        ({"cluster": {"resources": {"TPU": float("inf")}}}, "cluster.resources.TPU.*finite"),
    ],
)
def test_a_value_that_cannot_be(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(tree)


NUMBERS = [key for key in config.all_keys() if config.field_of(key).json_schema_extra]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e30, -1, 99999999999999999999])
def test_every_number_has_bounds(key: str, value: float) -> None:
    """Each of these was once a hang, a crash of LoadGen or a raw exception for one key or another."""
    if config.field_of(key).annotation in (int | None, int, float, float | None):
        with pytest.raises(UserError, match=key):
            build(parse_set([f"{key}={value!r}".replace("inf", ".inf").replace("nan", ".nan")]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "not YAML"),
        ("- 1", "must be a mapping"),
        ("scenarios: [offline]", "must map names of scenarios"),
        ("scenarios: {offline: 3}", "must map names of scenarios"),
        ("scenarios: {ofline: {}}", "'ofline' is not known; did you mean 'offline'"),
        ("scenarios: {1: {}}", "1 is not known"),
        ("\0", "not YAML"),
        ("base: 3", "'base' must name a profile"),
        ("base: [h100-fp8]", "'base' must name a profile"),
    ],
)
def test_a_profile_with_a_mistake(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_profile(profile(tmp_path, content), None)
    assert "\n" not in str(caught.value)


def test_a_profile_lies_on_its_base(tmp_path: Path) -> None:
    low = tmp_path / "low.yaml"
    low.write_text("{engine: {name: 'null', args: {a: 1, b: 1}}, scenarios: {server: {engine: {args: {b: 2, c: 2}}}}}")
    middle = tmp_path / "middle.yaml"
    middle.write_text(f"{{base: {low}, engine: {{args: {{a: 3}}}}, scenarios: {{server: }}}}")
    top = profile(tmp_path, f"{{base: {middle}, scenarios: {{server: {{engine: {{args: {{c: 4}}}}}}}}}}")
    assert load_profile(top, "server") == {"engine": {"name": "null", "args": {"a": 3, "b": 2, "c": 4}}}
    assert load_profile(top, "offline") == {"engine": {"name": "null", "args": {"a": 3, "b": 1}}}
    low.write_text(f"base: {middle}")
    with pytest.raises(UserError, match="'base' leads back to it"):
        load_profile(top, "server")
    low.write_text("base: h100-pf8")
    with pytest.raises(UserError, match="did you mean 'h100-fp8'"):
        load_profile(top, "server")


def test_a_profile_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not YAML"):
        load_profile(str(path), None)
    with pytest.raises(UserError, match=r"neither a file nor one of .*; did you mean 'cpu-demo'"):
        load_profile("cpu-dmeo", None)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.stem for p in PROFILES.glob("*.yaml")))
@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_profile_that_we_ship_fits_every_scenario(name: str, scenario: Scenario) -> None:
    assert RunSetup(profile=name, scenario=scenario).config().scenario is scenario


def test_saved_and_read_again_it_is_the_same(tmp_path: Path) -> None:
    before = build(
        {
            "scenario": "interactive",
            "mode": "accuracy",
            "overwrite": True,
            "engine": {"args": {"a": [1, None]}},
            "loadgen": {"target_qps": 0.1},
        }
    )
    before.save(tmp_path / "config.yaml")
    after = build(load_profile(str(tmp_path / "config.yaml"), None))
    assert after == before.model_copy(update={"overwrite": False})
    assert after.mode is Mode.ACCURACY


def test_every_key_is_listed_once() -> None:
    keys = config.all_keys()
    assert len(keys) == len(set(keys))
    assert {"scenario", "engine.name", "engine.args", "workers.count", "loadgen.target_qps"} <= set(keys)
    assert "engine" not in keys


def test_the_choices_are_those_there_are() -> None:
    assert set(typing.get_args(keys.Policy)) == {"auto", *POLICIES}
    assert set(typing.get_args(keys.Order)) == set(ORDERS)
    assert set(typing.get_args(keys.Scorer)) == set(SCORERS)


def test_every_number_has_a_unit_and_every_key_a_description() -> None:
    for key in config.all_keys():
        field = config.field_of(key)
        assert field.description, key
        kinds = {field.annotation, *typing.get_args(field.annotation)}
        if kinds & {int, float}:
            assert isinstance(field.json_schema_extra, dict) and field.json_schema_extra["unit"], key
