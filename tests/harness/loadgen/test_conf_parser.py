"""Our reading of a user.conf is LoadGen's: every case is given to the real library as well."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.loadgen.conf_keys import KEYS, Key, Kind, Use, in_effect
from harness.loadgen.conf_parser import parse

# FromConfig(path, ..., 2) reads a file over the embedded settings like 1 does, and may be called often in one process.
PROBE = """
import json, sys
import mlperf_loadgen as lg
out = []
for path, model, scenario, kind in json.load(sys.stdin):
    s = lg.TestSettings()
    base = s.FromConfig("", model, scenario, 0) if kind == 2 else 0
    rc = s.FromConfig(path, model, scenario, kind)
    out.append([base, rc, {f: getattr(s, f) for f in dir(s)
                           if isinstance(getattr(s, f), (bool, int, float)) and not f.startswith("_")}])
json.dump(out, sys.stdout)
"""
MODEL, INTERACTIVE, EDGE = "llama3_1-8b", "llama3_1-8b-interactive", "llama3_1-8b-edge"
TRAPS: dict[str, str] = {
    "plain": "*.Server.target_qps = 20\n*.Offline.target_qps = 33.5\n",
    "trailing comment": "*.Server.target_qps = 20 # measured\n",
    "no spaces": "*.Server.target_qps=20\n",
    "space only before": "*.Server.target_qps =20\n",
    "space only after": "*.Server.target_qps= 20\n",
    "no value": "*.Server.target_qps =\n",
    "key alone": "*.Server.target_qps\n",
    "key and comment": "*.Server.target_qps # 20\n",
    "comment": "# a comment\n  # another\n*.Server.target_qps = 5\n",
    "comment without space": "#a comment\n*.Server.target_qps = 5\n",
    "one-word comment": "#comment\n*.Server.target_qps = 5\n",
    "commented-out assignment": "#*.Server.target_qps = 4\n*.Server.target_qps = 5\n",
    "two values": "*.Server.target_qps = 5 6\n",
    "word": "*.Server.target_qps = fast\n",
    "thousands": "*.Server.min_duration = 600,000\n",
    "underscores": "*.Server.min_duration = 600_000\n",
    "exponent for an integer": "*.Server.min_duration = 6e5\n*.Offline.min_duration = 6e5\n",
    "fraction for an integer": "*.Server.ttft_latency = 10.5\n",
    "octal": "*.*.min_query_count = 0100\n*.Server.target_qps = 010\n",
    "leading zero, not octal": "*.*.min_query_count = 0900\n",
    "hexadecimal": "*.*.min_query_count = 0x100\n",
    "negative": "*.*.min_query_count = -1\n",
    "zero rate": "*.Server.target_qps = 0\n*.Offline.target_qps = 0\n",
    "not a number": "*.Server.target_qps = nan\n*.Offline.target_qps = inf\n",
    "unknown key": "*.Server.target_pqs = 20\n",
    "wrong model": "llama3.1-8b.Server.target_qps = 20\n",
    "wrong case": "*.server.target_qps = 20\n",
    "Interactive as a scenario": "*.Interactive.target_qps = 20\n",
    "wildcard scenario beats wildcard model": f"{MODEL}.*.min_duration = 700000\n*.Server.min_duration = 800000\n",
    "exact beats both": f"*.Server.min_duration = 8\n{MODEL}.Server.min_duration = 9\n{MODEL}.*.min_duration = 7\n",
    "double wildcard": "*.*.target_qps = 3\n*.*.min_duration = 650000\n",
    "the later wins": "*.Server.target_qps = 3\n*.Server.target_qps = 4\n",
    "seeds": "*.*.qsl_rng_seed = 1\n*.*.sample_index_rng_seed = 2\n*.*.accuracy_log_probability = 50\n",
    "limits": "*.Server.ttft_latency = 3000\n*.Server.tpot_latency = 200\n*.Server.target_latency = 5\n",
    "percentile": "*.Server.target_latency_percentile = 90\n*.SingleStream.target_latency_percentile = 50\n",
    "equal issue off": "*.*.sample_concatenate_permutation = 0\n",
    "flags": "*.Server.coalesce_queries = 2\n*.*.print_timestamps = 2\n*.*.sample_concatenate_permutation = 2\n",
    "single stream": "*.SingleStream.target_latency = 250.5\n",
    "carriage returns": "*.Server.target_qps = 20\r\n*.Offline.target_qps = 21\r\n",
    "tabs": "*.Server.target_qps\t=\t20\n",
    "no line end": "*.Server.target_qps = 20",
    "byte order mark": "\ufeff*.Server.target_qps = 20\n",
    "non-breaking space": "*.Server.target_qps\u00a0= 20\n",
    "empty": "",
    "equal sign twice": "*.Server.target_qps = = 20\n",
    "plus sign": "*.Server.target_qps = +20\n",
    "quotes": "*.Server.target_qps = '20'\n",
}


def loadgen(cases: list[tuple[Path, str, str]], kind: int = 2) -> list[tuple[int, int, dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps([[str(p), m, s, kind] for p, m, s in cases]),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[tuple[int, int, dict[str, Any]]] = json.loads(done.stdout)
    return answer


def expected(data: bytes, model: str, scenario: str, embedded: dict[str, Any]) -> dict[str, Any]:
    """What our reading makes of the file, over the embedded settings; the fields of this scenario only."""
    values = {key.field: embedded[key.field] for key in compared(scenario)}
    for key, _, value in in_effect(parse(data), model=model, scenario=scenario):
        if key.field in values:
            values[key.field] = value
    return values


def compared(scenario: str) -> list[Key]:
    return [key for key in KEYS if key.use is not Use.EMBEDDED and key.only in (None, scenario) and key.name != "mode"]


def check(tmp_path: Path, files: list[bytes]) -> None:
    cases = []
    empty = tmp_path / "empty.conf"
    empty.write_bytes(b"")
    for number, data in enumerate(files):
        path = tmp_path / f"{number}.conf"
        path.write_bytes(data)
        cases += [
            (path, m, s)
            for m, s in ((MODEL, "Server"), (MODEL, "Offline"), (INTERACTIVE, "Server"), (EDGE, "SingleStream"))
        ]
    embedded = loadgen([(empty, model, scenario) for _, model, scenario in cases])
    for (path, model, scenario), (_, rc, real), (_, _, base) in zip(cases, loadgen(cases), embedded, strict=True):
        data = path.read_bytes()
        where = f"{model} {scenario}: {data!r}"
        assert (rc != 0) == bool(parse(data).errors), where
        mine = expected(data, model, scenario, base)
        if not mine["use_token_latencies"]:  # then LoadGen does not look the limits up
            mine.pop("ttft_latency", None)
            mine.pop("tpot_latency", None)
        mine.pop("token_latency_scaling_factor")
        assert {f: repr(real[f]) for f in mine} == {f: repr(typed(real[f], v)) for f, v in mine.items()}, where


def typed(like: Any, value: Any) -> Any:
    return float(value) if isinstance(like, float) else value


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_read_as_loadgen_reads_it(name: str, tmp_path: Path) -> None:
    check(tmp_path, [TRAPS[name].encode()])


def test_random_files_are_read_as_loadgen_reads_them(tmp_path: Path) -> None:
    rng = random.Random(20)
    names = [k.name for k in KEYS if k.name not in ("mode", "token_latency_scaling_factor", "max_async_queries")]
    keys = [
        f"{m}.{s}.{n}"
        for m in ("*", MODEL, INTERACTIVE, EDGE)
        for s in ("*", "Server", "Offline", "SingleStream")
        for n in names
    ]
    values = ["1", "0", "20", "2.5", "007", "0x1F", "1e3", "5.", ".5", "-3", "+4", "09", "8 9", "x", "1 #", "#", ""]
    equals = [" = "] * 12 + ["=", " =", "= ", " == ", "\t=  "]
    files = []
    for _ in range(150):
        lines = [rng.choice(keys) + rng.choice(equals) + rng.choice(values[: rng.choice((6, 17))]) for _ in range(6)]
        files.append("\n".join(lines).encode())
    check(tmp_path, files)


def test_a_user_conf_of_a_run_is_read_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text(TRAPS["wildcard scenario beats wildcard model"])
    [(_, rc, real)] = loadgen([(path, MODEL, "Server")], kind=1)
    assert (rc, real["min_duration_ms"]) == (0, 800000)
    found = {key.name: value for key, _, value in in_effect(parse(path.read_bytes()), model=MODEL, scenario="Server")}
    assert found["min_duration"] == 800000


def test_lines_are_numbered() -> None:
    conf = parse(b"# one\n\n*.Server.target_qps=3\n*.Server.min_duration = 4 # five\n")
    assert [line for line, _ in conf.ignored] == [3]
    assert [line for line, _ in conf.errors] == [4]


def test_every_kind_of_value_is_covered() -> None:
    assert {key.kind for key in KEYS} == set(Kind)
