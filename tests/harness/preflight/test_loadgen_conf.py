"""user.conf: each trap is found, with its line; what is fine passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.preflight.base import Finding, Status
from harness.preflight.loadgen_conf import Shortened, TargetRate, UserConf
from tests.harness.preflight.fakes import gpu, make, node

TRAPS = {
    "*.Offline.target_qps = 20 # measured": ("fail", "a comment after a value"),
    "#comment here": ("fail", "a comment needs a space"),
    "*.Offline.target_qps=20": ("fail", "silently ignored: spaces are needed"),
    "*.Offline.target_qps =": ("fail", "nothing follows"),
    "*.Offline.target_qps 20": ("fail", "expected '='"),
    "*.Offline.target_qps = fast": ("fail", "is not a number"),
    "*.Offline.target_qps = 5 6": ("fail", "LoadGen takes the last"),
    "*.Offline.target_pqs = 20": ("fail", "did you mean 'target_qps'?"),
    "target_qps = 20": ("fail", "model.scenario.key"),
    "llama3.1-8b.Offline.target_qps = 20": ("fail", "did you mean 'llama3_1-8b'?"),
    "*.offline.target_qps = 20": ("fail", "did you mean 'Offline'?"),
    "*.Interactive.target_qps = 20": ("fail", "no scenario 'Interactive'"),
    "*.Offline.ttft_latency = 20": ("fail", "for Server only"),
    "*.*.min_query_count = 2e4": ("fail", "reads the integer 2"),
    "*.*.min_query_count = 013368": ("fail", "reads the integer 734"),
    "*.*.min_query_count = -1": ("fail", "reads the integer 18446744073709551615"),
    "*.Server.ttft_latency = 10.5": ("fail", "reads the integer 10"),
    "*.Offline.min_duration = 120000": ("warn", "below the rules' 600000 ms"),
    "*.*.qsl_rng_seed = 1": ("warn", "no effect"),
    "*.*.mode = 1": ("warn", "audit.config"),
    "*.Server.ttft_latency = 3000": ("warn", "open division only"),
    "llama3_1-8b-interactive.Server.ttft_latency = 2000": ("warn", "open division only"),
    "llama3_1-8b.*.use_token_latencies = 0": ("warn", "open division only"),
    "*.Server.target_latency_percentile = 90": ("warn", "open division only"),
    "*.*.sample_concatenate_permutation = 0": ("warn", "equal issue off"),
    "*.*.performance_sample_count_override = 100": ("warn", "below the rules' 13368"),
    "*.Offline.min_query_count = 100": ("warn", "below the rules' 13368"),
    "*.Offline.max_duration = 1000": ("warn", "before the rules' minimum"),
    "llama3_1-8b.*.min_duration = 700000\n*.Offline.min_duration = 600000": ("warn", "loses against line 3"),
    "*.Offline.target_qps = 5\n*.Offline.target_qps = 6": ("warn", "is set again in line 3"),
}
FINE = (
    "*.Offline.target_qps = 20",
    "llama3_1-8b-interactive.Server.target_qps = 7.5",
    "# a comment\n\n*.*.min_duration = 600000\n*.*.target_qps = 20.5",
    "llama2-70b.Server.target_latency = 5",
    "gptj-99.Offline.target_qps=3\nllama2-70b-99.9.Server.target_qps = 3",  # another benchmark's affair
    "llama3_1-8b.Server.ttft_latency = 2000\nllama3_1-8b.Server.tpot_latency = 100",
    "llama3_1-8b.*.use_token_latencies = 1",
    "llama3_1-8b-interactive.Server.ttft_latency = 500",
    "*.Server.target_latency_percentile = 99\n*.Offline.target_latency_percentile = 90\n*.Server.target_duration = 0",
    "*.*.qsl_rng_seed = 2085463073848966840\n*.MultiStream.samples_per_query = 8",
    "*.SingleStream.target_latency = 250.5\n*.Server.coalesce_queries = 1",
)


def look(text: str, tmp_path: Path) -> Finding:
    path = tmp_path / "user.conf"
    path.write_text(text)
    return UserConf().run(make(loadgen__user_conf=str(path)))


@pytest.mark.parametrize("line", TRAPS)
def test_a_trap_is_found_and_its_line_named(line: str, tmp_path: Path) -> None:
    status, text = TRAPS[line]
    finding = look(f"# first\n{line}\n", tmp_path)
    whole = "\n".join((finding.found, *finding.details))
    assert finding.status == status
    assert text in whole
    assert "line 2" in whole
    assert finding.advice


@pytest.mark.parametrize("text", FINE)
def test_a_good_file_passes(text: str, tmp_path: Path) -> None:
    assert look(text, tmp_path).status is Status.PASS


def test_mlperf_conf_given_as_user_conf_changes_nothing(tmp_path: Path) -> None:
    """MLCommons' own lines, for each of the benchmark's scenarios; test05's seeds have no effect and are said to."""
    text = (Path(__file__).parents[3] / "mlperf.conf").read_text()
    for scenario in ("offline", "server", "interactive", "singlestream"):
        path = tmp_path / "user.conf"
        path.write_text("\n".join(line for line in text.splitlines() if "test05" not in line))
        finding = UserConf().run(make(loadgen__user_conf=str(path), scenario=scenario))
        assert (finding.status, finding.blocks_submission) == (Status.PASS, False), (scenario, finding)


def test_a_limit_for_all_is_official_where_this_run_has_it(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text("*.Server.ttft_latency = 500\n")
    assert UserConf().run(make(loadgen__user_conf=str(path), scenario="interactive")).status is Status.PASS
    assert UserConf().run(make(loadgen__user_conf=str(path), scenario="server")).blocks_submission


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_bytes(b"\xef\xbb\xbf*.Offline.target_qps = 5\n")
    assert "byte-order mark" in UserConf().run(make(loadgen__user_conf=str(path))).found


def test_what_cannot_be_submitted_says_so(tmp_path: Path) -> None:
    assert look("*.Offline.min_duration = 1000\n", tmp_path).blocks_submission
    assert not look("*.*.qsl_rng_seed = 1\n", tmp_path).blocks_submission


def test_a_missing_file_fails(tmp_path: Path) -> None:
    finding = UserConf().run(make(loadgen__user_conf=str(tmp_path / "none.conf")))
    assert (finding.status, "cannot be read" in finding.found) == (Status.FAIL, True)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("*.Server.target_qps = 0", "fail"),
        ("*.Server.target_qps = inf", "fail"),
        ("*.Server.target_qps = -2", "fail"),
        ("*.Offline.target_qps = 5", "warn"),
        ("*.Server.target_qps = 0.5", "warn"),
        ("*.Server.target_qps = 90000", "warn"),
        ("*.Server.target_qps = 20", "pass"),
    ],
)
def test_the_rate_must_be_there_and_plausible(text: str, status: str, tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text(text)
    machine = node(gpu())
    assert TargetRate().run(make(machine, scenario="server", loadgen__user_conf=str(path))).status == status


def test_the_configuration_wins_over_user_conf(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text("*.Server.target_qps = 0")
    context = make(scenario="server", loadgen__user_conf=str(path), loadgen__target_qps=20)
    finding = TargetRate().run(context)
    assert finding.status is Status.PASS
    assert "13,368 samples, 668 s" in finding.found


@pytest.mark.parametrize(("qps", "samples"), [(20, 13368), (50, 40104), (100, 66840), (500, 334200), (1000, 668400)])
def test_the_length_of_an_offline_run_is_loadgens(qps: int, samples: int) -> None:
    assert f" {samples:,} samples" in TargetRate().run(make(node(gpu()), loadgen__target_qps=qps)).found


def test_single_stream_wants_a_latency() -> None:
    assert TargetRate().run(make(scenario="singlestream")).status is Status.WARN
    assert TargetRate().run(make(scenario="singlestream", loadgen__target_latency_ms=250)).status is Status.PASS


def test_a_shortened_run_is_called_so() -> None:
    short = Shortened().run(make(loadgen__min_duration_ms=1000, dataset__limit=4))
    assert (short.status, short.blocks_submission) == (Status.WARN, True)
    assert "dataset.limit 4" in short.found
    assert Shortened().run(make()).status is Status.PASS
