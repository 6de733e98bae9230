"""Same input, same output: the tokens of a sample do not depend on the run, the scenario or the number of workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import demo
from mlperf_llama_base.errors import EnvironmentFault
from tests.helpers.command import answers, command, read
from tests.helpers.rows import rows, write_rows
from tests.integration import tiny_model
from tests.integration.ties import Tokens, count_ties

pytestmark = pytest.mark.timeout(300)

COUNT = 64
VARIANTS = {
    "offline": ("--scenario", "offline"),
    "again": ("--scenario", "offline"),
    "server": ("--scenario", "server", "--target-qps", "40"),
    "two workers": ("--scenario", "offline", "--workers", "2"),
    "one by one": ("--scenario", "singlestream", "--set", "engine.args.max_batch=1"),
}


def accuracy_run(
    output: Path, model: Path, data: Path, *options: str, new_tokens: int = tiny_model.MAX_NEW_TOKENS
) -> dict[int, Tokens]:
    """Tokens by sample of an accuracy run in float32 on the CPU."""
    done = command(
        "run",
        "--mode",
        "accuracy",
        "--output",
        output,
        "--model",
        model,
        "--dataset",
        data,
        "--skip-preflight",
        "--set",
        "engine.device=cpu",
        "--set",
        "engine.args.dtype=float32",
        "--set",
        "engine.args.threads=1",
        "--set",
        f"engine.max_new_tokens={new_tokens}",
        "--set",
        "monitor.enabled=false",
        *options,
    )
    assert done.code == 0, done.err
    samples = read(output, "result.json")["samples"]
    found = answers(output)
    assert samples["issued"] == samples["completed"] == len(found) and samples["retried"] == samples["lost"] == 0
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("determinism")
    tiny_model.make(folder / "model")
    write_rows(folder / "data.json", rows(COUNT, length=100))
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, dict[int, Tokens]]:
    return {
        name: accuracy_run(folder / name.replace(" ", "-"), folder / "model", folder / "data.json", *options)
        for name, options in VARIANTS.items()
    }


def test_offline_twice_gives_the_same_token_log(folder: Path, runs: dict[str, dict[int, Tokens]]) -> None:
    assert len(runs["offline"]) == COUNT
    assert runs["offline"] == runs["again"]
    scores = [read(folder / name, "result.json")["accuracy"] for name in ("offline", "again")]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("other", ["server", "two workers", "one by one"])
def test_other_batches_differ_in_ties_alone(folder: Path, runs: dict[str, dict[int, Tokens]], other: str) -> None:
    prompts = [row["tok_input"] for row in read(folder, "data.json")]
    ties = count_ties(runs["offline"], runs[other], model=folder / "model", prompts=prompts)
    assert ties <= COUNT // 8, f"{ties} of {COUNT} samples differ: too many for chance"


def test_the_answers_are_worth_comparing(runs: dict[str, dict[int, Tokens]]) -> None:
    """They differ from each other, and some end early."""
    found = runs["offline"]
    assert len(set(found.values())) > COUNT // 2
    assert len({len(tokens) for tokens in found.values()}) > 1
    assert all(tokens[-1] == tiny_model.EOS or len(tokens) == tiny_model.MAX_NEW_TOKENS for tokens in found.values())


def test_what_is_no_tie_is_told(folder: Path, runs: dict[str, dict[int, Tokens]]) -> None:
    prompts = [row["tok_input"] for row in read(folder, "data.json")]
    found = runs["offline"]
    wrong = (*found[3][:-1], (found[3][-1] + 1) % tiny_model.VOCABULARY)
    for other in (wrong, found[3][:-1]):
        with pytest.raises(AssertionError, match="sample 3"):
            count_ties(found, found | {3: other}, model=folder / "model", prompts=prompts)


@pytest.mark.skipif("DEMO" not in os.environ, reason="takes minutes: set DEMO=1")
@pytest.mark.timeout(1800)
def test_the_demo_model_in_offline_and_server(tmp_path: Path) -> None:
    """The same with a real model and real text, few samples."""
    try:
        model, data = demo.demo_model(), demo.demo_dataset()
    except EnvironmentFault as error:
        pytest.skip(f"the demo model is not available here: {error}")
    few = ("--set", "dataset.limit=4")
    offline = accuracy_run(tmp_path / "offline", model, data, *few, new_tokens=16)
    again = accuracy_run(tmp_path / "again", model, data, *few, new_tokens=16)
    server = accuracy_run(tmp_path / "server", model, data, *few, *VARIANTS["server"], new_tokens=16)
    assert offline == again and len(offline) == 4
    prompts = [row["tok_input"] for row in read(data.parent, data.name)[:4]]
    count_ties(offline, server, model=model, prompts=prompts)
