"""A v6.1 scenario in the other form: runs of MLCommons' endpoints client in place of LoadGen's logs.

MLPerf Inference v6.1 takes them for llama3.1-8b (mlcommons/inference tools/submission/submission_structure.md). A run
is what the client leaves of ``--mode both``: config.yaml, performance/result_summary.json and
accuracy/accuracy_results.json.
The results are copied untouched. What the weights are, the client does not know: a small YAML asks its owner.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.config import Scenario
from harness.inventory.system import collect
from harness.rundir.files import read_mapping
from harness.rundir.foreign import is_endpoints
from harness.rundir.session import Engine
from harness.submission import calibration, scrub
from harness.submission.build import CALIBRATION, Built, Order, Refused, check_order, move
from harness.submission.check import Severity, check_submission
from harness.submission.identities import local_identity
from harness.submission.rules import DATACENTER, MEASUREMENT_FIELDS
from harness.submission.sources import copy_sources
from harness.submission.system_description import BLANK, REHEARSAL, draft, finish, read_yaml, write_yaml
from mlperf_llama_base.errors import UserError

FILES = ("config.yaml", "performance/result_summary.json", "accuracy/accuracy_results.json")
OURS = ("endpoints.", "measurements.")
MEASUREMENTS = {
    "input_data_types": "int32",
    "retraining": "No",
    "starting_weights_filename": "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct",
    "weight_data_types": f"{BLANK}: format of the weights as served, like fp8 or bf16",
    "weight_transformations": f"{BLANK}: No, or how they were quantised",
}
README = """\
{mark}# {benchmark} {scenario} on {system_id}

Measured with MLCommons' endpoints client ({version}, commit {commit}) against an OpenAI-compatible server. The code of
the server is in `src/{benchmark}/mlperf-llama`.

```
pip install ./src/{benchmark}/mlperf-llama
mlperf-llama serve --model MODEL
inference-endpoint benchmark from-config -c results/{system_id}/{benchmark}/{scenario}/config.yaml --mode both
```
"""
SECTION = """\
## {title}

Runs of MLCommons' endpoints client, which does not see the weights; what follows is their owner's own statement.
Weights as served: {formats}. Transformations: {transformations}.

{notes}
"""


def find_endpoints(directories: Iterable[Path]) -> dict[Scenario, Path]:
    """The client's runs in or below ``directories``, by scenario. Empty where there are none.

    Raises ``UserError`` for two of one scenario, or a load that is none's.
    """
    found: dict[Scenario, Path] = {}
    for directory in directories:
        for path in [directory, *sorted(p for p in directory.rglob("*") if p.is_dir())]:
            if not is_endpoints(path):
                continue
            scenario = scenario_of(path)
            if found.get(scenario, path) != path:
                raise UserError(f"two {scenario} runs: {found[scenario]} and {path}; give only one of them")
            found[scenario] = path
    return found


def scenario_of(run: Path) -> Scenario:
    """By the load: everything at once is Offline; a Poisson process Server, or Interactive if the path says so."""
    config = read_mapping(run / "config.yaml") or {}
    settings = config.get("settings")
    pattern = settings.get("load_pattern") if isinstance(settings, dict) else None
    kind = pattern.get("type") if isinstance(pattern, dict) else None
    if config.get("type") == "offline" or kind == "max_throughput":
        return Scenario.OFFLINE
    if kind == "poisson":
        named = any(part.lower() == "interactive" for part in run.resolve().parts)
        return Scenario.INTERACTIVE if named else Scenario.SERVER
    raise UserError(
        f"{run} has load pattern {kind!r}: a scenario of MLPerf Inference is measured with max_throughput (Offline) or "
        "poisson (Server, Interactive); a curve of concurrencies is MLPerf Endpoints' own"
    )


def build_endpoints(runs: dict[Scenario, Path], order: Order, *, measurements: Path) -> Built:
    """Build the tree. ``measurements``: YAML on the weights, written with blanks where it is not there.

    Raises ``Refused`` with what our check finds in the runs, ``UserError`` while a YAML has blanks.
    """
    check_order(DATACENTER, order)
    fields = _system(order)
    described = _measurements(measurements)
    order.tree.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{order.tree.name}-", dir=order.tree.parent))
    try:
        staged = scratch / order.division / order.submitter
        for scenario, run in runs.items():
            _scenario(
                run, staged / "results" / order.system_id / DATACENTER.name / scenario.directory, order, described
            )
        _write(staged / "systems" / f"{order.system_id}.json", json.dumps(fields, indent=2) + "\n")
        _write(staged / "documentation" / CALIBRATION, _calibration(order, described))
        copy_sources(staged / "src" / DATACENTER.name / "mlperf-llama")
        if reasons := list(_refusals(scratch, rehearsal=order.rehearsal)):
            raise Refused(reasons)
        built = Built(order.tree / order.division / order.submitter)
        built.files = sum(path.is_file() for path in staged.rglob("*"))
        move(DATACENTER, order, staged)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return built


def _refusals(tree: Path, *, rehearsal: bool) -> Iterator[str]:
    """What our check finds in the client's files; the rest of the tree may still be completed by hand."""
    for finding in check_submission(tree):
        if finding.severity is Severity.ERROR and finding.rule.startswith(OURS) and not rehearsal:
            yield f"{finding.path}: {finding.message}"


def _scenario(run: Path, target: Path, order: Order, described: dict[str, str]) -> None:
    for name in FILES:
        if not (run / name).is_file():
            raise UserError(f"{run / name} is missing: run the client with --mode both")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / name, target / name)
    config = target / "config.yaml"
    config.write_text(scrub.Scrubber(local_identity()).scrub(config.read_text(encoding="utf-8")), encoding="utf-8")
    _write(target / "measurements.json", json.dumps(described, indent=2) + "\n")
    summary = read_mapping(target / "performance" / "result_summary.json") or {}
    text = README.format(
        mark=f"> {REHEARSAL}\n\n" if order.rehearsal else "",
        benchmark=DATACENTER.name,
        scenario=target.name,
        system_id=order.system_id,
        version=summary.get("version"),
        commit=summary.get("git_sha"),
    )
    _write(target / "README.md", text)


def _system(order: Order) -> dict[str, str]:
    if not order.system_yaml.exists():
        described = draft(machine=collect(), engine=Engine(), nodes=1, accelerators=None)
        described["framework"] = described["framework"] or f"{BLANK}: the server's engine and its version"
        scrubber = scrub.Scrubber(local_identity())
        write_yaml(order.system_yaml, {k: scrubber.scrub(v) for k, v in described.items()}, system_id=order.system_id)
        raise UserError(f"wrote {order.system_yaml}: fill in its blanks, then run the same command again")
    given = read_yaml(order.system_yaml)
    fields = finish(given, submitter=order.submitter, division=order.division, system_type=DATACENTER.benchmark.value)
    if order.rehearsal:
        fields["sw_notes"] = f"{REHEARSAL}. {fields['sw_notes']}".strip()
    return fields


def _measurements(path: Path) -> dict[str, str]:
    """The five fields of measurements.json. Raises ``UserError`` while one is blank or missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(MEASUREMENTS, sort_keys=False, width=110))
        raise UserError(f"wrote {path}: say what the weights are, then run the same command again")
    found: dict[str, Any] = read_mapping(path) or {}
    fields = {name: str(found.get(name) or "") for name in MEASUREMENT_FIELDS}
    if open_ones := [name for name, text in fields.items() if not text or BLANK in text]:
        raise UserError(f"{path} is not complete: fill in {', '.join(open_ones)}")
    return fields


def _calibration(order: Order, described: dict[str, str]) -> str:
    """The document with this system's section; those of others stay."""
    existing = order.tree / order.division / order.submitter / "documentation" / CALIBRATION
    parts = calibration.read_sections(existing.read_text(encoding="utf-8") if existing.is_file() else "")
    title = f"{order.system_id}: {DATACENTER.name}"
    parts[title] = SECTION.format(
        title=title,
        formats=described["weight_data_types"],
        transformations=described["weight_transformations"],
        notes=order.notes.strip(),
    )
    return calibration.document(parts)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
