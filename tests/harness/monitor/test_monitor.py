"""The monitor writes what it saw, also when it is killed, and serves it to Prometheus."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.monitor import Monitor, NodeSample, sample_node
from harness.monitor.exporter import Exporter
from harness.monitor.store import MetricsWriter
from harness.rundir.energy import series
from harness.rundir.metrics import read_metrics
from harness.rundir.record import RunRecord
from mlperf_llama_base.errors import EnvironmentFault
from tests.harness.fake_run import write_run
from tests.helpers.results import build_result
from tests.helpers.waiting import until

STATUS = {
    "time": 1000.0,
    "phase": "running",
    "issued": 50,
    "completed": 40,
    "tokens_per_s": 12.5,
    "ttft_p99_ms": None,
    "workers": [{"id": 3, "node": "n", "gpu": "g", "state": "running", "outstanding": 7, "tokens": 99}],
}


def test_samples_machine_run_and_workers(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps(STATUS))
    other: NodeSample = {"node": "far", "t_s": 1.0, "metrics": {"gpu0": {"power_w": 300.0}}}
    with Monitor(tmp_path, interval_s=0.01, node="here", probes=[lambda: other, lambda: None]):
        until(lambda: (tmp_path / "metrics.arrows").exists())
    table = pq.read_table(tmp_path / "metrics.parquet")
    assert table.schema.names == ["t_s", "node", "source", "name", "value"]
    rows = {(r["node"], r["source"], r["name"]): r["value"] for r in table.to_pylist()}
    assert rows["n", "worker3", "outstanding"] == 7  # where it runs, not where the run is
    assert rows["here", "run", "completed"] == 40
    assert ("here", "run", "ttft_p99_ms") not in rows
    assert rows["far", "gpu0", "power_w"] == 300
    assert 0 < rows["here", "mem", "used_bytes"] < rows["here", "mem", "total_bytes"]
    assert 0 <= rows["here", "cpu", "utilisation_pct"] <= rows["here", "cpu", "busiest_core_pct"] <= 100
    assert not (tmp_path / "metrics.arrows").exists()


def test_works_without_a_status_file_and_stops_twice(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, interval_s=60).start()
    monitor.stop()
    monitor.stop()
    table = read_metrics(tmp_path)
    assert table is not None and {"cpu", "mem", "net"} <= set(table["source"].to_pylist())


def test_a_killed_run_leaves_its_metrics(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; import harness.monitor.monitor as m; m.FLUSH_EVERY_S = 0.0\n"
        "m.Monitor(Path(sys.argv[1]), interval_s=0.01, node='n').start(); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    stream = tmp_path / "metrics.arrows"
    try:
        until(lambda: stream.exists() and stream.stat().st_size > 10_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "metrics.parquet").exists()
    table = read_metrics(tmp_path)
    assert table is not None
    assert len(series(table)["n", "mem", "used_bytes"][0]) > 1
    stream.write_bytes(stream.read_bytes()[:-7])  # cut in the middle of a batch
    cut = read_metrics(tmp_path)
    assert cut is not None and 0 < len(cut) < len(table)
    stream.write_bytes(b"")  # killed before anything was written
    empty = read_metrics(tmp_path)
    assert empty is not None and len(empty) == 0 and series(empty) == {}


def test_several_writers_are_read_together(tmp_path: Path) -> None:
    for stem, node in (("metrics", "a"), ("metrics-b", "b")):
        writer = MetricsWriter(tmp_path, facts={node: {"gpu0": {"name": "X"}}}, stem=stem)
        writer.add({"node": node, "t_s": 5.0, "metrics": {"gpu0": {"power_w": 1.0}}})
        writer.close()
    table = read_metrics(tmp_path)
    assert table is not None
    assert sorted(series(table)) == [("a", "gpu0", "power_w"), ("b", "gpu0", "power_w")]
    assert sorted(json.loads(table.schema.metadata[b"facts"])) == ["a", "b"]
    assert read_metrics(tmp_path / "nowhere") is None


def test_energy_over_the_test_window_only(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for second in range(101):  # 400 W counted by the first, 100 W measured on the second; the test is 10 s to 60 s
        writer.add(
            {
                "node": "n",
                "t_s": 1000.0 + second,
                "metrics": {"gpu0": {"energy_j": 7e6 + 400.0 * second, "power_w": 1.0}, "gpu1": {"power_w": 100.0}},
            }
        )
    writer.close()
    (tmp_path / "session.json").write_text(
        json.dumps(
            {
                "test_started": "1970-01-01T00:16:50+00:00",
                "test_ended": "1970-01-01T00:17:40+00:00",
                "tokens": {"output_total": 50_000},
                "samples": {"completed": 400},
            }
        )
    )
    found = RunRecord(tmp_path).energy
    assert found is not None
    assert found.per_gpu == pytest.approx({"n/gpu0": 20_000, "n/gpu1": 5_000})
    assert (found.total_j, found.seconds, found.mean_w) == pytest.approx((25_000, 50, 500))
    assert (found.output_tokens_per_joule, found.joules_per_sample) == pytest.approx((2.0, 62.5))


def test_no_energy_without_a_gpu(tmp_path: Path) -> None:
    assert RunRecord(tmp_path).energy is None
    Monitor(
        tmp_path, interval_s=60, local=False, probes=[lambda: {"node": "n", "t_s": 1.0, "metrics": {}}]
    ).start().stop()
    assert RunRecord(tmp_path).energy is None


def test_a_taken_port_says_what_to_do() -> None:
    exporter = Exporter("127.0.0.1", 0, run="r")
    try:
        with pytest.raises(EnvironmentFault, match="metrics-port"):
            Exporter("127.0.0.1", exporter.port, run="r")
    finally:
        exporter.close()


def test_an_endpoint_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "harness.monitor.exporter")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(EnvironmentFault, match="prometheus_client: pip install"):
        Monitor(tmp_path, metrics_port=9999).start()


def test_sample_node_travels_as_plain_data() -> None:
    sample = sample_node("n7")
    assert json.loads(json.dumps(sample)) == sample
    assert sample["node"] == "n7"


def test_energy_of_a_run_whose_times_are_lost_is_that_of_the_whole_record(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, samples=60)
    (run_dir / "session.json").unlink()
    assert build_result(run_dir)["energy"]["seconds"] > 0


def test_energy_reaches_the_result(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, samples=600)
    built = build_result(run_dir)["energy"]
    assert built["per_gpu"].keys() == {"node0/gpu0", "node0/gpu1"}
    assert built["mean_w"] == pytest.approx(2 * 640)
    assert built["output_tokens_per_joule"] == pytest.approx(
        json.loads((run_dir / "session.json").read_text())["tokens"]["output_total"] / built["total_j"]
    )
