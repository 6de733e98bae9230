"""The open division: what the rules free it from is no error, but for what the official checker refuses there, too; and
what we build for it our check accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.submission.build import Refused, build_tree
from harness.submission.check import Severity, check_submission
from harness.submission.runs import find_system
from harness.verdict.result import write_result
from tests.harness.submission.conftest import order
from tests.harness.submission.runs import agree, copy, edit_log
from tests.harness.submission.spoil import Spoiler

MS = 1_000_000
TTFT = "result_first_token_{}_latency_ns"
ERROR, WARNING = Severity.ERROR, Severity.WARNING
Spoil = Callable[[Spoiler], object]
# settings as LoadGen logs them where they were asked for: what took effect follows
NINETIETH = {"requested_server_target_latency_percentile": 0.9, "effective_target_latency_percentile": 0.9}
SHORT = {f"{name}_duration_ms": 60_000 for name in ("requested_min", "effective_min", "effective_target")}
FEWER = {
    **dict.fromkeys(("requested_offline_expected_qps", "effective_target_qps"), 7.5),
    **dict.fromkeys(("requested_min_query_count", "effective_samples_per_query"), 5000),
    "effective_min_sample_count": 5000,
    "generated_query_duration": 133_333_333,
}


def slow(ms: int) -> dict[str, Any]:
    """A p99 of the TTFT, and what must not be below it."""
    parts = ("99.00_percentile", "99.90_percentile", "max")
    found = {TTFT.format(part): ms * MS for part in parts}
    return found | {key.replace("first_token_", ""): value for key, value in found.items()}


CASES: dict[str, tuple[Spoil, dict[str, Severity], str]] = {  # what is done, our findings, the official verdict
    "INVALID for its latency": (
        lambda s: s.set({"result_validity": "INVALID", "result_perf_constraints_met": False}),
        {"validity.verdict": WARNING},
        "accepts",
    ),
    "another percentile": (
        lambda s: s.set(NINETIETH),
        {"validity.percentile": WARNING},
        "accepts",
    ),
    "Interactive slower than its limits, within Server's": (
        lambda s: s.set(slow(1500) | {"result_perf_constraints_met": False}, "Interactive"),
        {"performance.latency": WARNING, "validity.verdict": WARNING},
        "accepts",
    ),
    "slower than Server's limits": (
        lambda s: s.set(slow(2300) | {"result_perf_constraints_met": False}),
        {"performance.latency": WARNING, "validity.verdict": WARNING, "performance.open": ERROR},
        "refuses",
    ),
    "early stopping not met": (
        lambda s: s.set({"early_stopping_met": False}),
        {"performance.early-stopping": WARNING, "performance.open": ERROR},
        "refuses",
    ),
    "equal issue off": (
        lambda s: s.set(
            {f"{which}_sample_concatenate_permutation": False for which in ("requested", "effective")}, "Offline"
        ),
        {},
        "accepts",
    ),
    "Offline of 5,000 samples": (
        lambda s: s.set(FEWER, "Offline"),
        {},
        "accepts",
    ),
    "too short": (
        lambda s: s.set(SHORT),
        {"performance.min-duration": ERROR},
        "refuses",
    ),
    "model_mapping.json is no JSON": (
        lambda s: (s.submitter / "model_mapping.json").write_text("{"),
        {"structure.model-mapping": ERROR},
        "traceback",
    ),
    "a benchmark that nobody knows": (
        lambda s: (s.benchmark.parent / "mine" / "Offline").mkdir(parents=True),
        {"structure.benchmark-name": ERROR, "structure.other-benchmark": Severity.NOTE},
        "traceback",
    ),
    "is_network 'false'": (lambda s: s.describe({"is_network": "false"}), {"system.network": ERROR}, "refuses"),
}


def opened(root: Path) -> Path:
    """The tree under ``root``, its closed division told as open."""
    spoiler = Spoiler(root)
    for path in (spoiler.submitter / "systems").iterdir():
        spoiler.mapping(path, {"division": "open"})
    (root / "tree" / "closed").rename(root / "tree" / "open")
    return root / "tree"


@pytest.mark.parametrize("name", CASES)
def test_what_open_is_free_of_is_explained(name: str, spoilt: Path) -> None:
    spoil, wanted, official = CASES[name]
    spoil(Spoiler(spoilt))
    findings = {f.rule: f.severity for f in check_submission(opened(spoilt))}
    ours = {rule: weight for rule, weight in findings.items() if rule not in ("results.order", "user-conf.same")}
    assert ours == wanted
    assert official == "accepts" or ERROR in ours.values(), "the official checker refuses it"


@pytest.fixture
def server(datacenter: Path, tmp_path: Path) -> Path:
    """The two runs that an open result needs."""
    for mode in ("performance", "accuracy"):
        copy(datacenter / "server" / mode, tmp_path / "campaign" / "server" / mode)
    return tmp_path / "campaign"


def build_open(campaign: Path, directory: Path) -> list[str]:
    """Why nothing is built; else the errors that our check finds in it."""
    try:
        build_tree(find_system([campaign]), order(directory, division="open", allow_invalid=True))
    except Refused as error:
        return error.reasons
    return [f"built: {f.rule}" for f in check_submission(directory / "tree") if f.severity is ERROR]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"result_validity": "INVALID", "result_perf_constraints_met": False}, ""),
        ({"result_validity": "INVALID"} | NINETIETH, ""),
        (slow(2300), "for the official checker, although open has no limits"),
        ({"early_stopping_met": False, "result_validity": "INVALID"}, "the official checker asks for it"),
        ({"effective_schedule_rng_seed": 1, "requested_schedule_rng_seed": 1}, "seeds are not the benchmark's"),
        (SHORT, "min_duration was 60,000 ms"),
    ],
)
def test_what_is_built_for_open_is_accepted(
    changes: dict[str, Any], why: str, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.submission.build.copy_sources", lambda target: target.mkdir(parents=True))
    run = server / "server" / "performance"
    edit_log(run / "mlperf_log_detail.txt", changes)
    agree(run)
    write_result(run)
    found = build_open(server, tmp_path)
    assert not [text for text in found if text.startswith("built")] or not why
    assert any(why in text for text in found) if why else set(found) <= {"built: structure.src"}
