"""The distributed benchmark on a real cluster of two nodes, and what befalls nodes. ``scripts/test_cluster.sh``: more
moments. The numbers of a run that lost a node must be those of one that did not."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from harness import demo
from harness.config import build
from mlperf_llama_base.errors import EnvironmentFault
from qsl.synthetic import synthesize
from tests.harness.serve import tokenizers
from tests.helpers.command import settings
from tests.helpers.waiting import until
from tests.integration.cluster_document import when_running
from tests.integration.two_nodes import ROOT, TwoNodes, two_nodes
from tests.sut.engines import tiny_llama

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]
SAMPLES = 240
MOMENTS = int(os.environ.get("MLPERF_LLAMA_MOMENTS", "1"))  # of each accident; the script takes five
SHORT = ("--set", "workers.warm_up_prompts=1")
ACCIDENTS = [(how, moment) for moment in range(MOMENTS) for how in ("kill", "cut", "stop")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    tiny_llama.make(folder / "model", prompts=3)
    synthesize(folder / "data.parquet", count=SAMPLES, seed=3)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    # pytest's own folders are too deep: Ray's sockets lie in it, and the path of a socket has at most 107 bytes
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch,
        two_nodes(Path(scratch)) as nodes,
    ):
        yield nodes


def prepare(
    cluster: TwoNodes, folder: Path, name: str, scenario: str, mode: str = "accuracy", processes: int = 1
) -> Path:
    """The directory of a run of the tiny model, one worker on each node. float32: tokens do not depend on the batch."""
    config = build(
        {
            "scenario": scenario,
            "mode": mode,
            "output": str(folder / name),
            "stall_timeout_s": 90,
            "cluster": {"address": cluster.address},
            "model": {"path": str(folder / "model")},
            "dataset": {"path": str(folder / "data.parquet")},
            "engine": {"device": "cpu", "max_new_tokens": 24, "args": {"dtype": "float32"}},
            "workers": {"count": 2, "heartbeat_s": 0.5, "heartbeat_timeout_s": 5, "warm_up_prompts": 1},
            "dispatch": {"backlog": 8, "processes": processes},
            "loadgen": {"target_qps": 12, "min_duration_ms": 1, "min_query_count": SAMPLES},
        }
    )
    run = folder / name
    run.mkdir()
    config.save(run / "config.yaml")
    return run


def answers(run: Path) -> dict[int, list[int]]:
    """Tokens of each sample in LoadGen's accuracy log; fails if a sample is there twice."""
    rows = json.loads((run / "mlperf_log_accuracy.json").read_text())
    found = {row["qsl_idx"]: np.frombuffer(bytes.fromhex(row["data"]), "<i4").tolist() for row in rows}
    assert len(found) == len(rows)
    return found


def session(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((run / "session.json").read_text())
    return state


def assert_complete(state: dict[str, Any]) -> None:
    samples = state["samples"]
    assert (samples["issued"], samples["completed"], samples["lost"]) == (SAMPLES, SAMPLES, 0)
    assert state["outcome"] == "completed" and state["error"] is None


@pytest.fixture(scope="module")
def undisturbed(cluster: TwoNodes, folder: Path) -> dict[int, list[int]]:
    run = prepare(cluster, folder, "undisturbed", "offline")
    cluster.python("harness.session", str(run))
    state = session(run)
    assert_complete(state)
    assert {w["node"] for w in state["workers"]} == {cluster.head.name, cluster.other.name}
    assert all(w["samples"] > 0 and w["restarts"] == 0 for w in state["workers"])
    assert len(answers(run)) == SAMPLES
    return answers(run)


def when_completed(run: Path, count: int) -> None:
    """Wait until ``count`` samples of the run are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if json.loads((run / "status.json").read_text())["completed"] >= count:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"{count} samples were not reached")


def test_accuracy_pass_with_the_demo_model_and_preflight_of_both_nodes(cluster: TwoNodes, folder: Path) -> None:
    try:
        demo.demo_dataset()  # here, because the nodes are without a network
    except EnvironmentFault as error:
        pytest.skip(f"the demo model is not available here: {error}")
    run = folder / "demo"
    cluster.python(
        "harness",
        "run",
        "--profile",
        "cpu-demo",
        "--mode",
        "accuracy",
        "--cluster",
        cluster.address,
        "--workers",
        "2",
        "--output",
        str(run),
        *settings(
            "dataset.limit=4",
            "engine.max_new_tokens=12",
        ),
        *SHORT,
        allowed=(0, 1),
    )
    assert session(run)["samples"]["completed"] == 4
    assert json.loads((run / "result.json").read_text())["accuracy"]["gen_num"] == 4
    facts = json.loads((run / "preflight.json").read_text())["facts"]
    assert set(facts["nodes"]) == {cluster.head.name, cluster.other.name}
    assert all(abs(node["clock"]["offset_s"]) < 1 for node in facts["nodes"].values())
    both = {cluster.head.name, cluster.other.name}
    rows = pq.read_table(run / "metrics.parquet").to_pylist()
    assert {row["node"] for row in rows} == both
    assert {row["source"]: row["node"] for row in rows if row["source"].startswith("worker")} == {
        f"worker{worker['id']}": worker["node"] for worker in session(run)["workers"]
    }
    assert json.loads((run / "status.json").read_text())["node"] == cluster.head.name
    assert sorted(p.name for p in (run / "workers").iterdir()) == ["worker-0.log", "worker-1.log"]


def test_several_dispatching_processes_and_one_that_is_killed(
    cluster: TwoNodes, folder: Path, undisturbed: dict[int, list[int]]
) -> None:
    """Its actors end with it: Ray sees to that."""
    run = prepare(cluster, folder, "shares", "server", processes=2)

    def accident() -> None:
        when_completed(run, SAMPLES // 4)
        shares = [p for p in psutil.process_iter(["cmdline"]) if "harness.session.share" in (p.info["cmdline"] or ())]
        ours = [p for p in shares if str(run) in (p.parent() or p).cmdline()]
        assert len(ours) == 2
        ours[1].kill()

    cluster.python("harness.session", str(run), meanwhile=accident)
    state = session(run)
    assert_complete(state)
    assert len(state["lost_workers"]) == 1 and state["samples"]["retried"] > 0
    assert "was killed by SIGKILL" in state["lost_workers"][0]["reason"]
    assert {w["node"] for w in state["workers"]} <= {cluster.head.name, cluster.other.name}
    got = answers(run)
    assert got.keys() == undisturbed.keys()
    assert sum(got[index] != undisturbed[index] for index in got) <= SAMPLES // 100


def test_an_engine_from_outside_the_package(cluster: TwoNodes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documentation's: the nodes import it from the folder that the run's own PYTHONPATH names."""
    [source] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "engines.md").read_text(), re.DOTALL)
    (folder / "echo_engine.py").write_text(source)
    monkeypatch.setitem(cluster.head.env, "PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))
    run = prepare(cluster, folder, "echo", "offline")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["engine"] |= {"name": "echo_engine:Echo", "args": {"tokens": 3}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    cluster.python("harness.session", str(run))
    state = session(run)
    assert_complete(state)
    assert {w["node"] for w in state["workers"]} == {cluster.head.name, cluster.other.name}
    assert {len(tokens) for tokens in answers(run).values()} == {4}


def test_server(cluster: TwoNodes, folder: Path, undisturbed: dict[int, list[int]]) -> None:
    run = prepare(cluster, folder, "server", "server", "performance")
    cluster.python("harness.session", str(run))
    assert_complete(session(run))
    assert "Scenario : Server" in (run / "mlperf_log_summary.txt").read_text()


@pytest.mark.parametrize(("how", "moment"), ACCIDENTS)
def test_a_node_lost_in_the_middle_costs_no_sample(
    cluster: TwoNodes, folder: Path, undisturbed: dict[int, list[int]], how: str, moment: int
) -> None:
    scenario = "server" if how == "cut" else "offline"
    run = prepare(cluster, folder, f"{how}-{moment}", scenario)
    at = random.Random(f"{how}{moment}").randint(SAMPLES // 20, SAMPLES * 3 // 4)

    def accident() -> None:
        when_completed(run, at)
        cluster.strike(how)

    try:
        cluster.python("harness.session", str(run), meanwhile=accident)
    finally:
        cluster.mend()
    state = session(run)
    assert_complete(state)
    assert [lost["node"] for lost in state["lost_workers"]] == [cluster.other.name]
    assert state["samples"]["retried"] > 0
    got = answers(run)
    assert got.keys() == undisturbed.keys()
    different = [index for index in got if got[index] != undisturbed[index]]
    # float32 sums may round otherwise in another batch: that shows only where two logits were as good as equal
    assert len(different) <= SAMPLES // 100, different


NULL = ("--engine", "null", "--skip-preflight", "--set", "workers.warm_up_prompts=1", "--set", "dispatch.backlog=2")


def test_a_node_that_comes_back_is_used(cluster: TwoNodes, folder: Path) -> None:
    run = folder / "back"
    slow = {"step_ms": 25, "max_num_seqs": 4, "output_tokens": 20}  # 8 samples/s

    def leave_and_return() -> None:
        when_completed(run, 20)
        cluster.strike("kill")
        cluster.other.end_all()
        cluster.join()

    cluster.python(
        "harness",
        "run",
        "--cluster",
        cluster.address,
        "--output",
        str(run),
        *NULL,
        *(part for key, value in slow.items() for part in ("--set", f"engine.args.{key}={value}")),
        *settings(
            "cluster.resources={CPU: 3}",
            "loadgen.min_query_count=600",
            "loadgen.min_duration_ms=1",
        ),
        meanwhile=leave_and_return,
    )
    state = session(run)
    assert state["samples"]["issued"] == state["samples"]["completed"] and state["samples"]["lost"] == 0
    (lost,) = (entry for entry in state["lost_workers"] if entry["node"] == cluster.other.name)
    again = state["workers"][lost["worker"]]
    assert again["node"] == cluster.other.name and again["restarts"] >= 1 and again["state"] == "ready"
    table = pq.read_table(run / "events.parquet").to_pydict()
    mine = [t for t, w in zip(table["complete_ns"], table["worker"], strict=True) if w == lost["worker"]]
    assert len(mine) > 20 + 8  # more than it can have done before it was lost


def test_streams_over_ray_outlive_their_node(cluster: TwoNodes, folder: Path) -> None:
    """``serve`` with a worker on each node: what the lost one had begun, the other ends, and no token twice."""
    out, prompt = folder / "serve", list(range(10, 70))
    tokenizers.make(folder / "tokenizer")
    words = ("harness", "serve", "--cluster", cluster.address, "--workers", "2", "--port", "8000")
    places = ("--output", str(out), "--tokenizer", str(folder / "tokenizer"))
    sets = settings("engine.args.step_ms=50", "cluster.resources={CPU: 3}", "workers.warm_up_prompts=1")
    body = {"prompt": prompt, "max_tokens": 60, "ignore_eos": True, "return_token_ids": True, "stream": True}
    ask = ("curl", "-sN", "--max-time", "120", "-d", json.dumps(body), "http://127.0.0.1:8000/v1/completions")
    server = cluster.head.popen(sys.executable, "-m", *words, *places, "--engine", "null", *sets)
    try:
        assert server.stdout is not None
        said = list(itertools.takewhile(lambda line: not line.startswith("ready:"), server.stdout))
        assert server.poll() is None, said
        asked = [cluster.head.popen(*ask) for _ in range(6)]
        time.sleep(1.0)
        cluster.strike("kill")
        answers = [process.communicate(timeout=120)[0] for process in asked]
    finally:
        server.terminate()
        server.communicate(timeout=60)
        cluster.mend()
    for answer in answers:
        events = [json.loads(e.removeprefix("data: ")) for e in answer.split("\n\n") if e.startswith("data: {")]
        assert [i for event in events for c in event["choices"] for i in c["token_ids"]] == prompt
        assert answer.endswith("data: [DONE]\n\n")
    found = json.loads((out / "serve.json").read_text())
    assert (found["outcome"], found["answers"]["whole"], found["answers"]["streams_cut"]) == ("stopped", 6, 0)
    assert found["answers"]["retried"] > 0


def test_a_cluster_without_room_says_what_its_nodes_have(cluster: TwoNodes, folder: Path) -> None:
    output = cluster.python(
        "harness",
        "run",
        "--cluster",
        cluster.address,
        "--output",
        str(folder / "full"),
        *NULL,
        "--workers",
        "9",
        allowed=(3,),
    )
    assert "room for 8 worker(s)" in output and cluster.other.address in output


def test_no_cluster_at_the_address(cluster: TwoNodes, folder: Path) -> None:
    output = cluster.python(
        "harness",
        "run",
        "--cluster",
        f"{cluster.head.address}:1",
        "--output",
        str(folder / "nowhere"),
        *NULL,
        allowed=(3,),
    )
    assert "no Ray cluster at" in output


def test_coordinated_benchmark_of_both_nodes(cluster: TwoNodes, folder: Path) -> None:
    out = folder / "coordinated"
    cluster.python(
        "harness",
        "benchmark",
        "coordinated",
        "--cluster",
        cluster.address,
        "--workers",
        "2",
        "--output",
        str(out),
        "--engine",
        "null",
        *settings(
            "engine.args.step_ms=5",
            "engine.args.max_num_seqs=8",
            "engine.args.output_tokens=8",
            "workers.warm_up_prompts=1",
            "loadgen.min_query_count=720",
            "loadgen.min_duration_ms=1",
        ),
    )
    tree = json.loads((out / "scaling.json").read_text())
    (total,) = tree["steps"]
    assert total["samples"] == {"issued": 1440, "completed": 1440, "lost": 0, "retried": 0}
    assert {n["node"] for n in total["nodes"]} == {cluster.head.name, cluster.other.name}
    for name in (cluster.head.name, cluster.other.name):
        assert (out / name / "mlperf_log_summary.txt").is_file()
        assert f"| {name} | 1 | CPU | 720 |" in (out / "report.md").read_text()


def test_the_document_tells_of_a_node_that_died_in_the_coordinated_benchmark(cluster: TwoNodes, folder: Path) -> None:
    out = folder / "document"

    def accident() -> None:
        when_running(cluster, out / "coordinated")
        cluster.strike("kill")

    try:
        cluster.python(
            *("harness", "benchmark", "cluster", "--only", "distributed,coordinated", "--cluster", cluster.address),
            *("--engine", "null", "--workers", "2", "--samples", "36", "--target-qps", "offline=9"),
            *("--skip-preflight", "--output", str(out)),
            *settings(
                "engine.args.step_ms=100",
                "engine.args.max_num_seqs=4",
                "engine.args.output_tokens=8",
                "workers.warm_up_prompts=1",
            ),
            meanwhile=accident,
            allowed=(4,),
        )
    finally:
        cluster.mend()
    record = json.loads((out / "execution.json").read_text())
    distributed, coordinated = record["parts"]
    assert (distributed["status"], coordinated["status"], coordinated["exit_code"]) == ("done", "failed", 4)
    assert "72 of 72 samples on 2 node(s)" in distributed["analysis"]
    assert coordinated["cause"]["node"] == cluster.other.name
    assert re.search(rf"{cluster.other.name} broke .* \d+ of 36 samples done", coordinated["cause"]["first_error"])
    lost = next(finding for finding in record["findings"] if finding["rule"] == "lost-samples")
    assert lost["node"] == cluster.other.name
    assert {node["name"] for node in record["environment"]["nodes"]} == {cluster.head.name, cluster.other.name}
    assert record["environment"]["cluster"] == "bare metal"
    (link,) = record["infrastructure"]["links"]
    assert link["rtt_ms"] > 0 and link["bandwidth_mb_s"] > 1
    parts = pq.read_table(out / "samples.parquet").column("part").to_pylist()
    assert parts.count("distributed") == 72
    assert "## Conclusion" in (out / "report.md").read_text()


@pytest.mark.parametrize("part", ["distributed", "coordinated"])
def test_a_signal_leaves_the_document_of_both_nodes(cluster: TwoNodes, folder: Path, part: str) -> None:
    """Ray, once joined, has a handler of SIGTERM of its own, which would end the command without one."""
    out = folder / f"ended-{part}"
    process = cluster.head.popen(
        *(sys.executable, "-m", "harness", "benchmark", "cluster", "--only", part, "--cluster", cluster.address),
        *("--engine", "null", "--workers", "2", "--samples", "36", "--target-qps", "offline=9"),
        *("--skip-preflight", "--output", str(out)),
        *settings(
            "engine.args.step_ms=200",
            "engine.args.max_num_seqs=4",
            "engine.args.output_tokens=8",
            "workers.warm_up_prompts=1",
        ),
    )
    try:
        when_running(cluster, out / part)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 4 and "interrupted; the same command goes on from here" in said
    until(lambda: not any(node.commands("harness.session") for node in (cluster.head, cluster.other)))
    (ended,) = json.loads((out / "execution.json").read_text())["parts"]
    assert ended["status"] == "interrupted" and ended["analysis"] in (out / "report.md").read_text()
    told = {run["name"]: run for run in ended["unfinished"]}
    both = [cluster.head.name, cluster.other.name] if part == "coordinated" else [part]
    assert sorted(told) == sorted(both) and all(run["samples_completed"] > 0 for run in told.values()), told
