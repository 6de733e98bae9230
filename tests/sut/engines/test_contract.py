"""Our engines and the documentation's keep the contract; engines that break it are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sut.engines import contract
from sut.messages import EngineSettings
from tests.helpers.command import command, read
from tests.helpers.rows import rows, write_rows
from tests.sut.engines import tiny_llama
from tests.sut.engines.fake_server import FakeServer

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def echo_source() -> str:
    [source] = BLOCK.findall((ROOT / "docs" / "engines.md").read_text())
    return str(source)


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the documentation's engine, where this process and its children find it."""
    (tmp_path / "echo_engine.py").write_text(echo_source())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    return tmp_path


@pytest.mark.parametrize("args", [{}, {"step_ms": 0.5, "max_num_seqs": 4, "output_tokens": 12}])
def test_the_null_engine(args: dict[str, Any]) -> None:
    kept(contract.examine(EngineSettings(name="null", model="", args=args)))


def test_the_openai_engine() -> None:
    with FakeServer() as server:
        args = {"url": server.url, "backoff_s": 0.02, "retries": 1, "max_connections": 8}
        kept(contract.examine(EngineSettings(name="openai", model="", args=args)))


@pytest.mark.timeout(300)  # loads torch and transformers
def test_the_transformers_engine(tmp_path: Path) -> None:
    tiny = tiny_llama.make(tmp_path / "model", prompts=1)
    settings = EngineSettings(name="transformers", model=str(tiny.folder), device="cpu", max_new_tokens=8)
    kept(contract.examine(settings))


def kept(found: dict[str, str | None]) -> None:
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert len(found) == len(contract.CHECKS) + 1


def test_the_engine_of_the_documentation(echo: Path) -> None:
    call = [sys.executable, "-m", "sut.engines.contract", "echo_engine:Echo", "--set", "tokens=5"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("kept") == len(contract.CHECKS) + 1


def test_the_engine_of_the_documentation_in_a_run(echo: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.json", rows(16))
    short = (
        "--set",
        "loadgen.min_duration_ms=0",
        "--set",
        "loadgen.min_query_count=600",
        "--set",
        "monitor.enabled=false",
    )
    options = ("--engine", "echo_engine:Echo", "--dataset", data, "--target-qps", "2000", "--workers", "2", *short)
    done = command("run", "--output", tmp_path / "run", "--scenario", "server", *options, env=dict(os.environ))
    assert (done.err, done.code) == ("", 0)
    result = read(tmp_path / "run", "result.json")
    assert result["valid"] and not result["submittable"]
    assert "it repeats the prompt" in " ".join(result["not_submittable_reasons"])
    assert result["tokens"]["output_mean"] == 9
    wrong = command("run", "--output", tmp_path / "no", *options, "--set", "engine.args.token=3", env=dict(os.environ))
    assert (wrong.code, "did you mean 'tokens'?" in wrong.err) == (2, True)
    assert not (tmp_path / "no").exists()


ANSWERED = "every_request_is_answered_once"
# What is replaced in the documentation's engine, by what, and the check that must find it
BROKEN = {
    "never answers": (
        "return [*first, Completion(request.id, answer)]",
        "return first",
        ANSWERED,
    ),
    "answers twice": (
        "Completion(request.id, answer)]",
        "Completion(request.id, answer), Completion(request.id, answer)]",
        ANSWERED,
    ),
    "first token after the answer": (
        "[*first, Completion(request.id, answer)]",
        "[Completion(request.id, answer), *first]",
        ANSWERED,
    ),
    "another first token": ("answer[:4])]", "answer[4:8])]", ANSWERED),
    "no first token": ("if self.settings.first_tokens", "if False", ANSWERED),
    "unasked first tokens": (
        "if self.settings.first_tokens",
        "if True",
        f"{ANSWERED} (without first tokens)",
    ),
    "stops without EOS": ("self.args.tokens), EOS)", "self.args.tokens), 77)", ANSWERED),
    "goes on after EOS": (
        "self.args.tokens), EOS)",
        "self.args.tokens), [EOS, EOS])",
        ANSWERED,
    ),
    "too long": ("np.resize(prompt, self.args.tokens)", "np.resize(prompt, 200)", ANSWERED),
    "one token": (
        "np.append(np.resize(prompt, self.args.tokens), EOS)",
        "np.array([EOS])",
        ANSWERED,
    ),
    "not greedy": (
        "np.resize(prompt, self.args.tokens)",
        "np.random.randint(100, 900, self.args.tokens)",
        "the_same_prompt_has_the_same_answer",
    ),
    "raises for an empty prompt": (
        'return [Failure(request.id, "the prompt is empty")]',
        "raise ValueError(request.id)",
        "one_bad_prompt_spoils_no_other",
    ),
    "no capacity": ("capacity=64", "capacity=0", "it_describes_itself"),
    "hides that it does not count": (", not_submittable=reasons", "", "it_describes_itself"),
    "forgets its count": ("return len(self.waiting)", "return 0", "it_keeps_count"),
    "counts half its tokens": (
        "answer[:4])]",
        "answer[:4])]\n        self.generated += len(answer) // 8",
        "it_counts_all_tokens_or_none",
    ),
    "takes any argument": (
        "class EchoArguments(Arguments):",
        'class EchoArguments(Arguments):\n    model_config = {"extra": "allow"}',
        "it_refuses_an_unknown_argument",
    ),
    "events out of nothing": (
        "            return []",
        '            return [Failure(10_000, "who?")]',
        "an_idle_poll_returns_nothing",
    ),
    "keeps its warm-up": (
        "    @property",
        "    def warm_up(self, prompts):\n        self.waiting.append(prompts)\n\n    @property",
        "a_warm_up_leaves_nothing_behind",
    ),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A check gives up soon on an answer that never comes."""
    monkeypatch.setattr(contract, "PATIENCE_S", 1.0)
    yield


@pytest.mark.parametrize("fault", BROKEN)
def test_an_engine_that_breaks_it_is_found(
    fault: str, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, check = BROKEN[fault]
    source = echo_source()
    assert source.count(old) == 1
    module = "broken_" + re.sub(r"\W", "_", fault)
    (tmp_path / f"{module}.py").write_text(source.replace(old, new))
    monkeypatch.syspath_prepend(tmp_path)
    found = contract.examine(EngineSettings(name=f"{module}:Echo", model=""))
    assert found[check], found


def test_the_command_says_what_is_wrong(echo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert contract.main(["null", "--set", "vocab_size=5"]) == 1  # its EOS lies outside that vocabulary
    assert "broken  it describes itself: EOS ids [128009] are outside the vocabulary of 5" in capsys.readouterr().out
    assert contract.main(["nul"]) == 2
    assert "did you mean 'null'?" in capsys.readouterr().err
