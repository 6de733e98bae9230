"""Where a run stands among the published MLPerf Inference results of this benchmark.

The fair unit is samples/s: the token count of one and the same sample differs by one between submissions (their SUT
reports it), the sample does not. Results are taken per accelerator, since systems hold one to sixteen of them.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from harness.config import Benchmark
from harness.report.load import RunData

TABLE = Path(__file__).parent / "published.json"
_TOKENS_PER_SAMPLE = {"Offline": 128.0, "Server": 129.0, "Interactive": 129.0}
# What NVML, or a driver of another maker, calls an accelerator, to the name in the published tables; first match wins.
_NAMES = [
    (r"H100.*(HBM3|SXM)", "H100-SXM-80GB"),
    (r"H200.*NVL", "H200-NVL"),
    (r"H200", "H200-SXM-141GB"),
    (r"\bB200", "B200-SXM-180GB"),
    (r"\bB300", "B300-SXM-270GB"),
    (r"RTX PRO 6000", "RTX PRO 6000"),
    (r"L40S", "L40S"),
    (r"MI355X", "MI355X"),
    (r"MI350X", "MI350X"),
    (r"MI350P", "MI350P"),
    (r"Arc.*B70", "Arc Pro B70"),
    (r"Arc.*B50", "Arc Pro B50"),
]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published result. ``per_accelerator``: samples/s; ``estimated``: from tokens/s, no log was read."""

    round: str
    submitter: str
    system: str
    accelerator: str
    count: int
    scenario: str
    tokens_per_s: float
    per_accelerator: float
    estimated: bool
    software: str | None
    precision: str | None
    source: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """``per_accelerator``: this run's samples/s for each of ``count`` accelerators. ``not_comparable``: reasons."""

    accelerator: str | None
    count: int
    per_accelerator: float
    peers: list[Published]
    same: list[Published]
    not_comparable: list[str]


@functools.cache
def published() -> list[Published]:
    """Return the table shipped with the program."""
    table = json.loads(TABLE.read_text())
    rows = []
    for row in table["results"]:
        known = row["samples_per_s"]
        total = known if known is not None else row["tokens_per_s"] / _TOKENS_PER_SAMPLE[row["scenario"]]
        rows.append(
            Published(
                round=row["round"],
                submitter=row["submitter"],
                system=row["system"],
                accelerator=row["accelerator"],
                count=row["count"],
                scenario=row["scenario"],
                tokens_per_s=row["tokens_per_s"],
                per_accelerator=total / row["count"],
                estimated=known is None,
                software=row["software"],
                precision=row["precision"],
                source=table["sources"][row["round"]],
                note=row["note"],
            )
        )
    return rows


def accelerator_of(name: str) -> str | None:
    """Return the published tables' name for an accelerator, None if none of them has it."""
    return next((known for pattern, known in _NAMES if re.search(pattern, name, re.IGNORECASE)), None)


def standing(run: RunData) -> Standing | None:
    """Return the run's standing, None where it has no samples/s or its scenario was never published."""
    rate = run.result.get("samples_per_second")
    peers = sorted(
        (row for row in published() if row.scenario == run.scenario.directory),
        key=lambda row: row.per_accelerator,
        reverse=True,
    )
    if rate is None or not peers or run.benchmark is Benchmark.EDGE or run.mode == "accuracy":
        return None
    names = run.gpu_names
    kinds = {accelerator_of(name) for name in names}
    kind = kinds.pop() if len(kinds) == 1 else None
    count = max(len(names), 1)
    same = [row for row in peers if kind is not None and row.accelerator == kind]
    return Standing(
        accelerator=kind,
        count=count,
        per_accelerator=float(rate) / count,
        peers=peers,
        same=same,
        not_comparable=why_not_comparable(run, names),
    )


def why_not_comparable(run: RunData, names: list[str]) -> list[str]:
    """Return every recorded reason for which this rate may not stand beside a published one."""
    reasons = [] if run.result.get("valid") is True else ["the run is not valid"]
    reasons += [str(reason) for reason in run.result.get("not_submittable_reasons") or []]
    if not reasons and run.result.get("submittable") is not True:
        reasons.append("the result does not say that it may be submitted")
    if not names:
        reasons.append("no accelerator was seen; published CPU results are of whole systems")
    elif len({accelerator_of(name) for name in names}) > 1:
        reasons.append("accelerators of several kinds")
    return reasons
