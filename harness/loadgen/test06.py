"""TEST06, the one compliance test of Llama 3.1 8B: its audit.config, and the three properties that it asks for.

A model's output must begin with the first token that was reported, end with at most one end-of-sequence token, and be
as long as was reported (mlcommons/inference compliance/TEST06/README.md). The public script compares with id 2 and so
never sees Llama 3.1's own end tokens; here the ids come from the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.loadgen.accuracy_log import Entry, read_entries
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY, DetailLog, parse_detail
from harness.rounds import ROUND
from mlperf_llama_base.errors import RunError, UserError

LLAMA_3_1_EOS = frozenset({128001, 128008, 128009})  # generation_config.json of Llama-3.1-8B-Instruct
EXAMPLES = 3


def write_audit_config(directory: Path) -> Path:
    """Write TEST06's ``audit.config`` and return its absolute path.

    LoadGen runs an ordinary test, without a word, when the path it is given does not exist (loadgen/loadgen.cc,
    StartTestWithLogSettings): always pass this one.
    """
    path = (directory / "audit.config").resolve()
    path.write_text("".join(f"*.*.{key} = {value}\n" for key, value in ROUND.audit_settings.items()))
    return path


@dataclass
class ComplianceResult:
    """The verdict. ``first_token`` is None in Offline, where none is reported; ``reasons``: why it did not pass."""

    scenario: str
    samples: int = 0
    first_token: bool | None = None
    eos: bool = True
    sample_length: bool = True
    reasons: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """The ``compliance`` block of result.json."""
        return {
            "test": "TEST06",
            "first_token": self.first_token,
            "eos": self.eos,
            "sample_length": self.sample_length,
            "samples": self.samples,
            "passed": self.passed,
            "reasons": list(self.reasons),
        }

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
        raise UserError(f"{run_dir / DETAIL} is not the log of a run: start it with --mode compliance first")
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
    wrong: dict[str, list[str]] = {}
    for entry in read_entries(path):
        result.samples += 1
        for kind, text in _faults(entry, result, frozenset(eos_token_ids)):
            wrong.setdefault(kind, []).append(f"sample {entry.qsl_idx} {text}")
    for kind, texts in wrong.items():
        more = f"; and {len(texts) - EXAMPLES} more" if len(texts) > EXAMPLES else ""
        result.reasons.append(f"{kind}: {'; '.join(texts[:EXAMPLES])}{more}")
    if result.samples != ROUND.audited_samples:
        result.reasons.append(f"{result.samples} samples are logged, TEST06 logs {ROUND.audited_samples}")
    return result


def _faults(entry: Entry, result: ComplianceResult, eos: frozenset[int]) -> list[tuple[str, str]]:
    """(property, what is wrong) of one sample; clears the property in ``result``."""
    faults = []
    tokens = _ids(entry.data)
    if tokens is None or not tokens:
        result.sample_length = False
        return [("sample length", "has no output" if tokens is not None else "has data that is no list of int32")]
    if result.first_token is not None:
        first = _ids(entry.token_data) if entry.token_data else None
        if not first or tokens[: len(first)] != first:
            result.first_token = False
            faults.append(("first token", f"begins with {tokens[0]}, {first or 'nothing'} was reported first"))
    early = [i for i, token in enumerate(tokens[:-1]) if token in eos]
    if early:
        result.eos = False
        faults.append(("EOS", f"has an end token at {early[0]}, before its last position {len(tokens) - 1}"))
    if entry.token_count != len(tokens):
        result.sample_length = False
        faults.append(("sample length", f"has {len(tokens)} tokens, {entry.token_count} were reported"))
    if len(tokens) > ROUND.max_new_tokens:
        faults.append(("max_new_tokens", f"has {len(tokens)} tokens, more than {ROUND.max_new_tokens}"))
    return faults


def _ids(data: str) -> list[int] | None:
    """Token ids of LoadGen's hexadecimal bytes (int32 little-endian), or None if they are not that."""
    try:
        raw = bytes.fromhex(data)
    except ValueError:
        return None
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
