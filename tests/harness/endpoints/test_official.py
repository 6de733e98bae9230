"""MLCommons' own client, where it is installed, against our own server: its files as we read them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.demo import demo_model
from harness.endpoints import client, run_client, workspace
from harness.endpoints.check import Point, judge_point
from harness.endpoints.check.files import Expected
from harness.endpoints.client import Client, find_client, require
from harness.endpoints.client_config import Target, point_config
from harness.endpoints.server import Served
from harness.inventory.model import HUB_ID
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import PlannedPoint
from mlperf_llama_base.errors import EnvironmentFault
from tests.harness.serve import tokenizers
from tests.helpers.command import settings
from tests.helpers.llama import write_llama

ROWS = 20


@pytest.fixture(scope="module")
def official() -> Client:
    try:
        found = find_client(None)
        require(found, accuracy=True)
    except EnvironmentFault:
        pytest.skip(f"MLCommons' client is not installed ({client.VARIABLE} may name it)")
    return found


@pytest.fixture(params=["null", "a small real Llama"])
def served(official: Client, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Served, Path]]:
    """The null engine, a token a step, so that answers stream; or random weights on transformers."""
    folder = demo_model()
    arguments = ["--served-model-name", HUB_ID, "--output", str(tmp_path / "serve")]
    if request.param == "null":
        arguments += ["--engine", "null", "--tokenizer", str(folder)]
        arguments += settings("engine.args.step_ms=1", "engine.args.output_tokens=16")
    else:
        folder = tmp_path / "llama"
        vocabulary = len(tokenizers.make(folder))
        write_llama(folder, vocab_size=vocabulary, max_position_embeddings=8192, bos_token_id=0, eos_token_id=7)
        arguments += ["--engine", "transformers", "--model", str(folder)]
        arguments += settings("engine.device=cpu", "engine.max_new_tokens=24", "workers.warm_up_prompts=1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Served(arguments, host="127.0.0.1", port=port, log=tmp_path / "log", wait_s=200)
    try:
        server.start()
        yield server, folder
    finally:
        server.stop()


@pytest.mark.timeout(600)
def test_its_run_against_our_server_counts(
    official: Client, served: tuple[Served, Path], articles: Path, tmp_path: Path
) -> None:
    server, tokenizer = served
    folder, place = tmp_path / "work", tmp_path / "point"
    assert workspace.prepare(folder, articles, any_count=True) == ROWS
    workspace.write_scorer(folder)
    point = PlannedPoint(concurrency=4, region="", accuracy=True, min_duration_ms=0)
    target = Target(url=server.url, tokenizer=str(tokenizer))
    config = point_config(
        point, samples=ROWS, target=target, seeds=ENDPOINTS.seed_sets[0], report_dir=place / run_client.REPORT
    )
    env = {"NLTK_DATA": str(folder / "nltk_data"), "HF_HUB_OFFLINE": "1"}
    run_client.run(official, config, place, folder=folder, accuracy=True, limit_s=500, env=env, alive=server.check)
    expected = Expected(
        samples=ROWS, concurrency=4, accuracy=True, dedicated=False, min_duration_ms=0, data_set=ROWS, rehearsal=True
    )
    judged = Point(place / run_client.REPORT, expected)
    random_bytes = {"point.lengths"}  # of random weights: no text, and so more tokens when the client reads them again
    assert {finding.rule for finding in judge_point(judged)} <= (random_bytes if tokenizer != demo_model() else set())
    summary = judged.summary
    assert summary is not None and summary.finish_reason_counts is not None
    assert sum(summary.finish_reason_counts.values()) == summary.n_samples_issued == ROWS
    assert summary.git_sha and ENDPOINTS.client_commit.startswith(summary.git_sha)
    figures = summary.figures()
    assert figures is not None and figures.ttft_p90_ms and figures.tps_per_user
    assert judged.accuracy is not None and set(judged.accuracy.accuracy()[0].scores()) >= {"rouge1", "gen_len"}
