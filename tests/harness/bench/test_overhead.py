"""What the harness costs is told beside LoadGen alone, measured in the same call."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench import profile
from mlperf_llama_base.errors import EnvironmentFault
from tests.helpers.command import command, read

FOLDED = """\
thread (11): hub;Hub.run (sut/hub.py:183);Hub._loop (sut/hub.py:198) 3
thread (11): hub;Hub.run (sut/hub.py:183);Hub._loop (sut/hub.py:201) 3
thread (12): loadgen;LoadGenTest.run (harness/session/session.py:230) 2
"""


def test_each_run_is_held_against_loadgen_alone(tmp_path: Path) -> None:
    options = (
        "--workers",
        "2",
        "--processes",
        "2",
        "--rate",
        "6000",
        "--seconds",
        "1",
        "--offline-samples",
        "500",
        "--no-overload",
    )
    done = command("bench", "overhead", "--output", tmp_path, *options)
    assert done.code == 0, done.err
    offline, server = read(tmp_path, "overhead.json")
    for row in (offline, server):
        assert row["ratio"] == pytest.approx(row["samples_per_second"] / row["alone"]["samples_per_second"])
        assert 0 < row["cpu_us_per_sample"] < row["cpu_us_per_sample_all"]
        assert row["alone"]["cpu_us_per_sample"] > 0
    assert offline["alone"]["ttft_p99_ms"] is None
    assert server["alone"]["ttft_p99_ms"] > 0
    assert "of alone" in done.out


def test_a_profile_adds_up_the_lines_of_a_function() -> None:
    text = profile.in_words(FOLDED)
    assert "75.0%  hub" in text and "25.0%  loadgen" in text
    assert "75.0%  Hub._loop (sut/hub.py)  [hub]" in text


def test_without_py_spy_a_profile_is_refused_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentFault, match="mlperf-llama\\[profile\\]"):
        profile.find()
