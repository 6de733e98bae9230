"""The folder that the client runs in: the data set where its preset looks first, and what its scorer reads.

The client's preset loads ``dataset_cache/cnn_dailymail/cnn_dailymail.parquet`` of the working directory before it asks
a hub: written from the user's own data set, a run needs no network and asks exactly those articles.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.rounds import ENDPOINTS
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import replacing

CACHE = Path("dataset_cache") / "cnn_dailymail" / "cnn_dailymail.parquet"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
ROUGE = r'''\
"""ROUGE for a machine without the hub: the rouge_score package, called as the published metric calls it."""

import re

import datasets
import evaluate
from rouge_score import rouge_scorer

WORD = re.compile(r"[A-Za-z0-9]+")


class Rouge(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="rouge", citation="", features=datasets.Features({"predictions": text, "references": text})
        )

    def _compute(self, predictions, references, use_stemmer=False, use_aggregator=True, rouge_types=None):
        kinds = rouge_types or ["rouge1", "rouge2", "rougeL", "rougeLsum"]
        scorer = rouge_scorer.RougeScorer(rouge_types=kinds, use_stemmer=use_stemmer)
        same = scorer.score("one two", "one two")  # what any equal texts score that have two words
        rows = [
            same if wanted == found and len(WORD.findall(found)) > 1 else scorer.score(wanted, found)
            for wanted, found in zip(references, predictions)
        ]
        if not use_aggregator:
            return {kind: [row[kind].fmeasure for row in rows] for kind in kinds}
        return {kind: sum(row[kind].fmeasure for row in rows) / len(rows) for kind in kinds}
'''


def prepare(folder: Path, dataset: Path, *, any_count: bool = False) -> int:
    """Write the data set where the client looks first, and return the number of its rows.

    ``any_count``: a rehearsal may have other rows than the benchmark. Raises ``UserError`` for a data set that lacks
    articles or summaries, or is not the benchmark's 13,368 rows.
    """
    rows = articles_of(dataset)
    count = len(rows["article"])
    if not count:
        raise UserError(f"{dataset} has no row: give articles with their summaries")
    if count != ENDPOINTS.samples and not any_count:
        raise UserError(
            f"{dataset} has {count:,} row{'s' * (count != 1)}; the benchmark has {ENDPOINTS.samples:,} "
            "(CNN/DailyMail 3.0.0, validation): mlperf-llama data prepare makes it, --rehearsal takes any"
        )
    write_rows(folder, rows)
    return count


def write_rows(folder: Path, rows: dict[str, list[str]]) -> None:
    """``rows``: articles and highlights."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = folder / CACHE
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as scratch:
        pq.write_table(pa.table(rows), scratch)


def articles_of(dataset: Path) -> dict[str, list[str]]:
    """Articles and reference summaries in the file's order, as the client's columns.

    MLCommons' JSON and this project's Parquet have them beside the token ids; a Parquet, JSONL or CSV file with the
    columns article and highlights will do.
    """
    from qsl.dataset import Dataset

    if not dataset.is_file():
        raise UserError(f"--dataset {dataset} does not exist: give CNN/DailyMail as .json, .parquet, .jsonl or .csv")
    if _has_ids(dataset):
        rows = Dataset.load(dataset)
        return {"article": rows.articles(range(rows.count)), "highlights": rows.references(range(rows.count))}
    from qsl.articles import SUFFIXES, open_source

    if dataset.suffix not in SUFFIXES:  # another name would be looked for on the hub
        raise UserError(f"--dataset {dataset}: the name must end in .json or one of {', '.join(SUFFIXES)}")
    found = list(open_source(str(dataset)).articles)
    return {"article": [row.text for row in found], "highlights": [row.summary for row in found]}


def _has_ids(dataset: Path) -> bool:
    if dataset.suffix == ".json":
        return True
    if dataset.suffix != ".parquet":
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return "tok_input" in pq.read_schema(dataset).names
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{dataset} is no Parquet file: {type(error).__name__}") from error


def write_scorer(folder: Path) -> None:
    """``rouge/rouge.py`` and punkt's tables, which the client finds before it asks a hub."""
    path = folder / "rouge" / "rouge.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ROUGE)
    tables = folder / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
    tables.mkdir(parents=True, exist_ok=True)
    for name, lines in _punkt():
        (tables / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _punkt() -> Iterator[tuple[str, list[str]]]:
    """The four tables of nltk's English model, from the package that our own scorer takes them from."""
    from harness.accuracy.sentences import parameters

    found = parameters()
    yield "abbrev_types.txt", sorted(found.abbrev_types)
    yield "sent_starters.txt", sorted(found.sent_starters)
    yield "collocations.tab", sorted("\t".join(pair) for pair in found.collocations)
    yield "ortho_context.tab", sorted(f"{word}\t{value}" for word, value in found.ortho_context.items())


def check_tokenizer(given: str) -> str:
    """The tokenizer as the client takes it. Raises ``UserError`` for a folder without one."""
    path = Path(given)
    if not path.is_dir():
        if path.is_absolute() or given.startswith((".", "~")):
            raise UserError(
                f"--tokenizer {given} does not exist: without it the client counts no tokens, and no point counts"
            )
        return given
    if not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(
            f"--tokenizer {path} holds no tokenizer ({', '.join(TOKENIZER_FILES)}): the client counts tokens with it"
        )
    return str(path.resolve())
