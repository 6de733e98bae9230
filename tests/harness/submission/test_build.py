"""Building: the layout, every refusal with its reason, nothing private, nothing lost."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.submission.build import Refused, build_tree
from harness.submission.check import check_submission
from harness.submission.runs import SystemRuns, find_system
from harness.verdict.result import write_result
from mlperf_llama_base.errors import UserError
from tests.harness.submission.conftest import SYSTEM, order
from tests.harness.submission.runs import agree, copy, edit_log, sign
from tests.harness.submission.test_system_description import MACHINE

BENCHMARK = "closed/ACME/results/acme_8x/llama3.1-8b"


@pytest.fixture
def campaign(datacenter: Path, tmp_path: Path) -> Path:
    """A copy of the campaign to spoil."""
    return copy(datacenter, tmp_path / "campaign")


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(campaign: Path, tmp_path: Path, **changes: object) -> list[str]:
    with pytest.raises(Refused) as caught:
        build_tree(find_system([campaign]), order(tmp_path, **changes))
    assert not (tmp_path / "tree" / "closed").exists()
    return caught.value.reasons


def test_the_tree_has_everything_in_its_place(both: Path) -> None:
    scenario = both / "tree" / BENCHMARK / "Server"
    found = {path.relative_to(scenario).as_posix() for path in scenario.rglob("*") if path.is_file()}
    assert found == {
        "user.conf",
        "README.md",
        "measurements.json",
        "performance/run_1/mlperf_log_detail.txt",
        "performance/run_1/mlperf_log_summary.txt",
        "accuracy/accuracy.txt",
        "accuracy/mlperf_log_accuracy.json",
        "accuracy/mlperf_log_detail.txt",
        "accuracy/mlperf_log_summary.txt",
        "TEST06/verify_accuracy.txt",
        "TEST06/accuracy/mlperf_log_accuracy.json",
        "TEST06/performance/run_1/mlperf_log_detail.txt",
        "TEST06/performance/run_1/mlperf_log_summary.txt",
    }
    submitter = both / "tree" / "closed" / "ACME"
    assert {p.name for p in submitter.iterdir()} == {"systems", "src", "documentation", "results"}
    assert {p.name for p in (submitter / "systems").iterdir()} == {"acme_8x.json", "acme_edge.json"}
    assert {p.name for p in both.joinpath("tree").iterdir()} == {"closed"}


def test_logs_are_copied_byte_for_byte_and_the_complete_one_is_kept(both: Path, datacenter: Path) -> None:
    scenario = both / "tree" / BENCHMARK / "Offline"
    for mode, directory in (("performance", "performance/run_1"), ("accuracy", "accuracy")):
        name = "mlperf_log_detail.txt"
        assert (scenario / directory / name).read_bytes() == (datacenter / "offline" / mode / name).read_bytes()
    whole = (datacenter / "offline" / "accuracy" / "mlperf_log_accuracy.json").read_bytes()
    assert (both / "backup" / BENCHMARK / "Offline" / "accuracy" / "mlperf_log_accuracy.json").read_bytes() == whole
    assert f"hash={hashlib.sha256(whole).hexdigest()}" in (scenario / "accuracy" / "accuracy.txt").read_text()


def test_measurements_and_calibration_say_what_the_engine_did(both: Path) -> None:
    submitter = both / "tree" / "closed" / "ACME"
    measured = json.loads((both / "tree" / BENCHMARK / "Server" / "measurements.json").read_text())
    assert measured["weight_data_types"] == "fp8"
    assert measured["weight_transformations"].startswith("quantization to fp8")
    assert measured["retraining"] == "No"
    text = (submitter / "documentation" / "calibration.md").read_text()
    assert "## acme_8x: llama3.1-8b\n" in text and "## acme_edge: llama3.1-8b-edge\n" in text
    assert "| weights | fp8, quantised by the engine while loading (method fp8) |" in text
    assert "| activations | scales computed at run time (dynamic); unquantised operations in bf16 |" in text
    assert "| calibration data | none was used |" in text
    assert "| acme_8x | Offline |" in (submitter / "documentation" / "bandwidth.md").read_text()


def test_nothing_private_is_in_the_tree(both: Path) -> None:
    text = "\n".join(p.read_text(errors="replace") for p in (both / "tree").rglob("*") if p.is_file())
    for word in ("erika", "alpha-node-7", str(Path.home()), str(both.parent)):
        assert word not in text


def test_the_configurations_can_be_run_again(both: Path) -> None:
    from harness import config

    directory = both / "tree" / "closed" / "ACME" / "src" / "llama3.1-8b" / "configs" / "acme_8x"
    assert len(list(directory.iterdir())) == 9
    tree = config.load_profile(str(directory / "interactive-performance.yaml"), None)
    assert config.build(tree).model_name == "llama3_1-8b-interactive"
    assert config.build(tree).output == ""


def test_an_invalid_run_is_refused_with_loadgen_s_reason(campaign: Path, tmp_path: Path) -> None:
    run = campaign / "server" / "performance"
    edit_log(run / "mlperf_log_detail.txt", {"early_stopping_met": False, "result_validity": "INVALID"})
    agree(run)
    write_result(run)
    reasons = refused(campaign, tmp_path)
    (reason,) = reasons
    assert reason.startswith("not valid: LoadGen says INVALID") and reason.endswith("[server performance]")


def test_an_edited_result_json_helps_nobody(campaign: Path, tmp_path: Path) -> None:
    run = campaign / "server" / "performance"
    edit_log(run / "mlperf_log_detail.txt", {"result_validity": "INVALID"})
    edit_json(run / "result.json", valid=True, invalid_reasons=[])
    reasons = refused(campaign, tmp_path)
    assert any("mlperf_log_detail.txt is not the file that result.json was made from" in r for r in reasons)
    assert any("LoadGen says INVALID" in r for r in reasons)


def test_another_model_is_refused_in_closed_and_taken_as_a_rehearsal(campaign: Path, tmp_path: Path) -> None:
    for session in campaign.glob("*/*/session.json"):
        model = {"is_llama_3_1_8b": False, "reasons": ["2 layers"], "path": "/srv/tiny", "revision": None}
        edit_json(session, model=model)
        write_result(session.parent)
    reasons = refused(campaign, tmp_path)
    assert reasons == ["not submittable: the model is not Llama-3.1-8B-Instruct: 2 layers [every run]"]
    build_tree(find_system([campaign]), order(tmp_path, rehearsal=True))
    submitter = tmp_path / "tree" / "closed" / "ACME"
    assert json.loads((submitter / "systems" / "acme_8x.json").read_text())["sw_notes"].startswith("REHEARSAL")
    (finding,) = check_submission(tmp_path / "tree")
    assert (finding.rule, finding.severity) == ("system.rehearsal", "warning")


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("offline", "no runs of offline: the closed division needs Offline"),
        ("server/accuracy", "no server accuracy run"),
        ("interactive/compliance", "no interactive compliance run"),
        ("server/performance", "no server performance run"),
    ],
)
def test_what_is_missing_is_named(missing: str, reason: str, campaign: Path, tmp_path: Path) -> None:
    shutil.rmtree(campaign / missing)
    assert refused(campaign, tmp_path) == [reason]


def test_closed_needs_server_or_interactive(campaign: Path, tmp_path: Path) -> None:
    shutil.rmtree(campaign / "server")
    build_tree(find_system([campaign]), order(tmp_path))
    shutil.rmtree(campaign / "interactive")
    shutil.rmtree(tmp_path / "tree")
    assert refused(campaign, tmp_path) == ["no runs of server or interactive: the closed division needs one of them"]


def test_accuracy_and_performance_must_be_the_same_code(campaign: Path, tmp_path: Path) -> None:
    path = campaign / "server" / "accuracy" / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["engine"]["args"] = {"quantization": "none"}
    path.write_text(yaml.safe_dump(tree))
    reasons = refused(campaign, tmp_path)
    assert any("ran with different engine settings" in reason for reason in reasons)


def test_another_data_set_in_the_accuracy_run_is_noticed(campaign: Path, tmp_path: Path) -> None:
    session = campaign / "offline" / "accuracy" / "session.json"
    edit_json(session, dataset=json.loads(session.read_text())["dataset"] | {"sha256": "f" * 64})
    write_result(session.parent)
    assert any("different dataset sha256" in reason for reason in refused(campaign, tmp_path))


def set_mean_length(run: Path, tokens: float) -> None:
    session = run / "session.json"
    edit_json(session, tokens=json.loads(session.read_text())["tokens"] | {"output_mean": tokens})
    write_result(run)


def test_outputs_of_another_length_than_the_scored_ones_are_refused(campaign: Path, tmp_path: Path) -> None:
    set_mean_length(campaign / "offline" / "performance", 4.0)
    (reason,) = refused(campaign, tmp_path)
    assert "offline outputs have 4.0 tokens on average in the performance run, 9.0 in the accuracy run" in reason


def test_a_small_difference_of_the_lengths_is_a_note(campaign: Path, tmp_path: Path) -> None:
    set_mean_length(campaign / "offline" / "performance", 8.8)
    built = build_tree(find_system([campaign]), order(tmp_path))
    assert any("8.8 tokens on average in the performance run, 9.0" in note for note in built.notes)


def test_a_run_that_had_to_try_most_samples_again_is_told(campaign: Path, tmp_path: Path) -> None:
    run = campaign / "server" / "performance"
    samples = json.loads((run / "session.json").read_text())["samples"]
    edit_json(run / "session.json", samples=samples | {"retried": 12031, "failed": 304}, restarts=24)
    assert write_result(run).valid
    built = build_tree(find_system([campaign]), order(tmp_path))
    (note,) = [note for note in built.notes if note.startswith("server performance")]
    assert "12,031 of " in note and "304 outputs could not be used" in note and "again 24 times" in note


def test_open_takes_one_scenario_and_invalid_runs_if_told(campaign: Path, tmp_path: Path) -> None:
    for name in ("offline", "interactive", "server/compliance"):
        shutil.rmtree(campaign / name)
    run = campaign / "server" / "performance"
    edit_log(run / "mlperf_log_detail.txt", {"result_validity": "INVALID"})
    agree(run)
    write_result(run)
    with pytest.raises(Refused, match=r"not valid: LoadGen says INVALID.*\[server performance\]"):
        build_tree(find_system([campaign]), order(tmp_path, division="open"))
    build_tree(find_system([campaign]), order(tmp_path, division="open", allow_invalid=True))
    assert (tmp_path / "tree" / "open" / "ACME" / "results" / "acme_8x" / "llama3.1-8b" / "Server").is_dir()


def test_smoke_runs_do_not_count(campaign: Path, tmp_path: Path) -> None:
    shutil.copytree(campaign / "offline" / "performance", campaign / "smoke" / "offline")
    assert len(find_system([campaign]).all) == 9


def test_two_runs_for_one_purpose_are_a_question(campaign: Path) -> None:
    shutil.copytree(campaign / "offline" / "performance", campaign / "again")
    with pytest.raises(UserError, match="two offline performance runs"):
        find_system([campaign])


def test_runs_of_two_benchmarks_are_built_one_at_a_time(datacenter: Path, edge: Path) -> None:
    with pytest.raises(UserError, match="one benchmark at a time"):
        find_system([datacenter, edge])


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run with a result\.json"):
        find_system([tmp_path])
    with pytest.raises(UserError, match="is not a directory"):
        find_system([tmp_path / "nothing"])


def test_a_run_that_broke_is_named(campaign: Path) -> None:
    (campaign / "server" / "accuracy" / "result.json").write_text("{")
    with pytest.raises(UserError, match="the run did not end"):
        find_system([campaign])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"submitter": "A B"}, "no spaces"),
        ({"system_id": "../x"}, "no spaces, slashes or leading dots"),
        ({"allow_invalid": True}, "--allow-invalid is for the open division"),
    ],
)
def test_mistakes_of_the_command_are_named(
    changes: dict[str, Any], message: str, datacenter: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        build_tree(find_system([datacenter]), order(tmp_path, **changes))


def test_the_backup_may_not_be_published(datacenter: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would lie in the tree"):
        build_tree(find_system([datacenter]), order(tmp_path, backup=tmp_path / "tree" / "backup"))


def test_results_are_replaced_only_when_told(datacenter: Path, both: Path, tmp_path: Path) -> None:
    shutil.copytree(both / "tree", tmp_path / "tree")
    with pytest.raises(UserError, match="add --overwrite"):
        build_tree(find_system([datacenter]), order(tmp_path))
    build_tree(find_system([datacenter]), order(tmp_path, overwrite=True))
    assert check_submission(tmp_path / "tree") == []


def test_blanks_stop_the_build_after_the_yaml_is_written(datacenter: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    system: SystemRuns = find_system([datacenter])
    with pytest.raises(UserError, match="fill in its blanks"):
        build_tree(system, order(tmp_path, system_yaml=path))
    with pytest.raises(UserError, match="is not complete: fill in status, system_name"):
        build_tree(system, order(tmp_path, system_yaml=path))
    path.write_text(SYSTEM)
    build_tree(system, order(tmp_path, system_yaml=path))


def test_static_scales_need_words_on_the_calibration_data(campaign: Path, tmp_path: Path) -> None:
    for session in campaign.glob("*/*/session.json"):
        engine = json.loads(session.read_text())["engine"]
        engine["facts"]["quantization"]["activation_scheme"] = "static"
        edit_json(session, engine=engine)
        write_result(session.parent)
    with pytest.raises(UserError, match="--calibration-notes"):
        build_tree(find_system([campaign]), order(tmp_path))
    build_tree(find_system([campaign]), order(tmp_path, notes="The 1,000 samples of MLCommons' calibration list."))
    text = (tmp_path / "tree" / "closed" / "ACME" / "documentation" / "calibration.md").read_text()
    assert "scales fixed beforehand (static)" in text and "MLCommons' calibration list" in text


def test_what_was_removed_and_where_is_told(campaign: Path, tmp_path: Path) -> None:
    for path in (campaign / "server").glob("*/config.yaml"):
        tree = yaml.safe_load(path.read_text())
        tree["engine"]["args"] = {"url": "http://erika:Tr0ub4dor@dgx17:8000/v1", "label": "/home/erika/x"}
        path.write_text(yaml.safe_dump(tree))
        write_result(path.parent)
    built = build_tree(find_system([campaign]), order(tmp_path))
    name = "src/llama3.1-8b/configs/acme_8x/server-performance.yaml"
    text = (built.directory / name).read_text()
    assert "http://<token>@<host-name>:8000/v1" in text and "label: ~/x" in text
    lines = text.splitlines()
    told = {find.kind: lines[find.line - 1] for find in built.scrubbed[name]}
    assert "url:" in told["token"] and "url:" in told["host name"] and "label:" in told["home path"]


def test_private_data_in_a_loadgen_log_stops_the_build(campaign: Path, tmp_path: Path) -> None:
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        path = campaign / "offline" / "performance" / name
        path.write_text(path.read_text().replace("PySUT", "vLLM on 10.20.30.40"))
    sign(campaign / "offline" / "performance")
    write_result(campaign / "offline" / "performance")
    with pytest.raises(UserError, match=r"private data \(address\); LoadGen's logs must not be edited"):
        build_tree(find_system([campaign]), order(tmp_path))
    assert not (tmp_path / "tree" / "closed").exists()


GPU = [{"id": i, "node": "blade1", "gpu": "NVIDIA H100", "gpus": [i]} for i in range(8)]
DIFFERENT: dict[str, tuple[dict[str, Any] | str, str]] = {
    "eight GPUs and none": ({"workers": GPU}, "different workers: 8 workers, 8 x NVIDIA H100 and 1 workers"),
    "data set": ({"dataset": {"sha256": "f" * 64}}, "different dataset sha256"),
    "model digest": ({"model": {"digest": "f" * 64}}, "different model digest"),
    "KV cache": ({"engine": {"kv_cache_dtype": "bfloat16"}}, "different engine kv_cache_dtype: bfloat16 and fp8"),
    "at the same time": ("server/accuracy", "ran at the same time on one machine (alpha-node-7)"),
    "yet to come": (
        {"test_started": "2099-01-01T00:00:00+00:00", "test_ended": "2099-01-01T00:11:00+00:00"},
        "ended at 2099-01-01 00:11, which is yet to come",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_runs_of_one_system_share_it_and_take_turns(name: str, campaign: Path, tmp_path: Path) -> None:
    changes, reason = DIFFERENT[name]
    path = campaign / "server" / "performance" / "session.json"
    session = json.loads(path.read_text())
    if isinstance(changes, str):
        other = json.loads((campaign / changes / "session.json").read_text())
        changes = {key: other[key] for key in ("test_started", "test_ended")}
    for key, value in changes.items():
        session[key] = session[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(session))
    write_result(path.parent)
    reasons = refused(campaign, tmp_path)
    assert any(reason in one or _turned(reason) in one for one in reasons), reasons


def _turned(reason: str) -> str:
    """The same with the two runs the other way round."""
    head, colon, values = reason.partition(": ")
    return f"{head}{colon}{' and '.join(reversed(values.split(' and ')))}"


def test_another_loadgen_in_one_run_is_told(campaign: Path, tmp_path: Path) -> None:
    run = campaign / "server" / "accuracy"
    edit_log(run / "mlperf_log_detail.txt", {"loadgen_version": "6.0.18 @ abcdef"})
    write_result(run)
    assert any("different LoadGen" in reason for reason in refused(campaign, tmp_path))


def test_gpus_are_those_that_worked(campaign: Path, tmp_path: Path) -> None:
    workers = [{"id": i, "node": f"blade{i // 2}", "gpus": [0, 1], "samples": 1, "tokens": 2} for i in range(4)]
    for session in campaign.glob("interactive/*/session.json"):
        edit_json(session, workers=workers)
        write_result(session.parent)
    path = tmp_path / "mine.yaml"
    with pytest.raises(UserError, match="fill in its blanks"):
        build_tree(find_system([campaign / "interactive"]), order(tmp_path, system_yaml=path, division="open"))
    fields = yaml.safe_load(path.read_text())
    assert fields["number_of_nodes"] == "2"
    assert "blade" not in path.read_text()


def test_code_other_than_that_of_the_runs_is_told(campaign: Path, tmp_path: Path) -> None:
    (campaign / "server" / "accuracy" / "system.json").write_text(json.dumps({"git_revision": "0123abc"}))
    write_result(campaign / "server" / "accuracy")
    built = build_tree(find_system([campaign]), order(tmp_path))
    assert any(note.startswith("runs were made with the code at 0123abc, src/ holds that at ") for note in built.notes)


def test_the_description_is_of_the_machine_that_ran(campaign: Path, tmp_path: Path) -> None:
    for run in campaign.glob("*/*"):
        (run / "system.json").write_text(json.dumps(MACHINE))
        write_result(run)
    path = tmp_path / "mine.yaml"
    with pytest.raises(UserError, match="fill in its blanks"):
        build_tree(find_system([campaign]), order(tmp_path, system_yaml=path))
    fields = yaml.safe_load(path.read_text())
    assert fields["host_processor_model_name"] == "Example 9000"
    assert fields["other_software_stack"] == "driver 570.86, CUDA 12.8, python 3.12.3, torch 2.11.0"
    assert fields["sw_notes"] == "mlperf-llama at 0123456789ab"
