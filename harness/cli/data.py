"""``mlperf-llama data``: prepare, inspect and synthesize data sets. The work is in ``qsl``; this is its face."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import sub_commands
from harness.cli.progress_bar import progress_bar
from harness.rounds import ROUND
from mlperf_llama_base.errors import UserError

DATACENTER, EDGE = ROUND.benchmarks["datacenter"], ROUND.benchmarks["edge"]

if TYPE_CHECKING:
    from qsl.dataset import Dataset

app = sub_commands("Prepare, inspect and make up data sets.")

Output = Annotated[Path, typer.Option("--output", "-o", help="File to write: .json (MLCommons) or .parquet (faster)")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there")]
TOKENIZER = "Folder, hub id, or Meta's tokenizer.model"


class Lengths(StrEnum):
    """Distributions of ``qsl.synthetic``."""

    GAMMA = "gamma"
    LOGNORMAL = "lognormal"


@app.command()
def prepare(
    output: Output,
    tokenizer: Annotated[str, typer.Option(help=TOKENIZER)],
    source: Annotated[str, typer.Option(help="Hub id, or a .parquet, .jsonl or .csv file")] = "cnn_dailymail",
    config: Annotated[str, typer.Option(help="Configuration of the hub data set")] = "3.0.0",
    split: Annotated[str, typer.Option(help="Split of the hub data set")] = "validation",
    text_column: Annotated[str, typer.Option(help="Column of the articles")] = "article",
    summary_column: Annotated[str, typer.Option(help="Column of the reference summaries")] = "highlights",
    count: Annotated[
        int | None,
        typer.Option(min=1, help=f"Draw this many with seed 42 (edge benchmark: {EDGE.samples})"),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="Only the rows with these ids, one a line: MLCommons' calibration-list.txt (--split train)"),
    ] = None,
    id_column: Annotated[str, typer.Option(help="Column of the ids")] = "id",
    overwrite: Overwrite = False,
) -> None:
    """Make the benchmark's data set, or with --ids the calibration set, from articles, as MLCommons' reference does."""
    _refuse_existing(output, overwrite)
    from qsl.articles import open_source
    from qsl.id_list import IdList
    from qsl.prepare import prepare as make
    from qsl.tokenizer import load_tokenizer

    if ids and count:
        raise UserError("--ids names the rows and --count draws them by chance: give one of the two")
    listed = IdList.read(ids) if ids else None
    loaded = load_tokenizer(tokenizer)
    columns = {"text_column": text_column, "summary_column": summary_column, "id_column": id_column}
    articles = open_source(source, config=config, split=split, ids=listed, **columns)
    with progress_bar("Tokenising") as progress:
        made = make(
            articles, tokenizer=loaded, output=output, count=count, calibration=listed is not None, progress=progress
        )
    _say(output, made.count, made.tokens, made.longest)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="MLCommons' JSON or Parquet")],
    limit: Annotated[int | None, typer.Option(min=1, help="Look at the first rows only")] = None,
    vocab_size: Annotated[int | None, typer.Option(min=1, help="Check the token ids against this vocabulary")] = None,
    max_prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Check that no prompt is longer")] = None,
) -> None:
    """Show what a data set holds: counts, lengths, duplicates, digest, whether its count is an official one."""
    from qsl.dataset import Dataset

    dataset = Dataset.load(path, limit=limit, vocab_size=vocab_size, max_prompt_tokens=max_prompt_tokens)
    for name, value in _facts(dataset):
        typer.echo(f"{name:<16} {value}")
    typer.echo()
    for line in histogram(dataset.lengths.tolist()):
        typer.echo(line)


@app.command()
def synthesize(
    output: Output,
    count: Annotated[int, typer.Option(min=1, help="Samples")] = DATACENTER.samples,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same data")] = 0,
    lengths: Annotated[Lengths, typer.Option(help="Distribution of prompt lengths")] = Lengths.GAMMA,
    vocab_size: Annotated[int, typer.Option(min=1, help="Vocabulary, if no tokenizer is given")] = 128256,
    tokenizer: Annotated[str | None, typer.Option(help=f"{TOKENIZER}: its vocabulary, no special ids, its BOS")] = None,
    summaries: Annotated[bool, typer.Option(help="Make reference summaries too")] = False,
    summary_chars: Annotated[int, typer.Option(min=20, help="Their mean length in characters")] = 611,
    overwrite: Overwrite = False,
) -> None:
    """Make up a data set of random token ids with CNN/DailyMail's lengths. Never submittable."""
    _refuse_existing(output, overwrite)
    from qsl import synthetic

    avoid: list[int] = []
    bos = synthetic.LLAMA3_ORDINARY if vocab_size == synthetic.LLAMA3_VOCAB else None
    if tokenizer:
        from qsl.tokenizer import load_tokenizer

        loaded = load_tokenizer(tokenizer)
        vocab_size, avoid = len(loaded), loaded.all_special_ids
        bos = loaded.bos_token_id if loaded("a")["input_ids"][0] == loaded.bos_token_id else None
    made = synthetic.synthesize(
        output,
        count=count,
        seed=seed,
        shape=lengths.value,
        vocab_size=vocab_size,
        avoid=avoid,
        bos_id=bos,
        summary_chars=summary_chars if summaries else None,
    )
    _say(output, len(made), int(made.sum()), int(made.max()))


def _say(output: Path, count: int, tokens: int, longest: int) -> None:
    mean = tokens / count
    typer.echo(f"{output}: {count:,} samples, {tokens:,} prompt tokens, {mean:.1f} on average, {longest:,} at most")


def _facts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    import numpy as np

    from harness.config import Benchmark

    sizes = dataset.lengths
    official = [f"{b.value} ({b.sample_count:,})" for b in Benchmark if b.sample_count == dataset.count]
    yield "file", f"{dataset.path} ({dataset.format}, {dataset.path.stat().st_size / 1e6:.1f} MB)"
    yield "what it is", dataset.label
    yield "sha256", dataset.sha256
    yield "samples", f"{dataset.count:,} of {dataset.file_count:,} in the file"
    yield (
        "official count",
        official[0] if official else "no: it is " + " or ".join(f"{b.sample_count:,} ({b.value})" for b in Benchmark),
    )
    yield "duplicates", f"{dataset.duplicates:,}"
    yield "token ids", f"{int(sizes.sum(dtype=np.int64)):,}, from {dataset.ids.min()} to {dataset.ids.max()}"
    yield "length", f"mean {sizes.mean():.1f}, standard deviation {sizes.std():.1f}"
    points = (0, 5, 25, 50, 75, 95, 99, 100)
    for point, value in zip(points, np.percentile(sizes, points), strict=True):
        yield f"  { ({0: 'minimum', 50: 'median', 100: 'maximum'}.get(point, f'p{point}')) }", f"{value:,.0f}"


def histogram(values: list[int], *, bins: int = 16, width: int = 50) -> list[str]:
    """Return the distribution of ``values`` as lines of text, one for each of at most ``bins`` equal ranges."""
    low, high = min(values), max(values)
    step = max(1, -(-(high - low + 1) // bins))
    counts = [0] * -(-(high - low + 1) // step)
    for value in values:
        counts[(value - low) // step] += 1
    return [
        f"{start:>6,} to {start + step - 1:>6,} {n:>7,} {'█' * round(width * n / max(counts))}".rstrip()
        for start, n in zip(range(low, high + 1, step), counts, strict=True)
    ]


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise UserError(f"{output} already exists; give another name or --overwrite")
