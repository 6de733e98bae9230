"""A worker of a real engine is struck at a random moment: no sample is lost or comes twice, the tokens stay the same.

``KILL_RUNS=30`` strikes in 30 runs instead of three, and prints a line for each.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.command import answers, command, read, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until
from tests.integration import tiny_model
from tests.integration.ties import Tokens, count_ties

pytestmark = pytest.mark.timeout(300)

COUNT = 300
RUNS = int(os.environ.get("KILL_RUNS", "3"))
STRIKES = [("kill", number) for number in range(RUNS)] + [("stop", number) for number in range(max(1, RUNS // 10))]
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass(frozen=True)
class Undisturbed:
    """What a run gives that nobody disturbs. ``seconds``: of its test, by scenario."""

    folder: Path
    tokens: dict[int, Tokens]
    seconds: dict[str, float]


def arguments(folder: Path, name: str, scenario: str) -> list[str]:
    settings = {
        "engine.device": "cpu",
        "engine.args.dtype": "float32",
        "engine.args.threads": 1,
        "engine.args.max_batch": 2,
        "engine.max_new_tokens": 64,
        "dispatch.backlog": 4,
        "loadgen.target_qps": 60,
        "workers.heartbeat_s": 0.5,
        "workers.heartbeat_timeout_s": 6,
        "workers.warm_up_prompts": 1,
        "monitor.enabled": False,
    }
    return [
        "run",
        "--scenario",
        scenario,
        "--mode",
        "accuracy",
        "--workers",
        "2",
        "--skip-preflight",
        "--model",
        str(folder / "model"),
        "--dataset",
        str(folder / "data.json"),
        "--output",
        str(folder / name),
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("kill")
    tiny_model.make(folder / "model")
    write_rows(folder / "data.json", rows(COUNT, length=60))
    seconds, found = {}, {}
    for scenario in ("offline", "server"):
        done = command(*arguments(folder, scenario, scenario))
        assert done.code == 0, done.err
        seconds[scenario] = read(folder / scenario, "session.json")["wall_s"]
        found[scenario] = answers(folder / scenario)
    prompts = [row["tok_input"] for row in read(folder, "data.json")]
    count_ties(found["offline"], found["server"], model=folder / "model", prompts=prompts)
    return Undisturbed(folder, found["offline"], seconds)


@pytest.mark.parametrize(("how", "number"), STRIKES)
def test_a_struck_worker_costs_no_sample(undisturbed: Undisturbed, how: str, number: int) -> None:
    folder, name = undisturbed.folder, f"{how}-{number}"
    chance = random.Random(name)
    scenario = ("offline", "server")[number % 2]
    at_s = chance.uniform(0.0, 0.8) * undisturbed.seconds[scenario]
    victim = chance.randrange(2)
    with started(*arguments(folder, name, scenario)) as running:
        until(lambda: (folder / name / "status.json").exists(), 60)
        until(lambda: read(folder / name, "status.json")["phase"] == "running", 120)
        workers = {p.environ()["MLPERF_LLAMA_WORKER_ID"]: p for p in running.family("sut.workers.main")}
        time.sleep(at_s)
        completed = read(folder / name, "status.json")["completed"]
        workers[str(victim)].send_signal(SIGNALS[how])
        done = running.wait()
    assert (done.code, done.err) == (0, "")
    session, result = read(folder / name, "session.json"), read(folder / name, "result.json")
    samples = session["samples"]
    assert (samples["issued"], samples["completed"], samples["lost"]) == (COUNT, COUNT, 0)
    lost = [lost for lost in session["lost_workers"] if lost["worker"] == victim]
    assert len(session["lost_workers"]) == len(lost) == 1, session["lost_workers"]
    reason = {"kill": "killed by SIGKILL", "stop": "no heartbeat"}[how]
    assert reason in lost[0]["reason"]
    assert samples["retried"] == lost[0]["samples_returned"] == result["samples"]["retried"]
    assert result["valid"] and result["accuracy"]["gen_num"] == COUNT
    found = answers(folder / name)  # fails if a sample is there twice
    prompts = [row["tok_input"] for row in read(folder, "data.json")]
    ties = count_ties(undisturbed.tokens, found, model=folder / "model", prompts=prompts)
    print(  # noqa: T201
        f"{name}: {scenario}, worker {victim} after {at_s:.2f} s and {completed} samples: "
        f"{samples['retried']} retried, {samples['lost']} lost, {ties} ties"
    )
