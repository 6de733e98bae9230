"""Score the accuracy log of a run directory, with the data set and tokenizer that the run itself names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.accuracy import score as scoring
from harness.accuracy.decode import load_decoder
from harness.loadgen.accuracy_log import AccuracyLog, read_accuracy_log
from harness.loadgen.log import ACCURACY
from harness.rundir.record import Evidence
from harness.rundir.scores import Accuracy
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import sha256_of
from qsl.dataset import Dataset


def score_run(
    run_dir: Path,
    *,
    scorer: str | None = None,
    dataset: str | None = None,
    tokenizer: str | None = None,
    log: Path | None = None,
    output: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Accuracy:
    """Score a run and write accuracy.txt, accuracy.json and accuracy_samples.parquet into it.

    ``output``: another directory for them. Without it nothing is written for another harness's run: the directory is
    somebody else's. What is not given is taken from the run's own record.

    Raises ``UserError`` if the log is missing, cut off, of a performance run, or of another data set;
    ``EnvironmentFault`` if a package is missing.
    """
    run = Evidence.load(run_dir)
    data_path, (tokenizer_path, revision) = _dataset(run, dataset), _tokenizer(run, tokenizer)
    log_path = log or run_dir / ACCURACY
    on_step("reading the log")
    entries = read_accuracy_log(log_path)
    on_step("reading the data set")
    loaded = _load(run, data_path)
    decode = load_decoder(tokenizer_path, revision)
    name = scorer or run.setting("scorer") or "fast"
    scored = scoring.score(entries, loaded, decode, scorer_name=name, on_step=on_step)
    accuracy = _accuracy(
        run, scored, loaded, scorer=name, dataset=data_path, tokenizer=tokenizer_path, log=log_path, seen=entries
    )
    where = output or (None if run.is_foreign else run_dir)
    if where is not None:
        where.mkdir(parents=True, exist_ok=True)
        scoring.save_scores(where, accuracy, scored)
    return accuracy


def _accuracy(
    run: Evidence,
    scored: scoring.Scored,
    data: Dataset,
    *,
    scorer: str,
    dataset: str,
    tokenizer: str,
    log: Path,
    seen: AccuracyLog,
) -> Accuracy:
    return Accuracy(
        rouge1=scored.mean("rouge1"),
        rouge2=scored.mean("rouge2"),
        rougeL=scored.mean("rougeL"),
        rougeLsum=scored.mean("rougeLsum"),
        gen_len=int(scored.chars.sum()),
        gen_num=len(scored.chars),
        expected=data.count,
        partial=_partial(run, scored=len(scored.chars), expected=data.count),
        repeated=seen.repeated,
        tokens_mean=float(scored.n_tokens.mean()),
        scorer=scorer,
        dataset=dataset,
        dataset_sha256=data.sha256,
        tokenizer=tokenizer,
        log_sha256=sha256_of(log),
    )


def _dataset(run: Evidence, given: str | None) -> str:
    path = given or (run.ran.dataset and run.ran.dataset.path) or run.setting("dataset", "path")
    if not path:
        raise UserError(f"{run.run_dir} does not say which data set ran: give it with --dataset")
    return str(path)


def _tokenizer(run: Evidence, given: str | None) -> tuple[str, str | None]:
    """Folder or hub id of the tokenizer, and its revision where it is the model's own."""
    asked = given or run.setting("model", "tokenizer")
    path = asked or (run.ran.model and run.ran.model.path) or run.setting("model", "path")
    if not path:
        raise UserError(f"{run.run_dir} does not say which tokenizer its model has: give it with --tokenizer")
    return str(path), None if asked else run.setting("model", "revision")


def _load(run: Evidence, path: str) -> Dataset:
    loaded = Dataset.load(Path(path), limit=run.setting("dataset", "limit"))
    ran = run.ran.dataset.sha256 if run.ran.dataset else None
    if ran and loaded.sha256 != ran:
        raise UserError(
            f"data set {path} is not the one that ran: its SHA-256 is {loaded.sha256[:12]}..., the run recorded "
            f"{ran[:12]}...; give the one that ran with --dataset"
        )
    return loaded


def _partial(run: Evidence, *, scored: int, expected: int) -> str | None:
    official = run.benchmark.sample_count
    recorded = run.ran.dataset.is_official_count if run.ran.dataset else None
    is_official = expected == official if recorded is None else recorded
    return scoring.what_is_partial(scored=scored, expected=expected, official=official, is_official=is_official)
