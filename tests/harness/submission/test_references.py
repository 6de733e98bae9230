"""A model that is too weak is refused for exactly that; one that answers with the references passes everything.

The references are synthetic, of about 611 characters, so that their sum is what the real model's summaries have. They
are laid into the accuracy logs as token ids, and the scores are computed from there.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from harness.accuracy.score_run import score_run
from harness.config import Benchmark
from harness.rounds import ROUND
from harness.submission.again import Scorer
from harness.submission.build import Refused, build_tree
from harness.submission.check import Severity, check_submission
from harness.submission.runs import find_system
from harness.verdict.result import write_result
from mlperf_llama_base.errors import UserError
from tests.harness.submission.conftest import order
from tests.harness.submission.runs import copy, sign
from tests.harness.submission.spoil import ids
from tests.helpers.results import build_result
from tests.helpers.rows import row, write_rows
from tests.helpers.tokenizers import write_words

pytestmark = pytest.mark.timeout(240)

COUNT = Benchmark.DATACENTER.sample_count
WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("", "ra", "lin", "stom", "verde")]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of single words (``tokenizer``) and a data set of the benchmark's size (``data.json``)."""
    directory = tmp_path_factory.mktemp("material")
    write_words(directory / "tokenizer", [*WORDS, "."], unknown=".")
    chosen = random.Random(7)
    rows = []
    for _ in range(COUNT):
        sentences = [" ".join(chosen.choices(WORDS, k=18)) + " ." for _ in range(6)]
        rows.append(row([1, 2, 3], summary=" ".join(sentences)))
    write_rows(directory / "data.json", rows)
    return directory


def answer(run: Path, texts: list[str]) -> None:
    """The workers answered with the ids of ``texts[qsl_idx]``, in the accuracy log and as long in the other runs."""
    index = {word: i for i, word in enumerate([*WORDS, "."])}
    lines = []
    for line in (run / "mlperf_log_accuracy.json").read_text().splitlines():
        if found := re.search(r'"qsl_idx" : (\d+)', line):
            tokens = [index[word] for word in texts[int(found[1])].split()]
            line = re.sub(r'"data" : "\w*"', f'"data" : "{ids(*tokens)}"', line)
            line = re.sub(r'"token_data" : "\w*"', f'"token_data" : "{ids(tokens[0])}"', line)
            line = re.sub(r'"token_count" : \d+', f'"token_count" : {len(tokens)}', line)
        lines.append(line)
    (run / "mlperf_log_accuracy.json").write_text("\n".join(lines) + "\n")
    for path in run.parent.glob("*/session.json"):
        session = json.loads(path.read_text())
        session["tokens"]["output_mean"] = sum(len(text.split()) for text in texts) / len(texts)
        path.write_text(json.dumps(session))
    sign(run)


def score(campaign: Path, material: Path, *, scenarios: str = "*") -> None:
    """Score accuracy runs with the material's tokenizer and references."""
    for run in campaign.glob(f"{scenarios}/accuracy"):
        session = json.loads((run / "session.json").read_text())
        session["dataset"] |= {"path": str(material / "data.json"), "sha256": None}
        (run / "session.json").write_text(json.dumps(session))
        score_run(run, tokenizer=str(material / "tokenizer"))
        write_result(run)


@pytest.fixture
def campaign(datacenter: Path, tmp_path: Path) -> Path:
    target = copy(datacenter, tmp_path / "campaign")
    for session in target.glob("*/*/session.json"):
        run = json.loads(session.read_text())
        run["dataset"]["sha256"] = None
        session.write_text(json.dumps(run))
        write_result(session.parent)
    return target


def test_references_as_answers_pass_everything(campaign: Path, material: Path, tmp_path: Path) -> None:
    texts = [row["output"] for row in json.loads((material / "data.json").read_text())]
    for run in campaign.glob("*/accuracy"):
        answer(run, texts)
    score(campaign, material)
    scores = build_result(campaign / "server" / "accuracy")["accuracy"]
    assert scores["rouge1"] == scores["rougeLsum"] == 100.0 and scores["gen_num"] == COUNT
    target = ROUND.benchmarks[Benchmark.DATACENTER].targets["gen_len"]
    assert target.minimum < scores["gen_len"] < (target.maximum or 0)
    build_tree(find_system([campaign]), order(tmp_path))
    tree, backup = tmp_path / "tree", tmp_path / "backup"
    assert check_submission(tree, backup=backup) == []
    path = next(tree.glob("*/*/*/*/*/Server/accuracy/accuracy.txt"))
    path.write_text(path.read_text().replace("'rouge1': '100.0'", "'rouge1': '99.98'"))
    scorer = Scorer(material / "data.json", str(material / "tokenizer"))
    (finding,) = check_submission(tree, backup=backup, scorer=scorer)
    assert (finding.rule, finding.severity) == ("accuracy.again", Severity.ERROR)
    assert finding.message == "says rouge1 99.98, the complete log scored again has 100"


def test_a_weak_model_is_refused_for_exactly_that(campaign: Path, material: Path, tmp_path: Path) -> None:
    texts = [" ".join(random.Random(i).choices(WORDS, k=108)) for i in range(COUNT)]
    answer(campaign / "offline" / "accuracy", texts)
    score(campaign, material, scenarios="offline")
    with pytest.raises(Refused) as caught:
        build_tree(find_system([campaign]), order(tmp_path))
    assert caught.value.reasons
    assert all(re.match(r"not valid: accuracy: \w+ [\d.,]+ is below", reason) for reason in caught.value.reasons)
    with pytest.raises(UserError, match="open division"):
        build_tree(find_system([campaign]), order(tmp_path, allow_invalid=True))


def test_the_checker_refuses_a_weak_tree_for_exactly_that(both: Path, tmp_path: Path) -> None:
    tree = copy(both / "tree", tmp_path / "tree")
    for path in tree.rglob("acme_8x/*/*/accuracy/accuracy.txt"):
        path.write_text(re.sub(r"'rouge(\w+)': '[\d.]+'", r"'rouge\1': '0.1026'", path.read_text()))
    findings = check_submission(tree)
    assert {finding.rule for finding in findings} == {"accuracy.targets"}
    assert len(findings) == 12  # four scores in three scenarios
