"""The two configuration files at the top, checked with LoadGen itself rather than with a parser of our own.

LoadGen keeps state from one ``FromConfig`` to the next, so each call gets a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MODELS = ("llama3_1-8b", "llama3_1-8b-interactive", "llama3_1-8b-edge")
SCENARIOS = ("Offline", "Server", "SingleStream", "MultiStream")
# LoadGen reads these from its compiled-in copy only (FromConfig with conf_type 0)
SEEDS = (
    "qsl_rng_seed",
    "sample_index_rng_seed",
    "schedule_rng_seed",
    "test05_qsl_rng_seed",
    "test05_sample_index_rng_seed",
    "test05_schedule_rng_seed",
)

READ_SETTINGS = """
import json, sys
import mlperf_loadgen as lg
out = []
for path, model, scenario, kind in json.loads(sys.argv[1]):
    settings = lg.TestSettings()
    code = settings.FromConfig(path, model, scenario, kind)
    fields = {k: str(getattr(settings, k)) for k in dir(settings) if not k.startswith("_") and k != "FromConfig"}
    out.append([code, fields])
print(json.dumps(out))
"""


def settings(path: Path | str, model: str, scenario: str, kind: int) -> tuple[int, dict[str, str]]:
    """Return LoadGen's code and effective settings. ``kind``: 0 compiled-in copy, 1 that and ``path``, 2 ``path``."""
    command = [sys.executable, "-c", READ_SETTINGS, json.dumps([[str(path), model, scenario, kind]])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    [[code, fields]] = json.loads(done.stdout)
    return code, fields


def lines_of(path: Path) -> dict[str, str]:
    """The ``key = value`` lines; each must be in the form that LoadGen does not silently drop."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        key, sign, value = line.split(" ")
        assert sign == "=", line
        assert key not in found, f"{key} stands twice"
        assert key.count(".") >= 2, line
        float(value)
        found[key] = value
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("model", MODELS)
def test_listed_lines_give_the_compiled_in_settings(model: str, scenario: str) -> None:
    listed = lines_of(ROOT / "mlperf.conf")
    code, built_in = settings("", model, scenario, 0)
    assert code == 0
    code, ours = settings(ROOT / "mlperf.conf", model, scenario, 2)
    assert code == 0
    for seed in SEEDS:
        assert built_in[seed] == listed[f"*.*.{seed}"]
        ours[seed] = listed[f"*.*.{seed}"]
    assert ours == built_in
    assert built_in["min_duration_ms"] == "600000"


@pytest.mark.parametrize(
    ("line", "model", "scenario", "field"),
    [
        ("llama3_1-8b.Server.ttft_latency = 2000", "llama3_1-8b", "Server", "ttft_latency"),
        ("llama3_1-8b-interactive.Server.tpot_latency = 30", "llama3_1-8b-interactive", "Server", "tpot_latency"),
        ("llama3_1-8b-edge.*.use_token_latencies = 1", "llama3_1-8b-edge", "SingleStream", "use_token_latencies"),
        ("llama3_1-8b.Offline.min_query_count = 13368", "llama3_1-8b", "Offline", "min_query_count"),
        ("*.SingleStream.min_duration = 600000", "llama3_1-8b-edge", "SingleStream", "min_duration_ms"),
    ],
)
def test_a_missing_line_would_be_seen(line: str, model: str, scenario: str, field: str, tmp_path: Path) -> None:
    text = (ROOT / "mlperf.conf").read_text()
    assert f"\n{line}\n" in text
    (tmp_path / "cut.conf").write_text(text.replace(f"\n{line}\n", "\n"))
    _, built_in = settings("", model, scenario, 0)
    _, cut = settings(tmp_path / "cut.conf", model, scenario, 2)
    assert cut[field] != built_in[field]


# key in user.conf -> (model name, scenario, field, LoadGen's unit for one unit of the key)
EFFECTS: dict[str, tuple[str, str, str, float]] = {
    "*.Offline.target_qps": ("llama3_1-8b", "Offline", "offline_expected_qps", 1.0),
    "llama3_1-8b.Server.target_qps": ("llama3_1-8b", "Server", "server_target_qps", 1.0),
    "llama3_1-8b-interactive.Server.target_qps": ("llama3_1-8b-interactive", "Server", "server_target_qps", 1.0),
    "*.SingleStream.target_latency": ("llama3_1-8b-edge", "SingleStream", "single_stream_expected_latency_ns", 1e6),
}


def test_user_conf_has_no_key_without_a_test() -> None:
    assert set(lines_of(ROOT / "user.conf")) == set(EFFECTS)


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_of_user_conf_takes_effect(key: str, tmp_path: Path) -> None:
    model, scenario, field, unit = EFFECTS[key]
    text = (ROOT / "user.conf").read_text()
    value = lines_of(ROOT / "user.conf")[key]
    code, got = settings(ROOT / "user.conf", model, scenario, 1)
    assert code == 0
    assert float(got[field]) == float(value) * unit
    # the same value might be LoadGen's default: another one must arrive as well
    (tmp_path / "user.conf").write_text(text.replace(f"{key} = {value}", f"{key} = 77"))
    code, got = settings(tmp_path / "user.conf", model, scenario, 1)
    assert code == 0
    assert float(got[field]) == 77 * unit


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scenario", ("Offline", "Server", "SingleStream"))
def test_user_conf_changes_nothing_else(model: str, scenario: str) -> None:
    def rest(fields: dict[str, str]) -> dict[str, Any]:
        return {k: v for k, v in fields.items() if k not in {effect[2] for effect in EFFECTS.values()}}

    _, built_in = settings("", model, scenario, 0)
    code, both = settings(ROOT / "user.conf", model, scenario, 1)
    assert code == 0
    assert rest(both) == rest(built_in)
