"""Build the v6.1 tree from a campaign's runs, or say why it cannot be built.

Everything is laid out in a scratch directory beside the tree, searched for private data, and only then moved into it.
Layout: mlcommons/policies submission_rules.adoc, directory structure (Inference); mlcommons/inference tools/submission.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import asdict

from harness.config import Mode
from harness.inventory.machine import Machine
from harness.inventory.system import collect, git_revision
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.test06 import verify, write_test06
from harness.rundir import names
from harness.rundir.session import Engine
from harness.submission import calibration, documents, scrub
from harness.submission.accuracy_truncation import truncate
from harness.submission.identities import Identity, local_identity
from harness.submission.measurements import measurements, starting_weights
from harness.submission.rules import Rules
from harness.submission.runs import Run, ScenarioRuns, SystemRuns, refusals, remarks
from harness.submission.sources import copy_sources
from harness.submission.system_description import REHEARSAL, draft, finish, read_yaml, write_yaml
from mlperf_llama_base.errors import UserError

LOGS = (SUMMARY, DETAIL, ACCURACY)
CALIBRATION, BANDWIDTH = "calibration.md", "bandwidth.md"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to build. ``tree``: its root; ``backup``: for the complete accuracy logs; ``notes``: on calibration data."""

    tree: Path
    backup: Path
    submitter: str
    division: str
    system_id: str
    system_yaml: Path
    notes: str = ""
    allow_invalid: bool = False
    rehearsal: bool = False
    overwrite: bool = False

    @property
    def closed(self) -> bool:
        return self.division != "open"


@dataclass
class Built:
    """What was built: ``directory`` of the submitter, ``files`` in it, what was ``scrubbed`` (path: the finds).

    ``notes``: what a reviewer would ask about.
    """

    directory: Path
    files: int = 0
    notes: list[str] = field(default_factory=list)
    scrubbed: dict[str, list[scrub.Find]] = field(default_factory=dict)


class Refused(UserError):
    """These runs make no submission; ``reasons`` has them all."""

    def __init__(self, reasons: list[str]) -> None:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        super().__init__(f"no submission can be built from these runs: {reasons[0]}{more}")
        self.reasons = reasons


def build_tree(system: SystemRuns, order: Order) -> Built:
    """Build the tree. Raises ``Refused`` with every reason, ``UserError`` for an incomplete system description or for
    private data in a LoadGen log."""
    check_order(system.rules, order)
    reasons = refusals(system, closed=order.closed, allow_invalid=order.allow_invalid, rehearsal=order.rehearsal)
    if reasons:
        raise Refused(reasons)
    fields = system_fields(system, order)
    order.tree.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{order.tree.name}-", dir=order.tree.parent))
    try:
        staged = scratch / order.division / order.submitter
        _lay_out(system, order, staged, fields)
        built = Built(order.tree / order.division / order.submitter)
        built.scrubbed = _scrub(staged, system)
        built.notes = [*_other_code(system), *remarks(system)]
        built.files = sum(path.is_file() for path in staged.rglob("*"))
        move(system.rules, order, staged)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return built


def check_order(rules: Rules, order: Order) -> None:
    """Raises ``UserError`` for names that are no directories, and for what would be published or overwritten."""
    for what, name in (("submitter", order.submitter), ("system id", order.system_id)):
        if not name or name.startswith(".") or any(c.isspace() or c in "/\\" for c in name):
            raise UserError(f"{what} {name!r} becomes a directory: no spaces, slashes or leading dots")
    if order.allow_invalid and order.closed:
        raise UserError(f"--allow-invalid is for the open division; {order.division} takes valid runs only")
    if order.backup.resolve().is_relative_to(order.tree.resolve()):
        raise UserError(f"the backup {order.backup} would lie in the tree and be published: choose another directory")
    taken = _results(order) / rules.name
    if taken.exists() and not order.overwrite:
        raise UserError(f"{taken} already exists: add --overwrite to replace it, or choose another --system-id")


def _results(order: Order) -> Path:
    return order.tree / order.division / order.submitter / "results" / order.system_id


def system_fields(system: SystemRuns, order: Order) -> dict[str, str]:
    """The system description; writes the YAML and raises ``UserError`` while blanks are left."""
    run = system.all[0]
    if not order.system_yaml.exists():
        described = draft(
            machine=_machine(run),
            engine=run.result.engine or Engine(),
            nodes=max(1, len(run.nodes)),
            accelerators=_accelerators(run),
        )
        scrubber = scrub.Scrubber(local_identity().also(hosts=run.nodes))
        write_yaml(order.system_yaml, {k: scrubber.scrub(v) for k, v in described.items()}, system_id=order.system_id)
        raise UserError(f"wrote {order.system_yaml}: fill in its blanks, then run the same command again")
    fields = finish(
        read_yaml(order.system_yaml),
        submitter=order.submitter,
        division=order.division,
        system_type=system.benchmark.value,
    )
    if order.rehearsal:
        fields["sw_notes"] = f"{REHEARSAL}. {fields['sw_notes']}".strip()
    return fields


def _machine(run: Run) -> Machine:
    """The machine as the run recorded it; this one if it recorded none."""
    hardware, versions = run.result.hardware, run.result.versions
    if hardware is None or hardware.cpu is None:
        return collect()
    software = {k: v for k, v in versions.items() if k not in ("git_revision", "loadgen") and " " not in k}
    return Machine(**asdict(hardware), software=software, git_revision=versions.get("git_revision"))


def _accelerators(run: Run) -> int | None:
    """GPUs per node that did the work; 0 if the workers had none, None if the run did not record it."""
    workers = run.result.workers
    if not workers:
        return None
    used = sum(len(worker.gpus or []) or int(bool(worker.gpu)) for worker in workers)
    return used // max(1, len(run.nodes))


def _lay_out(system: SystemRuns, order: Order, staged: Path, fields: dict[str, str]) -> None:
    name = system.rules.name
    for runs in system.scenarios.values():
        _scenario(system, runs, order, staged / "results" / order.system_id / name / runs.scenario.directory)
        for mode, run in runs.runs.items():
            configs = staged / "src" / name / "configs" / order.system_id
            _write(configs / f"{runs.scenario}-{mode}.yaml", yaml.safe_dump(public_config(run.config), sort_keys=False))
    copy_sources(staged / "src" / name / "mlperf-llama")
    _write(staged / "systems" / f"{order.system_id}.json", json.dumps(fields, indent=2) + "\n")
    _documents(system, order, staged, fields)


def public_config(config: dict[str, Any]) -> dict[str, Any]:
    """config.yaml without the paths of this machine: what is a path there becomes its last part."""
    public = copy.deepcopy(config)
    public["output"] = ""
    for part, key in (("model", "path"), ("model", "tokenizer"), ("dataset", "path"), ("loadgen", "user_conf")):
        if value := (public.get(part) or {}).get(key):
            public[part][key] = Path(value).name if Path(value).is_absolute() else value
    return public


def _scenario(system: SystemRuns, runs: ScenarioRuns, order: Order, target: Path) -> None:
    performance, accuracy = runs.runs[Mode.PERFORMANCE], runs.runs[Mode.ACCURACY]
    for run, directory, wanted in (
        (performance, target / "performance" / "run_1", (SUMMARY, DETAIL)),
        (accuracy, target / "accuracy", (SUMMARY, DETAIL, ACCURACY, names.ACCURACY_TEXT)),
    ):
        directory.mkdir(parents=True)
        for name in wanted:
            if not (run.path / name).is_file():
                raise UserError(f"{run.path / name} is missing: run this scenario again")
            shutil.copyfile(run.path / name, directory / name)
    relative = _results(order).relative_to(order.tree) / system.rules.name / runs.scenario.directory
    truncate(target / "accuracy", backup=order.backup / relative / "accuracy" / ACCURACY)
    shutil.copyfile(performance.path / names.USER_CONF, target / "user.conf")
    described = measurements(performance)
    _write(target / "measurements.json", json.dumps(described, indent=2) + "\n")
    text = documents.readme(
        runs,
        benchmark=system.rules.name,
        system_id=order.system_id,
        weights=starting_weights(performance.result.model),
        samples=system.rules.samples,
    )
    _write(target / "README.md", (f"> {REHEARSAL}\n\n" if order.rehearsal else "") + text)
    if compliance := runs.runs.get(Mode.COMPLIANCE):
        eos = compliance.result.engine.eos_token_ids if compliance.result.engine else None
        result = verify(compliance.path, eos) if eos else verify(compliance.path)
        write_test06(compliance.path, target, result)


def _documents(system: SystemRuns, order: Order, staged: Path, fields: dict[str, str]) -> None:
    """Written anew, with the parts of other systems and benchmarks that the tree holds already."""
    existing = order.tree / order.division / order.submitter / "documentation"
    title = f"{order.system_id}: {system.rules.name}"
    parts = calibration.read_sections(_text_of(existing / CALIBRATION))
    parts[title] = calibration.section(title, system.all, notes=order.notes)
    _write(staged / "documentation" / CALIBRATION, calibration.document(parts))
    rows = documents.read_bandwidth(_text_of(existing / BANDWIDTH))
    rows |= documents.bandwidth_rows(system, system_id=order.system_id, networking=fields["host_networking"])
    _write(staged / "documentation" / BANDWIDTH, documents.bandwidth(rows))


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _other_code(system: SystemRuns) -> Iterator[str]:
    """src/ gets the code installed now; say so where the runs were made with other code."""
    here = git_revision()
    for revision in sorted({str(run.result.versions.get("git_revision")) for run in system.all}):
        if revision != here or revision.endswith("-dirty"):
            yield f"runs were made with the code at {revision}, src/ holds that at {here}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _scrub(staged: Path, system: SystemRuns) -> dict[str, list[scrub.Find]]:
    """Remove private data from every text but LoadGen's logs, where it stops the build. Returns the finds by file."""
    nodes = {node for run in system.all for node in run.nodes}
    everywhere = scrub.Scrubber(local_identity().also(hosts=sorted(nodes)))
    patterns = scrub.Scrubber(Identity())  # a host called "worker" must not be taken out of the code
    found: dict[str, list[scrub.Find]] = {}
    for path in _texts(staged):
        relative = path.relative_to(staged)
        is_code = relative.parts[0] == "src" and "mlperf-llama" in relative.parts
        scrubber = patterns if is_code else everywhere
        text = path.read_text(encoding="utf-8", errors="replace")
        finds = list(scrubber.finds(text))
        if not finds:
            continue
        if path.name in LOGS:
            raise UserError(
                f"{relative}, line {finds[0].line}: private data ({finds[0].kind}); LoadGen's logs must not be edited: "
                "remove its cause and run again"
            )
        path.write_text(scrubber.scrub(text), encoding="utf-8")
        found[relative.as_posix()] = finds
    return found


def _texts(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != ACCURACY and scrub.text_of_file(path) is not None:
            yield path


def move(rules: Rules, order: Order, staged: Path) -> None:
    """Put what was built in its place in the tree."""
    target = order.tree / order.division / order.submitter
    results = _results(order) / rules.name
    if results.exists():
        shutil.rmtree(results)
    shutil.copytree(staged, target, dirs_exist_ok=True)
