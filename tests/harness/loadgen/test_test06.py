"""TEST06: LoadGen takes our audit.config, and every way to cheat with the outputs is seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.loadgen.log import ACCURACY
from harness.loadgen.test06 import (
    ComplianceResult,
    Fault,
    verify,
    verify_log,
    write_audit_config,
    write_test06,
)
from harness.rounds import ROUND
from mlperf_llama_base.errors import RunError, UserError
from tests.harness.loadgen.real_runs import run_loadgen

Entries = list[dict[str, Any]]


@pytest.fixture(scope="module", params=["Offline", "Server", "SingleStream"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp(request.param)
    user_conf = directory / "user.conf"
    user_conf.write_text("*.Server.target_qps = 2000\n*.SingleStream.target_latency = 1\n")
    audit = write_audit_config(directory)
    model = "llama3_1-8b-edge" if request.param == "SingleStream" else "llama3_1-8b"
    return run_loadgen(
        directory / "run", scenario=request.param, model=model, count=256, audit=str(audit), user_conf=str(user_conf)
    )


def test_audit_config_is_absolute_and_says_what_the_rules_say(tmp_path: Path) -> None:
    path = write_audit_config(tmp_path)
    assert path.is_absolute()
    lines = dict(line.removeprefix("*.*.").split(" = ") for line in path.read_text().splitlines())
    assert {key: int(value) for key, value in lines.items()} == ROUND.audit_settings


def test_a_real_test06_run_passes(run: Path) -> None:
    result = verify(run)
    assert result.passed, result.reasons
    assert result.samples == ROUND.audited_samples
    assert result.first_token is (None if result.scenario == "Offline" else True)
    text = result.as_text().splitlines()
    assert text[0] == f"First token check pass: {'Skipped' if result.scenario == 'Offline' else 'True'}"
    assert text[1:] == ["EOS check pass: True", "Sample length check pass: True", "TEST06 verification complete"]


def test_files_land_where_the_checker_wants_them(run: Path, tmp_path: Path) -> None:
    test = write_test06(run, tmp_path / "Offline", verify(run))
    found = {p.relative_to(tmp_path / "Offline").as_posix() for p in test.rglob("*") if p.is_file()}
    assert found == {
        "TEST06/verify_accuracy.txt",
        "TEST06/accuracy/mlperf_log_accuracy.json",
        "TEST06/performance/run_1/mlperf_log_detail.txt",
        "TEST06/performance/run_1/mlperf_log_summary.txt",
    }
    assert (test / "accuracy" / ACCURACY).read_bytes() == (run / ACCURACY).read_bytes()


def test_files_of_a_broken_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is missing: run TEST06 again"):
        write_test06(tmp_path, tmp_path / "tree", ComplianceResult(scenario="Offline"))


def test_an_ordinary_run_is_not_taken_for_test06(tmp_path: Path) -> None:
    run = run_loadgen(tmp_path / "run", attributes={"min_duration_ms": 0})
    result = verify(run)
    assert any("did not read audit.config" in reason for reason in result.reasons)
    assert any("requested_accuracy_log_sampling_target is 0, TEST06 sets 100" in reason for reason in result.reasons)
    assert "0 samples are logged, TEST06 logs 100" in result.reasons


def test_without_logs_the_user_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--mode compliance"):
        verify(tmp_path)


def hexadecimal(*ids: int) -> str:
    return b"".join(i.to_bytes(4, "little", signed=True) for i in ids).hex().upper()


def good() -> Entries:
    return [
        {"seq_id": i, "qsl_idx": i, "data": hexadecimal(i, 7, 128009), "token_data": hexadecimal(i), "token_count": 3}
        for i in range(ROUND.audited_samples)
    ]


def check(tmp_path: Path, entries: Entries, scenario: str = "Server", eos: tuple[int, ...] | None = None) -> Any:
    path = tmp_path / ACCURACY
    path.write_text("[\n" + ",\n".join(json.dumps(e) for e in entries) + "\n]\n")
    return verify_log(path, scenario=scenario, **({"eos_token_ids": eos} if eos else {}))


def test_good_entries_pass(tmp_path: Path) -> None:
    assert check(tmp_path, good()).passed


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"token_data": hexadecimal(12)}, "first_token"),
        ({"token_data": ""}, "first_token"),
        ({"token_data": None}, "first_token"),
        ({"token_data": hexadecimal(5, 8)}, "first_token"),
        ({"data": hexadecimal(5, 128009, 128009)}, "eos"),
        ({"data": hexadecimal(5, 128001, 128009)}, "eos"),
        ({"token_count": 4}, "sample_length"),
        ({"token_count": None}, "sample_length"),
        ({"data": "", "token_count": 0}, "sample_length"),
        ({"data": "0500", "token_count": 3}, "sample_length"),
        ({"data": "zz"}, "sample_length"),
    ],
)
def test_one_bad_sample_fails_its_property(tmp_path: Path, change: dict[str, Any], failed: str) -> None:
    entries = good()
    entries[5] |= change
    result = check(tmp_path, entries)
    verdicts = {name: getattr(result, name) for name in ("first_token", "eos", "sample_length")}
    assert verdicts.pop(failed) is False
    assert all(verdicts.values())
    assert not result.passed and "sample 5 " in result.reasons[0]


def test_a_first_chunk_of_two_right_tokens_passes(tmp_path: Path) -> None:
    entries = good()
    entries[5]["token_data"] = hexadecimal(5, 7)
    assert check(tmp_path, entries).passed


def test_offline_asks_for_no_first_token(tmp_path: Path) -> None:
    entries = [{key: value for key, value in entry.items() if key != "token_data"} for entry in good()]
    result = check(tmp_path, entries, scenario="Offline")
    assert result.passed and result.first_token is None
    assert not check(tmp_path, entries, scenario="Server").passed


def test_end_tokens_are_those_of_the_model(tmp_path: Path) -> None:
    entries = good()
    entries[0]["data"] = hexadecimal(0, 2, 2)
    assert check(tmp_path, entries).passed
    assert not check(tmp_path, entries, eos=(2,)).passed


def test_more_than_128_tokens_break_the_rules(tmp_path: Path) -> None:
    entries = good()
    entries[0] |= {"data": hexadecimal(0, *[7] * 128), "token_count": 129}
    found = check(tmp_path, entries)
    assert found.reasons == [] and found.passed, "it is none of TEST06's three criteria"
    assert found.others == {Fault.TOO_LONG: "max_new_tokens: sample 0 has 129 tokens, more than 128"}


def test_an_end_token_before_the_end_breaks_no_criterion(tmp_path: Path) -> None:
    entries = good()
    entries[5] |= {"data": hexadecimal(5, 128008, 7, 7, 9), "token_count": 5}
    found = check(tmp_path, entries)
    assert found.eos and found.passed
    assert found.others[Fault.EARLY_END].startswith("end token: sample 5 has an end token at 1, before its last")


def wide(*tokens: int) -> str:
    return b"".join(token.to_bytes(8, "little", signed=True) for token in tokens).hex().upper()


def test_outputs_of_eight_bytes_a_token(tmp_path: Path) -> None:
    entries = [entry | {"data": wide(5, 7, 128009), "token_data": wide(5), "token_count": 3} for entry in good()]
    assert check(tmp_path, entries).reasons == []
    entries[2] |= {"token_data": wide(6)}
    assert check(tmp_path, entries).first_token is False


def test_twice_the_tokens_that_were_reported_are_no_int64(tmp_path: Path) -> None:
    entries = good()
    entries[0] |= {"data": hexadecimal(5, 6, 7, 8), "token_data": hexadecimal(5), "token_count": 2}
    assert check(tmp_path, entries).reasons == ["sample length: sample 0 has 4 tokens, 2 were reported"]


def test_a_missing_sample_is_noticed(tmp_path: Path) -> None:
    assert check(tmp_path, good()[:-1]).reasons == ["99 samples are logged, TEST06 logs 100"]


def test_many_faults_are_counted_not_listed(tmp_path: Path) -> None:
    entries = [entry | {"token_count": 9} for entry in good()]
    (reason,) = check(tmp_path, entries).reasons
    assert reason.endswith("; and 97 more")
