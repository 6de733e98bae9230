"""docs/submission.md in its own order: each step has what the steps before it made.

The page's rehearsal, as it stands there, in seconds instead of an hour: fewer samples, a faster engine, two scenarios.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness.submission.conftest import SYSTEM
from tests.helpers.command import Done, command
from tests.helpers.documents import ROOT, commands
from tests.helpers.tokenizers import write_words

PAGE = ROOT / "docs" / "submission.md"
SHORT = (
    "engine.args={output_tokens: 12, step_ms: 2, max_num_seqs: 32, eos_token_id: 199}",
    "loadgen.min_duration_ms=100",
    "loadgen.min_query_count=480",
    "workers.warm_up_prompts=0",
)


def call(folder: Path, words: tuple[str, ...], *more: str) -> Done:
    """Run the page's command in ``folder``: paths that it names lie there."""
    names = {
        name: str(folder / name) for name in ("full.json", "rehearsal.yaml", "campaign", "tree", "tree-accuracy-logs")
    }
    names |= {"TOKENIZER": str(folder / "tokenizer"), "runs/campaign": names["campaign"]}
    return command(*(names.get(word, word) for word in words[1:]), *more)


@pytest.mark.timeout(300)
def test_the_rehearsal_and_its_tree(tmp_path: Path) -> None:
    write_words(tmp_path / "tokenizer", [f"word{i}" for i in range(200)], unknown="word0", eos_token="word199")
    text = PAGE.read_text(encoding="utf-8")
    profile = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert profile
    filled = profile[1]
    for name in ("tokenizer", "full.json"):
        filled = filled.replace(name.upper() if name == "tokenizer" else name, str(tmp_path / name))
    (tmp_path / "rehearsal.yaml").write_text(filled)
    shown = [one.words for one in commands(PAGE)]
    synthesize, campaign = (
        next(words for words in shown if words[1:3] == start and "MODEL" not in words)
        for start in (("data", "synthesize"), ("benchmark", "datacenter"))
    )
    build, check = (next(words for words in shown if words[1:3] == ("submission", name)) for name in ("build", "check"))
    places = [shown.index(words) for words in (synthesize, campaign, build, check)]
    assert places == sorted(places)

    done = call(tmp_path, synthesize, "--count", "480")
    assert done.code == 0, done.err
    short = [word for setting in SHORT for word in ("--set", setting)]
    short += ["--scenarios", "offline,server", "--target-qps", "offline=400", "--target-qps", "server=400"]
    rates = [i for i, word in enumerate(campaign) if word == "--target-qps"]
    campaign = tuple(word for i, word in enumerate(campaign) if i not in rates and i - 1 not in rates)
    done = call(tmp_path, campaign, *short)
    assert done.code == 0, done.out[-3000:] + done.err

    system = ("--system", str(tmp_path / "my_8xh100.yaml"), "--rehearsal")
    done = call(tmp_path, build, *system)
    assert done.code == 2 and "fill in" in done.err.lower(), done.err + done.out
    assert "FILL IN" in (tmp_path / "my_8xh100.yaml").read_text()
    (tmp_path / "my_8xh100.yaml").write_text(SYSTEM)
    done = call(tmp_path, build, *system)
    assert (tmp_path / "tree").is_dir(), done.err + done.out
    done = call(tmp_path, check)
    assert "rules checked" in done.out, done.err


def test_a_tokenizer_that_is_not_the_null_engine_s_is_refused_before_the_campaign(tmp_path: Path) -> None:
    """Not after an accuracy run of eleven minutes."""
    write_words(tmp_path / "tokenizer", [f"word{i}" for i in range(200)], unknown="word0", eos_token="word199")
    made = ("", "data", "synthesize", "--output", "full.json", "--tokenizer", "TOKENIZER", "--summaries")
    done = call(tmp_path, made, "--count", "8")
    assert done.code == 0, done.err
    run = ("", "run", "--engine", "null", "--mode", "accuracy", "--dataset", "full.json", "--tokenizer", "TOKENIZER")
    done = call(tmp_path, run, "--output", str(tmp_path / "out"))
    assert done.code == 2 and "answers with token id 128009" in done.err, done.err
