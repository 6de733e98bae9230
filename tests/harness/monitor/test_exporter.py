"""A run's counters, histograms and gauges as a Prometheus server reads them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.monitor import families
from harness.monitor.exporter import Exporter
from harness.rundir.status import Histogram, Status, WorkerStatus
from harness.session.tally import Tally
from sut.policies import Sample
from sut.record import SampleRecord
from tests.helpers.command import settings, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.scrape import Page, scrape
from tests.helpers.waiting import until


def record_of(times: list[tuple[int, int, int, int]], worker: int = 0) -> SampleRecord:
    """``times``: issue, first token (0: none), completion in ms, output tokens."""
    record = SampleRecord()
    for number, (issue, first, complete, made) in enumerate(times):
        sample = Sample(number, number, 100, 10**6 * issue)
        sample.worker, sample.first_ns = worker, 10**6 * first
        record.add([sample], [bytes(4 * made)], 10**6 * complete)
    return record


def test_histograms_hold_every_sample_once() -> None:
    record, tally = record_of([(1, 101, 601, 6), (1, 3, 4, 1)]), Tally()
    tally.take(record)
    tally.take(record)
    late = Sample(9, 9, 50, 10**6)
    late.worker = 0
    record.add([late], [bytes(8)], 10**6 + 400 * 10**9)  # beyond the last bucket, and without a first token
    tally.take(record)
    found = tally.workers[0]
    assert found.prompt_tokens == 250
    assert found.latency.sum_s == pytest.approx(0.6 + 0.003 + 400)
    assert (sum(found.latency.counts), found.latency.counts[-1]) == (3, 1)
    assert sum(found.ttft.counts) == 2 and found.ttft.sum_s == pytest.approx(0.102)
    assert found.ttft.counts[families.TTFT.buckets.index(0.1)] == 1  # a bucket holds its bound
    assert sum(found.tpot.counts) == 1 and found.tpot.sum_s == pytest.approx(0.1)


def test_a_scrape_has_types_labels_and_whole_histograms() -> None:
    counts = np.zeros(len(families.LATENCY.buckets) + 1, dtype=int)
    counts[[0, 3, -1]] = 5, 2, 1
    worker = WorkerStatus(id=7, node="n", state="ready", samples=8, tokens=99, outstanding=4, running=3, waiting=1)
    worker.latency = Histogram(counts=counts.tolist(), sum_s=33.0)
    status = Status(scenario="server", issued=20, completed=8, expected=40, ttft_limit_ms=2000, workers=[worker])
    exporter = Exporter("127.0.0.1", 0, run="try-1")
    try:
        assert not scrape(exporter.port).samples  # before there is a run
        exporter.show_status(status)
        exporter.show({"node": "n", "t_s": 1.0, "metrics": {"gpu0": {"power_w": 5.0, "energy_j": 7.0}}})
        exporter.show({"node": "n", "t_s": 2.0, "metrics": {"gpu0": {"power_w": 6.0, "energy_j": 13.0}}})
        page = scrape(exporter.port)
    finally:
        exporter.close()
    of_run = {"run": "try-1", "scenario": "server"}
    of_worker = of_run | {"worker": "7"}
    assert page.types["mlperf_llama_generation_tokens"] == page.types["mlperf_llama_gpu_energy_j"] == "counter"
    assert page.types["mlperf_llama_request_latency_seconds"] == "histogram"
    assert page.total("mlperf_llama_generation_tokens_total", **of_worker) == 99
    assert page.total("mlperf_llama_samples_total", **of_worker, outcome="whole") == 8
    assert page.total("mlperf_llama_queued", **of_run) == 20 - 8 - 4
    assert page.total("mlperf_llama_time_to_first_token_limit_seconds", **of_run) == 2
    latency = "mlperf_llama_request_latency_seconds"
    assert page.total(f"{latency}_bucket", **of_worker, le="+Inf") == page.total(f"{latency}_count", **of_worker) == 8
    assert page.total(f"{latency}_bucket", **of_worker, le="0.25") == 7  # cumulative
    assert page.total(f"{latency}_sum", **of_worker) == 33
    assert page.total("mlperf_llama_gpu_power_w", run="try-1", node="n", source="gpu0") == 6
    assert page.total("mlperf_llama_gpu_energy_j_total") == 13


def test_a_run_is_scraped_while_it_measures(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.json", rows(16))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    short = settings(
        "loadgen.min_duration_ms=0",
        "loadgen.min_query_count=60",
        "engine.args.step_ms=20",
        "engine.args.output_tokens=50",
    )
    options = ["--scenario", "server", "--target-qps", "10", "--engine", "null", "--dataset", str(data), *short]
    pages: list[Page] = []
    name = "mlperf_llama_generation_tokens_total"

    def look(done: Any) -> bool:
        try:
            pages.append(scrape(port))
        except OSError:
            return False
        return bool(done(pages[-1]))

    ask: tuple[str | Path, ...] = (
        "run",
        "--output",
        tmp_path / "scraped",
        "--workers",
        "2",
        "--metrics-port",
        str(port),
        *options,
    )
    with started(*ask) as running:
        until(lambda: look(lambda page: page.total(name) > 0), 60)
        until(lambda: look(lambda page: page.total("mlperf_llama_time_per_output_token_seconds_count") >= 20), 60)
        assert running.wait().code in (0, 1)  # so short a test has no verdict
    totals = [page.total(name) for page in pages]
    assert totals == sorted(totals)
    samples = {labels for own, labels in pages[-1].samples if own == name}
    assert samples == {frozenset({("run", "scraped"), ("scenario", "server"), ("worker", w)}) for w in "01"}
    answered = pages[-1].total("mlperf_llama_request_latency_seconds_count")
    assert pages[-1].total("mlperf_llama_prompt_tokens_total") > answered > 0
    state = json.loads((tmp_path / "scraped" / "status.json").read_text())
    assert state["tokens"] == sum(worker["tokens"] for worker in state["workers"])
