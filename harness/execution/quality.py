"""How the responses look: did they end by themselves, how long are they, and what do three of them say?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.rundir.execution_results import Answer, Quality
from harness.rundir.record import RunRecord
from mlperf_llama_base.errors import HarnessError

BINS = 16
SHOWN = 3
FIRST_IDS = 32


def quality(runs: Sequence[tuple[str | None, RunRecord]], *, max_new_tokens: int | None) -> Quality | None:
    """Of all runs together, each with the node that it is of (None: of several); None if nothing was answered."""
    found = [(run, run.events) for _, run in runs]
    events = [e for _, e in found if e is not None and len(e)]
    if not events:
        return None
    lengths = np.concatenate([e.output_tokens for e in events])
    samples = np.concatenate([e.qsl_idx for e in events])
    at_limit = int((lengths >= max_new_tokens).sum()) if max_new_tokens else None
    counts, edges = np.histogram(lengths, bins=min(BINS, max(int(np.ptp(lengths)), 1)))
    failed = [run.ran.samples.failed for _, run in runs]
    return Quality(
        responses=len(lengths),
        failed=sum(n or 0 for n in failed) if None not in failed else None,
        finished=None if at_limit is None else len(lengths) - at_limit,
        at_limit=at_limit,
        empty=int((lengths <= 1).sum()),
        shortest=int(lengths.min()),
        median=float(np.median(lengths)),
        longest=int(lengths.max()),
        longest_qsl_idx=int(samples[lengths.argmax()]),
        edges=[float(edge) for edge in edges],
        histogram=[int(count) for count in counts],
        answers=answers(runs),
    )


def answers(runs: Sequence[tuple[str | None, RunRecord]]) -> list[Answer]:
    """The first that were completed, one of each run in turn."""
    kept = [(node, run, run.ran.answers) for node, run in runs]
    turns = [(node, run, of_run[turn]) for turn in range(SHOWN) for node, run, of_run in kept if turn < len(of_run)]
    first = {answer.qsl_idx: (node, run, answer) for node, run, answer in reversed(turns)}
    turns = sorted(turns, key=lambda turn: first[turn[2].qsl_idx] != turn)  # another sample tells more than the same
    decoders: dict[Path, Callable[[list[int]], str | None]] = {}
    shown = []
    for node, run, answer in turns[:SHOWN]:
        decode = decoders.setdefault(run.run_dir, _decoder(run))
        places: Mapping[object, str | None] = {w.id: w.node for w in run.ran.workers}
        shown.append(
            Answer(
                qsl_idx=answer.qsl_idx,
                node=node or places.get(answer.worker),
                output_tokens=answer.output_tokens,
                text=decode(answer.token_ids),
                token_ids=answer.token_ids[:FIRST_IDS],
            )
        )
    return shown


def _decoder(run: RunRecord) -> Callable[[list[int]], str | None]:
    """Text of token ids, where the model's tokenizer is a folder here: a report never reaches for the network."""
    asked, ran = run.setting, run.ran.model
    named = asked("model", "tokenizer") or (ran.folder or ran.path if ran else None) or asked("model", "path")
    if not named or not Path(str(named)).exists():
        return lambda ids: None
    from harness.accuracy.decode import load_decoder

    try:
        decode = load_decoder(str(named))
    except HarnessError:
        return lambda ids: None

    def text(ids: list[int]) -> str | None:
        try:
            return decode([np.array(ids, dtype=np.int32)])[0].strip()
        except HarnessError:  # a tokenizer of another model: the ids stand there
            return None

    return text
