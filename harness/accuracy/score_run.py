"""Score the accuracy log of a run directory, with the data set and tokenizer that the run itself names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.accuracy import score as scoring
from harness.accuracy.decode import load_decoder
from harness.loadgen.accuracy_log import read_accuracy_log
from harness.loadgen.log import ACCURACY
from harness.rundir.record import Evidence
from harness.rundir.scores import METRICS, Accuracy
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
    on_step: Callable[[str], None] = lambda step: None,
) -> Accuracy:
    """Score a run and write accuracy.txt, accuracy.json and accuracy_samples.parquet into it.

    What is not given is taken from the run's own record. Raises ``UserError`` if the log is missing, cut off, of a
    performance run, or of another data set; ``EnvironmentFault`` if a package is missing.
    """
    run = Evidence.load(run_dir)
    data = run.section("dataset")
    data_path = dataset or data.get("path") or run.setting("dataset", "path")
    if not data_path:
        raise UserError(f"{run_dir} does not say which data set ran: give it with --dataset")
    model = run.section("model")
    tokenizer_path = (
        tokenizer
        or run.setting("model", "tokenizer")
        or model.get("tokenizer")
        or model.get("path")
        or run.setting("model", "path")
    )
    if not tokenizer_path:
        raise UserError(f"{run_dir} does not say which tokenizer its model has: give it with --tokenizer")
    log_path = log or run_dir / ACCURACY
    on_step("reading the log")
    entries = read_accuracy_log(log_path)
    on_step("reading the data set")
    loaded = Dataset.load(Path(data_path), limit=run.setting("dataset", "limit"))
    if data.get("sha256") and loaded.sha256 != data["sha256"]:
        raise UserError(
            f"data set {data_path} is not the one that ran: its SHA-256 is {loaded.sha256[:12]}..., the run recorded "
            f"{data['sha256'][:12]}...; give the one that ran with --dataset"
        )
    own_tokenizer = tokenizer is None and not run.setting("model", "tokenizer")
    decode = load_decoder(str(tokenizer_path), run.setting("model", "revision") if own_tokenizer else None)
    name = scorer or run.setting("scorer") or "fast"
    scored = scoring.score(entries, loaded, decode, scorer_name=name, on_step=on_step)
    official = run.benchmark.sample_count
    accuracy = Accuracy(
        **{metric: scored.mean(metric) for metric in METRICS},
        gen_len=int(scored.chars.sum()),
        gen_num=len(scored.chars),
        expected=loaded.count,
        partial=scoring.what_is_partial(
            scored=len(scored.chars),
            expected=loaded.count,
            official=official,
            is_official=bool(data.get("is_official_count", loaded.count == official)),
        ),
        repeated=entries.repeated,
        tokens_mean=float(scored.n_tokens.mean()),
        scorer=name,
        dataset=str(data_path),
        dataset_sha256=loaded.sha256,
        tokenizer=str(tokenizer_path),
        log_sha256=sha256_of(log_path),
    )
    scoring.save(run_dir, accuracy, scored)
    return accuracy
