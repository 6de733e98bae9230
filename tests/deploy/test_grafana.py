"""The dashboard asks for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness.monitor.exporter import Exporter
from harness.monitor.gpu import _READERS as GPU_READINGS
from harness.monitor.node import sample_node
from harness.rundir.status import Status, WorkerStatus
from harness.serve.metrics import Metrics
from harness.session.tally import WorkerTally
from sut.messages import EngineSettings, WorkerSpec
from sut.served import ServedSample
from sut.supervisor import WorkerView
from tests.helpers.scrape import Page, scrape

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "mlperf-llama.json").read_text())
ASKED = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]
NAME = re.compile(r"\bmlperf_llama_\w+")
SELECTOR = re.compile(r"(mlperf_llama_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"by \(([^)]*)\)")


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Names and labels of all that a run and a server expose, scraped."""
    found = of_a_run().labels()
    for name, labels in of_a_server().labels().items():
        found[name] = found.get(name, labels) & labels
    return found


def of_a_run() -> Page:
    times = WorkerTally()
    worker = WorkerStatus(
        id=0, state="ready", samples=1, tokens=1, prompt_tokens=1, running=1, waiting=1, restarts=0, rss_bytes=1
    )
    worker.ttft, worker.tpot, worker.latency = times.ttft, times.tpot, times.latency
    status = Status(scenario="server", expected=1, ttft_limit_ms=1, tpot_limit_ms=1, workers=[worker])
    exporter = Exporter("127.0.0.1", 0, run="r")
    try:
        sample = sample_node("n")
        sample["metrics"]["gpu0"] = dict.fromkeys(GPU_READINGS, 1.0)
        exporter.show(sample)
        exporter.show_status(status)
        return scrape(exporter.port)
    finally:
        exporter.close()


def of_a_server() -> Page:
    view = WorkerView(WorkerSpec(id=0, endpoint="", engine=EngineSettings(name="null", model="")))
    hub: Any = SimpleNamespace(dispatcher=SimpleNamespace(queue=[], issued=0, retried=0), workers={0: view})
    metrics = Metrics(hub, lambda: 0, run="r")
    sample = ServedSample(0, 0, 1, 1)
    sample.answer, sample.done, sample.first_ns, sample.done_ns = bytearray(8), True, 2, 3
    metrics.ended(sample, stopped=False)
    metrics.responded("/v1/completions", 200)
    return Page(metrics.page().decode())


@pytest.mark.parametrize(("title", "expression", "legend"), ASKED)
def test_an_expression_finds_its_metrics(title: str, expression: str, legend: str, told: dict[str, set[str]]) -> None:
    selectors = SELECTOR.findall(expression)
    assert selectors, f"{title} asks for nothing of ours"
    for name, matchers in selectors:
        assert name in told, f"{title}: there is no {name}"
        used = set(re.findall(r"(\w+)=~?\"", matchers))
        used |= {label.strip() for by in GROUPED.findall(expression) for label in by.split(",")}
        assert used <= told[name], f"{title}: {name} has no {used - told[name]}"
    for label in re.findall(r"\{\{(\w+)\}\}", legend):
        assert all(label in told[name] for name, _ in selectors), f"{title}: no label {label} for the legend"
    assert expression.count("(") == expression.count(")")


def test_counters_are_asked_for_their_rate_only() -> None:
    shown = {"Done", "Given to another worker, and restarts"}  # totals of the whole test
    for title, expression, _ in ASKED:
        if "_total{" in expression and title not in shown:
            assert "rate(" in expression, title


def test_variables_and_sources_are_there(told: dict[str, set[str]]) -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "run", "scenario"}
    for name in ("run", "scenario"):
        [(metric, _)] = SELECTOR.findall(variables[name]["definition"])
        assert name in told[metric]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["mlperf-llama"]
