"""Build the tree of a submission from the points that were measured, and write what the rules want beside them.

Layout: mlcommons/endpoints_policies endpoints_rules.md, 8.1. The client's results are copied untouched; from its
configuration only what is private is taken out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.endpoints.check.files import ACCURACY, CONFIG, DESCRIPTION, POINT, POWER, SUMMARY
from harness.endpoints.check.files import Point as Files
from harness.endpoints.description import Owner
from harness.endpoints.point_yaml import SHARED_DOCS, SHARED_SRC, point_config
from harness.rounds import ENDPOINTS, SeedSet
from harness.rundir.endpoints import CurveRecord, PlannedPoint
from harness.rundir.files import write_record
from harness.submission.identities import local_identity
from harness.submission.scrub import Scrubber
from harness.submission.sources import copy_sources
from harness.submission.system_description import REHEARSAL

README = """\
# {title}

The system under test is `mlperf-llama serve`: an OpenAI-compatible server in front of one engine for each accelerator.
The code is in this directory; `docs/endpoints.md` of the project explains each step.

```
pip install '.[vllm]'
{serve}
{client} benchmark from-config -c CONFIG --mode both
```

`config.yaml` of each point is the client's configuration as it ran; the client is mlcommons/endpoints at
`{commit}`, unmodified.
"""
DISCLOSURE = """\
# Software

| part | version |
|---|---|
{rows}

The server runs no template that a request brings: the benchmark's own plain template is recognised byte for byte, any
other is refused. Prefix caching is off. Tokens are streamed as the engine makes them.
{notes}"""


@dataclass(frozen=True, kw_only=True)
class Order:
    """``reports``: the client's directory of each point, by name. ``serve``: the command line of the server.

    ``chunk_ms``: least time between two chunks of a stream, which must be disclosed.
    """

    tree: Path
    owner: Owner
    record: CurveRecord
    reports: Mapping[str, Path]
    seeds: SeedSet
    stream_all: bool
    serve: str
    versions: Mapping[str, str]
    chunk_ms: float = 0.0
    rehearsal: bool = False


def build(order: Order) -> Path:
    """Write the submission and return its directory; what was built there before is replaced."""
    owner = order.owner
    root = order.tree / owner.submission.organization / owner.submission.submission_id
    shutil.rmtree(root, ignore_errors=True)
    system = root / "results" / owner.system_id
    for point in order.record.plan:
        _point(order, point, system / ENDPOINTS.model_name / point.name)
    if owner.power:
        write_record(system / POWER, owner.power)
    _documents(order, root)
    return root


def _point(order: Order, point: PlannedPoint, target: Path) -> None:
    target.mkdir(parents=True)
    source = Files(order.reports[point.name])
    shutil.copyfile(source.summary_path, target / SUMMARY)
    if point.accuracy:
        shutil.copyfile(source.accuracy_path, target / ACCURACY)
    text = source.config_path.read_text(encoding="utf-8")
    (target / CONFIG).write_text(Scrubber(local_identity()).scrub(text), encoding="utf-8")
    c_max = max(p.concurrency for p in order.record.plan if not p.dedicated)
    point_config(
        point,
        c_max=c_max,
        division=order.owner.submission.division,
        model=order.owner.model,
        seeds=order.seeds,
        cohort=str(order.record.cohort),
        stream_all=order.stream_all,
        notes=REHEARSAL if order.rehearsal else None,
    ).write(target / POINT)
    described = order.owner.description(c_max=c_max)
    described.tps_utilization = _share(order, point)
    if order.chunk_ms:
        chunks = f"Answers stream in chunks at least {order.chunk_ms:g} ms apart, the first token alone and at once."
        described.config_summary_notes = " ".join(text for text in (described.config_summary_notes, chunks) if text)
    write_record(target / DESCRIPTION, described)


def _share(order: Order, point: PlannedPoint) -> float | None:
    """This point's throughput as a share of the highest."""
    rates = {name: found.figures.system_tps for name, found in order.record.points.items() if found.figures}
    return round(rates[point.name] / max(rates.values()), 4) if point.name in rates else None


def _documents(order: Order, root: Path) -> None:
    code = root / SHARED_SRC
    copy_sources(code)
    mark = f"{REHEARSAL}: " if order.rehearsal else ""
    title = f"{mark}{ENDPOINTS.model_name} on {order.owner.system.system_name}"
    text = README.format(title=title, serve=order.serve, client="inference-endpoint", commit=order.record.client_commit)
    (code / "README.md").write_text(Scrubber(local_identity()).scrub(text), encoding="utf-8")
    docs = root / SHARED_DOCS
    docs.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"| {name} | {version} |" for name, version in order.versions.items())
    notes = f"\n{REHEARSAL}.\n" if order.rehearsal else ""
    (docs / "software_disclosure.md").write_text(DISCLOSURE.format(rows=rows, notes=notes), encoding="utf-8")
