"""TEST06, the one compliance test of Llama 3.1 8B: its audit.config, and the three properties that it asks for.

A model's output must begin with the first token that was reported, end with at most one end-of-sequence token, and be
as long as was reported (mlcommons/inference compliance/TEST06/README.md). The public script compares with id 2 and so
never sees Llama 3.1's own end tokens; here the ids come from the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.loadgen.accuracy_log import Entry, read_entries
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY, DetailLog, parse_detail
from harness.rounds import ROUND
from mlperf_llama_base.errors import RunError, UserError

LLAMA_3_1_EOS = frozenset({128001, 128008, 128009})  # generation_config.json of Llama-3.1-8B-Instruct
VOCABULARY = 128256  # config.json of Llama-3.1-8B-Instruct, vocab_size
EXAMPLES = 3


def write_audit_config(directory: Path) -> Path:
    """Write TEST06's ``audit.config`` and return its absolute path.

    LoadGen runs an ordinary test, without a word, when the path it is given does not exist (loadgen/loadgen.cc,
    StartTestWithLogSettings): always pass this one.
    """
    path = (directory / "audit.config").resolve()
    path.write_text("".join(f"*.*.{key} = {value}\n" for key, value in ROUND.audit_settings.items()))
    return path


class Fault(StrEnum):
    """What can be wrong with a logged output. The first three are TEST06's criteria, the others break other rules."""

    FIRST_TOKEN = "first token"
    EOS = "EOS"
    LENGTH = "sample length"
    TOO_LONG = "max_new_tokens"
    EARLY_END = "end token"
    VOCABULARY = "vocabulary"


CRITERIA = (Fault.FIRST_TOKEN, Fault.EOS, Fault.LENGTH)


@dataclass
class ComplianceResult:
    """The verdict. ``first_token`` is None in Offline, where none is reported; ``reasons``: why it did not pass.

    ``others``: what is wrong with the outputs beside TEST06's criteria; ``indices``: the samples that were logged.
    """

    scenario: str
    samples: int = 0
    first_token: bool | None = None
    eos: bool = True
    sample_length: bool = True
    reasons: list[str] = field(default_factory=list)
    others: dict[Fault, str] = field(default_factory=dict)
    indices: set[int] = field(default_factory=set)

    @property
    def passed(self) -> bool:
        return not self.reasons

    def as_text(self) -> str:
        """verify_accuracy.txt, in the words that the submission checker looks for (checks/compliance_check.py)."""
        first = "Skipped" if self.first_token is None else str(self.first_token)
        return (
            f"First token check pass: {first}\n"
            f"EOS check pass: {self.eos}\n"
            f"Sample length check pass: {self.sample_length}\n"
            f"TEST06 verification {'complete' if self.passed else 'failed'}\n"
        )


def verify(
    run_dir: Path, eos_token_ids: Collection[int] = LLAMA_3_1_EOS, *, detail: DetailLog | None = None
) -> ComplianceResult:
    """Verify a finished TEST06 run: that LoadGen read audit.config, and the outputs that it logged.

    ``detail``: its detail log, where that was parsed already. Raises ``UserError`` if ``run_dir`` holds no logs of a
    run, or a damaged accuracy log.
    """
    detail = detail or parse_detail(run_dir / DETAIL)
    scenario = detail.text("effective_scenario")
    if scenario is None:
        raise UserError(f"{run_dir / DETAIL} is not the log of a run: run it with --mode compliance first")
    result = verify_log(run_dir / ACCURACY, scenario=scenario, eos_token_ids=eos_token_ids)
    logged = [f"LoadGen logged an error: {text}" for text in detail.errors[:EXAMPLES]]
    result.reasons[:0] = settings_problems(detail) + logged
    return result


def settings_problems(detail: DetailLog) -> list[str]:
    """Why this detail log is not that of a TEST06 run; empty if it is."""
    problems = []
    if not detail.audit_config_used:
        problems.append("LoadGen did not read audit.config: the log lacks its warning, this was an ordinary run")
    for key, value in ROUND.audit_settings.items():
        # effective_min_query_count is 1 in Offline, whatever was asked for
        logged = f"requested_{key}_ms" if key == "min_duration" else f"requested_{key}"
        if key != "mode" and detail.values.get(logged) != value:
            problems.append(f"{logged} is {detail.values.get(logged)!r}, TEST06 sets {value!r}")
    if (mode := detail.text("effective_test_mode")) != "PerformanceOnly":
        problems.append(f"the run's mode is {mode}, TEST06 is a performance run")
    return problems


def verify_log(path: Path, *, scenario: str, eos_token_ids: Collection[int] = LLAMA_3_1_EOS) -> ComplianceResult:
    """Verify the three properties on every logged sample of ``path``. ``scenario``: LoadGen's name, or ``Interactive``.

    Raises ``UserError`` if the log is missing or damaged.
    """
    result = ComplianceResult(scenario=scenario, first_token=None if scenario == "Offline" else True)
    found: dict[Fault, list[str]] = {}
    for entry in read_entries(path):
        result.samples += 1
        result.indices.add(entry.qsl_idx)
        for fault, text in _faults(entry, first=result.first_token is not None, eos=frozenset(eos_token_ids)):
            found.setdefault(fault, []).append(f"sample {entry.qsl_idx} {text}")
    if Fault.FIRST_TOKEN in found:
        result.first_token = False
    result.eos = Fault.EOS not in found
    result.sample_length = Fault.LENGTH not in found
    for fault, texts in found.items():
        more = f"; and {len(texts) - EXAMPLES} more" if len(texts) > EXAMPLES else ""
        line = f"{fault}: {'; '.join(texts[:EXAMPLES])}{more}"
        if fault in CRITERIA:
            result.reasons.append(line)
        else:
            result.others[fault] = line
    if result.samples != ROUND.audited_samples:
        result.reasons.append(f"{result.samples} samples are logged, TEST06 logs {ROUND.audited_samples}")
    return result


def _faults(entry: Entry, *, first: bool, eos: frozenset[int]) -> Iterator[tuple[Fault, str]]:
    """What is wrong with one sample. ``first``: a first token was reported."""
    tokens = token_ids(entry.data, entry.token_count)
    if not tokens:
        yield Fault.LENGTH, "has no output" if tokens is not None else "has data that is not a list of int32 or int64"
        return
    if first:
        wide = len(entry.data) // 2 == 8 * len(tokens)
        reported = token_ids(entry.token_data or "", len(entry.token_data or "") // 16 if wide else None)
        if not reported or tokens[: len(reported)] != reported:
            yield Fault.FIRST_TOKEN, f"begins with {tokens[0]}, {reported or 'nothing'} was reported first"
    ending = next((i for i, token in enumerate(reversed(tokens)) if token not in eos), len(tokens))
    if ending > 1:
        yield Fault.EOS, f"ends with {ending} end tokens"
    early = [i for i, token in enumerate(tokens[: len(tokens) - ending]) if token in eos]
    if early:
        yield Fault.EARLY_END, f"has an end token at {early[0]}, before its last position {len(tokens) - 1}"
    if entry.token_count != len(tokens):
        yield Fault.LENGTH, f"has {len(tokens)} tokens, {entry.token_count} were reported"
    if len(tokens) > ROUND.max_new_tokens:
        yield Fault.TOO_LONG, f"has {len(tokens)} tokens, more than {ROUND.max_new_tokens}"
    if strange := [token for token in tokens if not 0 <= token < VOCABULARY]:
        yield Fault.VOCABULARY, f"has the token id {strange[0]}"


def token_ids(data: str, count: int | None) -> list[int] | None:
    """Token ids of LoadGen's hexadecimal bytes, or None if they are no list of them.

    They are int32, little-endian, or int64 where the bytes are eight times the reported ``count`` and the upper half of
    each number is its sign.
    """
    try:
        raw = bytes.fromhex(data)
    except ValueError:
        return None
    if count and len(raw) == 8 * count:
        wide = memoryview(raw).cast("q").tolist()
        if all(-(2**31) <= token < 2**31 for token in wide):
            return wide
    return memoryview(raw).cast("i").tolist() if len(raw) % 4 == 0 else None


def write_test06(run_dir: Path, scenario_dir: Path, result: ComplianceResult) -> Path:
    """Lay ``TEST06`` out under ``scenario_dir`` as the submission checker and the policies want it, and return it.

    ``verify_accuracy.txt``, ``accuracy/mlperf_log_accuracy.json`` (whole: it is not truncated) and
    ``performance/run_1/mlperf_log_{summary,detail}.txt``. Raises ``RunError`` if a log is missing.
    """
    test = scenario_dir / "TEST06"
    run_1 = test / "performance" / "run_1"
    run_1.mkdir(parents=True, exist_ok=True)
    (test / "accuracy").mkdir(exist_ok=True)
    for name, target in ((ACCURACY, test / "accuracy"), (DETAIL, run_1), (SUMMARY, run_1)):
        if not (run_dir / name).is_file():
            raise RunError(f"{run_dir / name} is missing: run TEST06 again with --mode compliance")
        shutil.copyfile(run_dir / name, target / name)
    (test / "verify_accuracy.txt").write_text(result.as_text())
    return test
