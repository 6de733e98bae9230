"""A campaign goes on where it was, repeats what changed, and stops where going on would waste time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.campaign import runner
from harness.campaign.runner import Outcome, locked
from harness.campaign.state import code_digest
from harness.campaign.summary import plan_table, summary_table
from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from tests.harness.campaign.conftest import Stage, score
from tests.helpers.waiting import until

ROOT = Path(__file__).resolve().parents[3]


def test_everything_runs_once(stage: Stage) -> None:
    assert stage.run()
    assert len(stage.starts()) == 10
    assert stage.run()
    assert stage.starts() == []
    assert set(stage.campaign.outcomes.values()) == {Outcome.DONE}


def test_a_changed_user_conf_repeats_its_scenario(stage: Stage) -> None:
    stage.run()
    stage.starts()
    (stage.inputs / "interactive.conf").write_text("*.Server.target_qps = 90\n")
    stage.run()
    assert stage.starts() == [
        "interactive/accuracy again",
        "interactive/compliance again",
        "interactive/performance again",
    ]
    assert "(user.conf changed)" in stage.output.getvalue()


def test_a_changed_data_set_repeats_all(stage: Stage) -> None:
    stage.run()
    stage.starts()
    (stage.inputs / "data.json").write_text("[1]")
    stage.run()
    assert len(stage.starts()) == 10
    assert "(data set changed)" in stage.output.getvalue()


def test_a_changed_configuration_repeats_all(stage: Stage) -> None:
    stage.run()
    stage.starts()
    stage.run(dispatch={"backlog": 64})
    assert len(stage.starts()) == 10
    assert "(configuration changed)" in stage.output.getvalue()


def test_a_changed_display_repeats_nothing(stage: Stage) -> None:
    stage.run()
    stage.starts()
    stage.run(monitor={"interval_s": 5.0}, skip_preflight=True)
    assert stage.starts() == []


def test_a_changed_line_of_code_repeats_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run()
    stage.starts()
    monkeypatch.setattr("harness.campaign.state.PACKAGES", ("mlperf_llama_base",))
    stage.run()
    assert len(stage.starts()) == 10
    assert "(code changed)" in stage.output.getvalue()


def test_the_code_s_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    path = tmp_path / "sut" / "a.py"
    path.parent.mkdir()
    path.write_text("x = 1\n")
    first = code_digest(tmp_path)
    (tmp_path / "sut" / "notes.txt").write_text("not code")
    assert code_digest(tmp_path) == first
    path.write_text("x = 2\n")
    assert code_digest(tmp_path) != first


def test_a_run_directory_that_was_replaced_does_not_count(stage: Stage) -> None:
    stage.run()
    stage.starts()
    (stage.directory / "offline" / "accuracy" / "config.yaml").write_text("scenario: offline\n")
    (stage.directory / "server" / "accuracy" / "result.json").unlink()
    stage.run()
    assert stage.starts() == ["smoke/server", "offline/accuracy again", "server/accuracy again"][1:]
    assert "(its directory was changed)" in stage.output.getvalue()


@pytest.mark.parametrize("log", ["mlperf_log_detail.txt", "mlperf_log_accuracy.json"])
def test_a_run_whose_log_was_deleted_is_not_done(log: str, stage: Stage) -> None:
    stage.run()
    stage.starts()
    (stage.directory / "server" / "accuracy" / log).unlink()
    stage.run()
    assert stage.starts() == ["server/accuracy again"]
    assert f"({log} is gone or was changed)" in stage.output.getvalue()


def test_a_scoring_fault_never_costs_the_run(stage: Stage) -> None:
    """The test itself ended well: the same command scores it, with the tokenizer that it is given now."""
    stage.behave(server_accuracy="unscored")
    with pytest.raises(UserError, match="server/accuracy ended with 2"):
        stage.run()
    stage.starts()
    assert stage.run(model={"tokenizer": "/found"})
    done = stage.starts()
    assert "score server /found" in done and not any(start.startswith("server/accuracy") for start in done)
    assert "(ran, but is not scored)" in stage.output.getvalue()
    assert stage.run(model={"tokenizer": "/found"}) and stage.starts() == []


def test_a_run_that_was_scored_afterwards_is_done(stage: Stage) -> None:
    """By mlperf-llama accuracy, by hand."""
    stage.behave(server_accuracy="unscored")
    with pytest.raises(UserError, match="server/accuracy ended with 2"):
        stage.run()
    run = stage.directory / "server" / "accuracy"
    step = next(step for step in stage.campaign.steps if step.name == "server/accuracy")
    subprocess.run(score(step, run), check=True)
    stage.starts()
    assert stage.run()
    assert not any("server/accuracy" in start or start.startswith("score") for start in stage.starts())
    assert stage.campaign.outcomes["server/accuracy"] is Outcome.DONE


def test_inaccurate_scenarios_are_not_measured(stage: Stage) -> None:
    stage.behave(server_accuracy="invalid")
    assert not stage.run()
    started = stage.starts()
    assert "server/performance" not in started and "server/compliance" in started
    assert "offline/performance" in started and "interactive/performance" in started
    assert stage.campaign.outcomes["server/performance"] is Outcome.SKIPPED


def test_an_invalid_run_is_tried_again(stage: Stage) -> None:
    stage.behave(server_performance="invalid")
    assert not stage.run()
    stage.starts()
    stage.behave()
    assert stage.run()
    assert stage.starts() == ["server/performance again"]


def test_keep_going_measures_all_the_same(stage: Stage) -> None:
    stage.behave(server_accuracy="invalid", offline_compliance="exit 4")
    assert not stage.run(keep_going=True)
    assert len(stage.starts()) == 10


def test_nothing_follows_a_failed_smoke_run(stage: Stage) -> None:
    stage.behave(smoke_server="invalid")
    assert not stage.run()
    assert stage.starts() == ["smoke/server"]


@pytest.mark.parametrize(("code", "kind"), [(2, UserError), (3, EnvironmentFault), (4, RunError), (139, RunError)])
def test_what_a_run_ends_with_ends_the_campaign(code: int, kind: type[Exception], stage: Stage) -> None:
    stage.behave(server_accuracy=f"exit {code}")
    with pytest.raises(kind, match=rf"server/accuracy ended with {code}, .* the same command continues from here"):
        stage.run()
    assert stage.starts() == ["smoke/server", "offline/accuracy", "server/accuracy"]
    stage.behave()
    assert stage.run()
    assert stage.starts()[0] == "server/accuracy again"


def test_a_run_that_is_killed_is_named_so(stage: Stage) -> None:
    stage.behave(offline_accuracy=f"signal {int(signal.SIGKILL)}")
    with pytest.raises(RunError, match="offline/accuracy was killed by SIGKILL"):
        stage.run()


def test_a_damaged_state_is_named(stage: Stage) -> None:
    stage.directory.mkdir()
    (stage.directory / "campaign.json").write_text("{")
    with pytest.raises(UserError, match=r"campaign\.json is damaged"):
        stage.run()


def test_two_campaigns_in_one_directory_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOCK_WAIT_S", 0.3)
    stage.directory.mkdir()
    with locked(stage.directory), pytest.raises(UserError, match="another mlperf-llama command is at work"):
        stage.run()


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    return False


def start(stage: Stage) -> tuple[subprocess.Popen[str], int]:
    """A campaign in a process of its own, whose run hangs. Returns it and the run's process id."""
    stage.behave(interactive_compliance="hang")
    code = (
        "from pathlib import Path; from tests.harness.campaign.conftest import Stage; "
        f"Stage(Path({str(stage.directory.parent)!r})).run()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    hanging = stage.directory / "hanging.pid"
    until(lambda: bool(hanging.exists() and hanging.read_text()))
    return process, int(hanging.read_text())


def test_kill_9_in_the_middle_loses_only_the_run_under_way(stage: Stage) -> None:
    process, run = start(stage)
    process.kill()
    process.communicate()
    until(lambda: not is_alive(run))
    assert stage.starts()[-1] == "interactive/compliance"
    stage.behave()
    assert stage.run()
    assert stage.starts() == [
        "interactive/compliance again",
        "offline/performance",
        "server/performance",
        "interactive/performance",
    ]
    assert "(interrupted)" in stage.output.getvalue()


def test_an_interrupted_campaign_ends_its_run(stage: Stage) -> None:
    process, run = start(stage)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert not is_alive(run)
    assert "interrupted; the same command continues from here" in errors


def test_tables_tell_what_will_run_and_what_came_out(stage: Stage) -> None:
    stage.behave(server_performance="invalid")
    stage.run()
    reasons = stage.campaign.reasons()
    console = stage.campaign.console
    console.print(plan_table(stage.campaign.steps, reasons), summary_table(stage.directory, stage.campaign.steps))
    text = stage.output.getvalue()
    assert "to run (was not valid)" in text and "1 runs" in text
    assert "NOT VALID" in text and "LoadGen says INVALID" in text
    assert "1,234.50 tokens/s" in text and "rouge1 38.8" in text and "TEST06 passed" in text
