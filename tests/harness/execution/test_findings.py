"""Each rule finds its situation in a run that is healthy but for it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from harness.execution.assemble import concluded
from harness.execution.findings import findings
from harness.rundir.execution import Cause, ExecutionRecord, NodeProbe, PartRun, Unfinished
from harness.rundir.execution_results import Finding
from harness.rundir.scaling import Rate
from harness.rundir.session import LostWorker
from tests.harness.execution.made_up import SAMPLES, first_report, healthy, request_time

Spoil = Callable[[ExecutionRecord], None]


def test_a_healthy_run_has_no_finding() -> None:
    record = concluded(healthy())
    assert record.findings == [] and record.recommendations == []
    assert "coordinated: all 26,736 samples were answered on 2 node(s)." in record.achievements
    assert record.conclusion.startswith("3 of 3 benchmarks ended with a valid result")
    assert "99.3 % ± 0.7" in record.conclusion


def a_part_failed(record: ExecutionRecord) -> None:
    part = record.parts[0]
    part.status, part.exit_code, part.duration_s = "failed", 3, 0.3
    part.cause = Cause(first_error="no space left on device", node="node-b", log="datacenter/node-b/session.log")


def a_part_is_not_valid(record: ExecutionRecord) -> None:
    record.parts[1].status, record.parts[1].analysis = "not valid", "LoadGen says INVALID"


def a_node_died(record: ExecutionRecord) -> None:
    node = record.results[0].nodes[1]
    node.samples_completed, node.samples_lost = 10026, 3342
    node.problem = "it broke 512.3 s after the start, with 10,026 of 13,368 samples done: the node does not answer"
    record.results[0].samples_lost = 3342


def a_node_never_came(record: ExecutionRecord) -> None:
    record.results[0].nodes_active = 1
    record.results[0].nodes[1].samples_completed, record.results[0].nodes[1].problem = 0, "it never started"


def a_node_has_another_model(record: ExecutionRecord) -> None:
    for node, digest in zip(record.results[0].nodes, ("0123456789abcdef", "fedcba9876543210"), strict=True):
        node.model = digest


def a_worker_was_lost(record: ExecutionRecord) -> None:
    record.results[1].nodes[0].lost_workers = [
        LostWorker(worker=3, reason="no heartbeat for 15 s", samples_returned=40)
    ]


def a_worker_was_lost_in_another_run(record: ExecutionRecord) -> None:
    lost = LostWorker(worker=3, reason="no heartbeat for 15 s", node="node-b", samples_returned=40, time_s=7.0)
    record.parts[0].runs = [
        PartRun(name="offline/accuracy", directory="datacenter/offline/accuracy", lost_workers=[lost])
    ]


def answers_are_empty(record: ExecutionRecord) -> None:
    quality = record.results[0].quality
    assert quality is not None
    quality.empty = 12


def a_node_does_not_answer(record: ExecutionRecord) -> None:
    record.infrastructure.probes[1] = NodeProbe(node="node-b", reachable=False, reason="no answer within 60 s")


def both_are_one_machine(record: ExecutionRecord) -> None:
    for node in record.environment.nodes:
        node.machine, node.cpus, node.gpus = "one", [0, 1], []


def drivers_differ(record: ExecutionRecord) -> None:
    record.environment.nodes[1].gpu_driver = "570.2"


def a_clock_is_off(record: ExecutionRecord) -> None:
    record.infrastructure.probes[1].clock_offset_ms = 240.0


def the_way_is_slow(record: ExecutionRecord) -> None:
    record.infrastructure.links[0].bandwidth_mb_s = 11.0


def efficiency_is_low(record: ExecutionRecord) -> None:
    assert record.scaling is not None
    record.scaling.points[0].efficiency = 0.69


def efficiency_is_too_high(record: ExecutionRecord) -> None:
    assert record.scaling is not None
    record.scaling.points[0].efficiency, record.scaling.points[0].efficiency_ci95 = 1.025, 0.03


def the_baseline_is_noisy(record: ExecutionRecord) -> None:
    assert record.scaling is not None
    record.scaling.baselines[0].tokens_per_second = Rate(value=7050.0, ci95=700.0)


def samples_are_uneven(record: ExecutionRecord) -> None:
    record.results[1].nodes[0].samples_completed = record.results[1].nodes[0].samples_asked = 8000


def a_node_is_slower(record: ExecutionRecord) -> None:
    record.results[0].nodes[1].tokens_per_second = Rate(value=3500.0, ci95=30.0)


def a_nodes_requests_take_longer(record: ExecutionRecord) -> None:
    record.results[0].nodes[1].request_s = request_time(11.0)


def gpu_memory_is_idle(record: ExecutionRecord) -> None:
    record.results[0].nodes[0].use.gpu_memory_used_bytes = 17e9


def gpus_are_idle(record: ExecutionRecord) -> None:
    record.results[0].nodes[0].use.gpu_pct = 41.0


def processors_are_full(record: ExecutionRecord) -> None:
    record.results[0].nodes[0].use.cpu_pct = 97.0


def loadgen_is_full(record: ExecutionRecord) -> None:
    record.results[1].loadgen[0].cpu_share = 0.98


def gpus_are_throttled(record: ExecutionRecord) -> None:
    record.results[0].nodes[1].use.throttled = {"hardware thermal slowdown": 0.3}


def the_network_takes_time(record: ExecutionRecord) -> None:
    record.infrastructure.links[0].rtt_ms = 1.5
    record.results[1].nodes[1].request_s = request_time(0.01, half=None)
    record.results[1].nodes[0].request_s = request_time(0.0101, half=None)


def the_test_is_short(record: ExecutionRecord) -> None:
    record.results[0].seconds = 9.0


def they_start_apart(record: ExecutionRecord) -> None:
    record.results[0].start_spread_ms = 9000.0


def answers_are_cut(record: ExecutionRecord) -> None:
    quality = record.results[0].quality
    assert quality is not None
    quality.at_limit = quality.responses
    record.environment.max_new_tokens = 32


@pytest.mark.parametrize(
    ("spoil", "rule", "says"),
    [
        (a_part_failed, "no-result", "before any test began. Its first error on node-b: no space left on device"),
        (a_part_is_not_valid, "not-valid", "does not count: LoadGen says INVALID"),
        (a_node_died, "lost-samples", "3,342 (25 %, 12 % of all 26,736) are missing. It broke 512.3 s after the start"),
        (a_node_never_came, "missing-nodes", "1 of 2 nodes answered samples. node-b: it never started"),
        (a_node_has_another_model, "other-model", "node-a and node-b have different files where the model lies"),
        (a_worker_was_lost, "lost-worker", "worker 3 on node-a was lost: no heartbeat for 15 s; 40 of its samples"),
        (
            a_worker_was_lost_in_another_run,
            "lost-worker",
            "worker 3 on node-b was lost in offline/accuracy: no heartbeat",
        ),
        (answers_are_empty, "bad-responses", "12 of 26,736 responses are empty"),
        (a_node_does_not_answer, "node-unfit", "node-b could not be reached: no answer within 60 s"),
        (both_are_one_machine, "shared-processors", "node-a and node-b are one machine and share its 2 processor(s)"),
        (drivers_differ, "unlike-nodes", "node-b has 570.2"),
        (a_clock_is_off, "clocks-apart", "The clock of node-b is 240 ms ahead (measured to 0.1 ms)"),
        (the_way_is_slow, "slow-link", "from node-a to node-b is slow: it carries 11 MB/s"),
        (
            efficiency_is_low,
            "low-efficiency",
            "reach 69.0 % ± 0.7 of what they do alone; no figure of this run shows why",
        ),
        (efficiency_is_too_high, "over-100-percent", "102.5 % ± 3.0 is noise in the baseline"),
        (the_baseline_is_noisy, "noisy-baseline", "known to ± 9.9 %"),
        (samples_are_uneven, "uneven-samples", "a worker of node-b did 13,368, one of node-a 8,000"),
        (a_node_is_slower, "throughput-spread", "node-b generates 3,500 tokens/s a worker, node-a 7,000"),
        (a_nodes_requests_take_longer, "latency-spread", "node-b takes 11 s a request, node-a 8"),
        (gpu_memory_is_idle, "idle-gpu-memory", "17.0 of 85.0 GB of its GPU memory (20 %): the batch could be larger"),
        (gpus_are_idle, "idle-gpus", "busy 41 % of the test"),
        (processors_are_full, "processors-full", "97 % busy: they may starve the GPUs"),
        (loadgen_is_full, "loadgen-saturated", "used 0.98 cores all the time"),
        (gpus_are_throttled, "throttled", "hardware thermal slowdown 30 %"),
        (the_network_takes_time, "network-in-latency", "the way there and back is 1.5 ms (15 %)"),
        (the_test_is_short, "short-test", "took 9.0 s with 26,736 samples"),
        (they_start_apart, "late-start", "began 9,000 ms apart"),
        (answers_are_cut, "cut-off", "26,736 of 26,736 responses were cut off at 32 tokens"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_situation_has_its_finding(spoil: Spoil, rule: str, says: str) -> None:
    record = healthy()
    spoil(record)
    (found,) = findings(record)
    assert found.rule == rule and says in found.text
    assert found.figures and found.advice


def only(record: ExecutionRecord, rule: str) -> Finding:
    (found,) = [finding for finding in findings(record) if finding.rule == rule]
    return found


def test_a_baseline_of_the_slower_node_is_named_as_the_cause() -> None:
    record = healthy()
    efficiency_is_too_high(record)
    assert "slower" not in only(record, "over-100-percent").text
    a_node_is_slower(record)
    assert "the baseline may have been measured on it" in only(record, "over-100-percent").text


@pytest.mark.parametrize(
    ("spoil", "cause", "word"),
    [
        (both_are_one_machine, "shared-processors", "share processors"),
        (gpus_are_throttled, "throttled", "heat or power"),
        (a_node_died, "lost-samples", "samples were lost"),
        (processors_are_full, "processors-full", "the processors were full"),
    ],
)
def test_a_low_efficiency_names_the_most_likely_cause(spoil: Spoil, cause: str, word: str) -> None:
    record = healthy()
    efficiency_is_low(record)
    spoil(record)
    found = only(record, "low-efficiency")
    assert found.figures["likely_cause"] == cause and word in found.text


def test_what_scatter_explains_is_no_finding() -> None:
    record = healthy()
    record.results[0].nodes[1].tokens_per_second = Rate(value=6300.0, ci95=900.0)
    assert findings(record) == []
    record.results[0].nodes[1].tokens_per_second = Rate(value=6300.0)  # and where it is not known, 10 % is none either
    assert findings(record) == []
    record.results[0].nodes[1].tokens_per_second = Rate(value=5200.0)
    assert only(record, "throughput-spread").severity == "note"
    record.results[0].nodes[1].tokens_per_second = Rate(value=3500.0)  # half the speed: no scatter is that wide
    found = only(record, "throughput-spread")
    assert found.severity == "warning" and "Compare node-b with node-a" in found.advice


def test_responses_as_long_as_the_benchmark_allows_are_no_finding() -> None:
    record = healthy()
    answers_are_cut(record)
    record.environment.max_new_tokens = 128
    assert findings(record) == []


def test_a_benchmark_that_is_only_too_short_wants_more_samples() -> None:
    record = healthy()
    record.parts[0].status = "not valid"
    reason = "LoadGen says INVALID: early stopping"
    record.parts[0].runs = [
        PartRun(name="server", directory="d", valid=False, state="too short for a verdict", invalid_reasons=[reason])
    ]
    found = only(record, "not-valid")
    assert found.severity == "warning" and "too short for a verdict" in found.text and "459" in found.advice
    record.parts[0].runs.append(PartRun(name="offline", directory="e", valid=False, state="not valid"))
    assert only(record, "not-valid").severity == "critical"


def test_an_efficiency_is_told_of_the_benchmark_that_it_is_of() -> None:
    record = healthy()
    assert record.scaling is not None
    for name, efficiency in (("distributed", 0.6), ("coordinated", 1.3)):
        point = msgspec.structs.replace(record.scaling.points[0], name=name, efficiency=efficiency)
        record.scaling.points.append(point)
    assert only(record, "low-efficiency").part == "distributed"
    assert only(record, "over-100-percent").part == "coordinated"


@pytest.mark.parametrize(
    ("half", "said"), [(None, "its interval is not known"), (0.5, "within its noise"), (0.1, "worse conditions")]
)
def test_the_conclusion_on_more_than_100_percent_claims_no_interval_that_is_not_known(
    half: float | None, said: str
) -> None:
    record = healthy()
    assert record.scaling is not None
    record.scaling.points[-1].efficiency, record.scaling.points[-1].efficiency_ci95 = 1.28, half
    assert said in concluded(record).conclusion


def test_nodes_with_different_models_leave_no_figure_that_counts() -> None:
    record = healthy()
    a_node_has_another_model(record)
    record = concluded(record)
    assert "But no figure counts: coordinated: node-a and node-b have different files" in record.conclusion
    assert "nor did they in the distributed benchmark" in record.conclusion
    assert not any(record.counts(one) for one in record.results)
    assert not any("tokens/s" in one for one in record.achievements)


def test_one_worker_says_nothing_of_scaling() -> None:
    record = healthy()
    assert record.scaling is not None
    record.scaling.points[-1].workers = 1
    assert concluded(record).conclusion.endswith("Nothing is known of scaling.")


def test_a_test_of_seconds_achieves_no_speed() -> None:
    record = healthy()
    the_test_is_short(record)
    achieved = concluded(record).achievements
    short = only(record, "short-test").part
    assert [line for line in achieved if "tokens/s" in line]
    assert not [line for line in achieved if "tokens/s" in line and line.startswith(f"{short}:")]


def test_fewer_samples_for_each_worker_of_a_short_test_explain_a_low_efficiency() -> None:
    record = healthy()
    efficiency_is_low(record)
    record.results[0].samples_completed = SAMPLES
    assert only(record, "low-efficiency").figures["likely_cause"] is None  # batches are full in a long one
    record.results[0].seconds = 20.0
    assert only(record, "low-efficiency").figures["likely_cause"] == "smaller-batches"


def test_what_was_interrupted_is_no_fault_of_a_node() -> None:
    record = healthy()
    a_node_never_came(record)
    (part,) = [part for part in record.parts if part.name == record.results[0].part]
    part.status, part.exit_code = "interrupted", None
    assert "missing-nodes" not in {finding.rule for finding in findings(record)}
    assert "same command again" in only(record, "no-result").advice


def test_what_the_user_ended_is_told_with_its_samples_and_is_no_failure() -> None:
    record = healthy()
    (part,) = [part for part in record.parts if part.name == record.results[0].part]
    part.status, part.exit_code, part.interrupted = "interrupted", None, "2026-11-26T18:00:00+00:00"
    part.unfinished = [
        Unfinished(name=name, state="running", samples_completed=3, samples_expected=10) for name in ("a", "b")
    ]
    part.analysis = "Interrupted at 18:00:00 UTC: a: 3 of 10 samples done; b: 3 of 10 samples done."
    found = only(record, "no-result")
    assert found.severity == "warning" and "has no result: interrupted at 18:00:00 UTC" in found.text
    assert (found.figures["samples_completed"], found.figures["samples_expected"]) == (6, 20)


def test_several_loadgens_on_one_machine_share_its_processors() -> None:
    record = healthy()
    del record.environment.nodes[1]
    assert findings(record) == []  # a GPU each
    for result in record.results:
        result.gpus = 0
    assert "share" in only(record, "shared-processors").text
    efficiency_is_low(record)
    assert only(record, "low-efficiency").figures["likely_cause"] == "shared-processors"


@pytest.mark.parametrize(
    ("engine", "says"), [("transformers", "the engine computes on them"), ("null", "null computes nothing")]
)
def test_full_processors_are_the_engine_s_only_where_it_computes(engine: str, says: str) -> None:
    record = healthy()
    processors_are_full(record)
    record.environment.engine = engine
    for one in record.results:
        for node in one.nodes:
            node.gpus = 0
    assert says in only(record, "processors-full").text


def test_containers_with_processors_of_their_own_share_nothing() -> None:
    record = healthy()
    both_are_one_machine(record)
    record.environment.nodes[1].cpus = [2, 3]
    assert findings(record) == []


def test_the_first_report_yields_its_real_problems() -> None:
    """5 of 20 samples missing, all of one node; 102.5 % is noise; two benchmarks without any result."""
    record = concluded(first_report())
    lost = only(record, "lost-samples")
    assert (lost.severity, lost.node) == ("critical", "node-b")
    assert lost.figures["samples_lost"] == 5 and lost.figures["lost_share_of_all"] == 0.25
    assert "5 of the 10 samples" in lost.text and "25 % of all 20" in lost.text and "No cause was recorded" in lost.text
    noise = only(record, "over-100-percent")
    assert "102.5 % is noise in the baseline" in noise.text and "no interval is known" in noise.text
    without = [finding for finding in record.findings if finding.rule == "no-result"]
    assert [finding.part for finding in without] == ["datacenter", "distributed"]
    assert "failed after 0.3 s with exit code 1, before any test began" in without[0].text
    assert "timeout" in without[1].text
    assert record.achievements == []  # nothing of it may be quoted
    assert "lost 5 samples, so that its figures do not count" in record.conclusion
    assert {one.topic for one in record.recommendations} == {"correctness", "measurement"}
