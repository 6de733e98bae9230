"""``mlperf-llama benchmark endpoints`` from its options to the checked tree."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.endpoints import limits, official, workspace
from harness.endpoints.check import Severity, TreeFinding, check_tree
from harness.endpoints.client import Client, find_client, require
from harness.endpoints.client_config import Target
from harness.endpoints.cohorts import next_cohort, seeds_of
from harness.endpoints.description import Owner, read_owner
from harness.endpoints.draft import draft, rehearsed, write_draft
from harness.endpoints.plan import Offline, assumed_rates, make_plan
from harness.endpoints.runner import SERVER_LOG, WORK, Curve
from harness.endpoints.server import Endpoint, Served
from harness.endpoints.tree import Order, build
from harness.inventory.machine import Machine
from harness.inventory.model import HUB_ID
from harness.inventory.system import collect
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import PlannedPoint
from harness.rundir.lock import locked
from mlperf_llama_base.errors import RunError, UserError

ASSUMED_C_MAX = 512  # streams of a card, where nothing was measured
TREE, SYSTEM, SERVER = "submission", "system.yaml", "serve"
START_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command was given. ``serve``: arguments of the server; ``url``: one that runs already, in its place.

    ``tokenizer``: as the client takes it. ``dataset``: None only in a rehearsal. ``say``: for lines that people read.
    """

    output: Path
    tokenizer: str
    dataset: Path | None
    serve: Sequence[str] = ()
    url: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    api_key_env: str | None = None
    client: Path | None = None
    checker: Path | None = None
    system: Path | None = None
    cohort: str | None = None
    model: str = HUB_ID
    c_max: int | None = None
    c_min: int = ENDPOINTS.low
    offline: Offline = Offline.ELECTED
    spares: int = 1
    workers: int | None = None
    chunk_ms: float = 0.0
    stream_all: bool = False
    no_hub: bool = False
    rehearsal: bool = False
    say: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, kw_only=True)
class Built:
    """The tree, what our own check found in it, and the official checker's verdict (None: it is not installed)."""

    tree: Path
    findings: list[TreeFinding]
    verdict: official.Verdict | None

    @property
    def good(self) -> bool:
        own = any(finding.severity is Severity.ERROR for finding in self.findings)
        return not own and (self.verdict is None or self.verdict.passed)


class Benchmark:
    """One call of the command."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.cohort = options.cohort or next_cohort(datetime.date.today())
        self.seeds = seeds_of(self.cohort)
        self.machine: Machine = collect()

    @property
    def cards(self) -> int:
        found = len(self.machine.gpu.devices) if self.machine.gpu else 0
        return self.options.workers or found or 1

    def preview(self) -> Curve:
        """The plan with the hours it takes, from what an earlier command measured or, said so, from assumptions."""
        curve = self._curve(Client(executable=Path()), rows=ENDPOINTS.samples)
        if self.options.output.is_dir():
            curve.load()
        c_max = self.options.c_max or curve.record.c_max or ASSUMED_C_MAX * self.cards
        if not curve.record.rates:
            self.options.say(
                f"nothing is measured yet: C_max {c_max:,} and the rates are those of {self.cards} x H100, assumed"
                if self.options.c_max is None
                else f"nothing is measured yet: the rates are those of {self.cards} x H100, assumed"
            )
            for concurrency, rate in assumed_rates(c_max, cards=self.cards).items():
                curve.record.note_rate(concurrency, rate)
        curve.record.plan = self._plan(c_max)
        return curve

    def _plan(self, c_max: int) -> list[PlannedPoint]:
        o = self.options
        return make_plan(c_max=c_max, c_min=o.c_min, offline=o.offline, spares=o.spares, short=o.rehearsal)

    def prepare(self) -> Curve:
        """Check all that can be checked before anything is measured. Raises what is wrong."""
        options = self.options
        if options.dataset is None and not options.rehearsal:
            raise UserError("--dataset is missing: CNN/DailyMail as mlperf-llama data prepare makes it, or its parquet")
        official.find_checker(options.checker)
        client = find_client(options.client)
        self._judge_client(client)
        if options.c_max:
            self._plan(options.c_max)
        most = max(options.c_max or 0, ENDPOINTS.samples if options.offline is Offline.DEDICATED else 0, 64)
        limits.raise_open_files(most)
        limits.check_ports(most)
        for remark in limits.remarks(most):
            options.say(remark)
        if options.url is None:
            limits.check_port_is_free(options.host, options.port)
        self.owner()
        options.output.mkdir(parents=True, exist_ok=True)
        rows = self._data()
        return self._curve(client, rows=rows)

    def _judge_client(self, client: Client) -> None:
        """In a rehearsal another client will do, and what is wrong with it is said."""
        if not self.options.rehearsal:
            require(client, accuracy=True)
        for fault in client.faults():
            self.options.say(f"the client's results could not be submitted: {fault}")

    def _data(self) -> int:
        folder = self.options.output / WORK
        if self.options.no_hub:
            workspace.write_scorer(folder)
        if self.options.dataset is not None:
            return workspace.prepare(folder, self.options.dataset, any_count=self.options.rehearsal)
        from harness.endpoints.rehearsal import rehearsal_rows

        if not (folder / workspace.CACHE).is_file():
            workspace.write_rows(folder, rehearsal_rows(self.options.tokenizer))
        return ENDPOINTS.samples

    def _curve(self, client: Client, *, rows: int) -> Curve:
        o = self.options
        endpoint = Endpoint(o.url) if o.url else self._served()
        key = f"${{{o.api_key_env}}}" if o.api_key_env else None
        folder = (o.output / WORK).resolve()
        env = {"NLTK_DATA": str(folder / "nltk_data"), "HF_HUB_OFFLINE": "1"} if o.no_hub else {}
        return Curve(
            directory=o.output.resolve(),
            client=client,
            endpoint=endpoint,
            target=Target(url=endpoint.url, tokenizer=o.tokenizer, model=o.model, api_key=key),
            seeds=self.seeds,
            rows=rows,
            rehearsal=o.rehearsal,
            stream_all=o.stream_all,
            env=env,
            say=o.say,
        )

    def _served(self) -> Served:
        o = self.options
        key = ["--api-key-env", o.api_key_env] if o.api_key_env else []
        place = o.output.resolve()
        own = ["--served-model-name", o.model, "--output", str(place / SERVER), "--overwrite", *key]
        return Served([*o.serve, *own], host=o.host, port=o.port, log=place / SERVER_LOG, wait_s=START_S)

    @contextmanager
    def measuring(self, curve: Curve) -> Iterator[Curve]:
        """Hold the directory, and end the server that was started, whatever happens."""
        with locked(curve.directory):
            curve.load()
            try:
                yield curve
            finally:
                curve.endpoint.stop()

    def plan(self, curve: Curve) -> None:
        """Probe what is not known yet, and note the plan."""
        record, c_max = curve.record, self.options.c_max
        record.rehearsal, record.cohort, record.client_commit = self.options.rehearsal, self.cohort, curve.client.commit
        if c_max is None:
            record.c_max = record.c_max or curve.find_c_max()
            c_max = record.c_max
        limits.raise_open_files(c_max)
        record.plan = self._plan(c_max)
        curve.probe([self.options.c_min, c_max])
        curve.save()
        if not self.options.rehearsal:
            limits.check_room(curve.directory, max(curve.samples(point) for point in record.plan))

    def owner(self) -> Owner | None:
        """The system's description; None while the YAML has not been filled in, which is written where it is not there.

        Raises ``UserError`` for one that is filled in and wrong.
        """
        path = self.system_yaml
        if path.is_file():
            try:
                return read_owner(path)
            except UserError as error:
                if "is not complete" not in str(error):
                    raise
                self.options.say(f"{error}: the points can be measured meanwhile")
                return None
        if self.options.rehearsal:
            return rehearsed(self.machine, workers=self.options.workers)
        write_draft(path, draft(self.machine, workers=self.options.workers, serving="mlperf-llama serve"))
        self.options.say(f"wrote {path}: fill in its blanks while the points are measured")
        return None

    @property
    def system_yaml(self) -> Path:
        return self.options.system or self.options.output / SYSTEM

    def build(self, curve: Curve) -> Built:
        """The tree, judged twice. Raises ``UserError`` while the description has blanks."""
        owner = (
            rehearsed(self.machine, workers=self.options.workers) if self._no_yaml() else read_owner(self.system_yaml)
        )
        if bad := [name for name, found in curve.record.points.items() if found.problems]:
            raise RunError(f"{', '.join(bad)} does not count, so no tree is built: the same command runs it again")
        curve.record.power_kw = owner.power.kilowatts if owner.power else None
        for found in curve.record.points.values():
            if found.figures and curve.record.power_kw:
                found.figures.tps_per_kw = found.figures.system_tps / curve.record.power_kw
        tree = build(self._order(curve, owner))
        checker = official.find_checker(self.options.checker)
        verdict = official.check(checker, tree) if checker else None
        curve.record.tree, curve.record.checker = (
            str(tree.relative_to(curve.directory)),
            str(verdict) if verdict else None,
        )
        curve.save()
        return Built(tree=tree, findings=check_tree(tree), verdict=verdict)

    def _no_yaml(self) -> bool:
        return self.options.rehearsal and not self.system_yaml.is_file()

    def _order(self, curve: Curve, owner: Owner) -> Order:
        client = f"mlcommons/endpoints {curve.client.commit}"
        software = {name: str(version) for name, version in self.machine.software.items() if version}
        gpu = self.machine.gpu
        known = {"operating system": self.machine.os and self.machine.os.name, "driver": gpu and gpu.driver}
        versions = {"client": client, "mlperf-llama": str(self.machine.git_revision)} | software
        return Order(
            tree=curve.directory / TREE,
            owner=owner,
            record=curve.record,
            reports={point.name: curve.report(point) for point in curve.record.plan},
            seeds=self.seeds,
            stream_all=self.options.stream_all,
            serve=self._serve_line(),
            versions=versions | {name: str(value) for name, value in known.items() if value},
            chunk_ms=self.options.chunk_ms,
            rehearsal=self.options.rehearsal,
        )

    def _serve_line(self) -> str:
        return "mlperf-llama serve " + " ".join(self.options.serve) if not self.options.url else "# the server that ran"
