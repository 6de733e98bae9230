"""A client's environment with the stand-in in a git checkout, a server that is healthy, and trees of points."""

from __future__ import annotations

import dataclasses
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.endpoints import client, tree
from harness.endpoints.check import Point
from harness.endpoints.client_config import Target, point_config
from harness.endpoints.description import Owner, read_owner
from harness.endpoints.plan import Offline, make_plan
from harness.endpoints.tree import Order, build
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import CurveRecord, PointRecord
from tests.harness.endpoints import owner_yaml
from tests.harness.endpoints.stand_in import scores, summary

STAND_IN = Path(__file__).with_name("stand_in.py")
SEEDS = ENDPOINTS.seed_sets[0]


def make_client(folder: Path) -> Path:
    """An environment whose ``bin`` has inference-endpoint and python, installed from a git checkout beside it."""
    checkout, binaries = folder / "endpoints", folder / "env" / "bin"
    package = checkout / "src" / "inference_endpoint"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "client"]):
        subprocess.run([*git, *arguments], check=True)
    binaries.mkdir(parents=True)
    path = f'PYTHONPATH="{checkout}/src:{STAND_IN.parents[3]}"'
    (binaries / "python").write_text(f'#!/bin/sh\n{path} exec {sys.executable} "$@"\n')
    run = f'[ "$1" = validate-yaml ] || {path} exec {sys.executable} {STAND_IN} "$@"'
    (binaries / "inference-endpoint").write_text(f"#!/bin/sh\n{run}\n")
    for name in ("python", "inference-endpoint"):
        (binaries / name).chmod(0o755)
    return folder / "env"


@pytest.fixture(scope="session")
def client_env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_client(tmp_path_factory.mktemp("client"))


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    path = tmp_path / "articles.jsonl"
    rows = ({"article": f"Article {number}.", "highlights": f"Summary {number}."} for number in range(20))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    return folder


def lay_tree(folder: Path, offline: Offline, owner: Owner) -> Path:
    """A complete submission as this project builds it, of points that the stand-in measured; figures are made up."""
    plan = make_plan(c_max=4096, c_min=1, offline=offline, spares=2)
    record = CurveRecord(plan=plan, cohort="2026-12-C0", client_commit=ENDPOINTS.client_commit)
    reports = {}
    for point in plan:
        report = reports[point.name] = folder / "runs" / point.name
        target = Target(url="http://127.0.0.1:8000", tokenizer="tokenizer")
        config = point_config(
            point, samples=9 * ENDPOINTS.samples, target=target, seeds=SEEDS, report_dir=Path("report")
        )
        (report / "performance").mkdir(parents=True)
        config.write(report / "config.yaml")
        rate = 60 * min(point.concurrency, 1000) / (60 + min(point.concurrency, 1000))
        found = summary(_plain(report), seconds=1500.0, sha=ENDPOINTS.client_commit[:7])
        found["output_sequence_lengths"]["total"] = int(rate * 128 * 1500)
        (report / "performance" / "result_summary.json").write_text(json.dumps(found))
        if point.accuracy:
            (report / "accuracy").mkdir()
            (report / "accuracy" / "accuracy_results.json").write_text(json.dumps(scores(ENDPOINTS.samples)))
        judged = Point(report).summary
        assert judged is not None
        record.points[point.name] = PointRecord(inputs="", seconds=1.0, samples=1, figures=judged.figures())
    order = Order(
        tree=folder / "tree",
        owner=owner,
        record=record,
        reports=reports,
        seeds=SEEDS,
        stream_all=False,
        serve="mlperf-llama serve",
        versions={"client": "x"},
    )
    return build(order)


def _plain(report: Path) -> dict[str, object]:
    import yaml

    value = yaml.safe_load((report / "config.yaml").read_text())
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    path = tmp_path_factory.mktemp("owner") / "system.yaml"
    owner_yaml.write(path)
    return read_owner(path)


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory, owner: Owner) -> dict[Offline, Path]:
    """A good tree of each form of Offline. Never changed: tests take copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "copy_sources", lambda target: target.mkdir(parents=True))  # another test's subject
        return {form: lay_tree(tmp_path_factory.mktemp(form), form, owner) for form in Offline}


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch, client_env: Path) -> None:
    """The stand-in's commit is the one that is wanted."""
    commit = subprocess.run(
        ["git", "-C", str(client_env.parent / "endpoints"), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    monkeypatch.setattr(client, "ENDPOINTS", dataclasses.replace(ENDPOINTS, client_commit=commit))
    monkeypatch.setattr(client, "EXTRAS", ())
