"""Is LoadGen the unmodified one of this round?

LoadGen's mlperf.conf is compiled into the wheel. What it really sets is read back in a process of its own (LoadGen
keeps state for each process) and compared with MLCommons' published file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

from packaging.version import Version

from harness.loadgen.rules import MIN_LOADGEN
from harness.preflight.base import Check, Context, Finding, combine, fail
from harness.preflight.software import version_of

OLDEST = ".".join(map(str, MIN_LOADGEN))

COMMON: dict[str, int | float | bool] = {
    "qsl_rng_seed": 2085463073848966840,
    "sample_index_rng_seed": 2747215439041700203,
    "schedule_rng_seed": 16159082839903944936,
    "min_duration_ms": 600_000,
    "max_duration_ms": 0,
    "max_query_count": 0,
    "sample_concatenate_permutation": True,
    "use_token_latencies": True,
    "accuracy_log_probability": 0.0,
    "performance_issue_unique": False,
    "performance_issue_same": False,
}
# mlcommons/inference, loadgen/mlperf.conf: (model, scenario) -> TestSettings beyond COMMON.
PUBLISHED: dict[tuple[str, str], dict[str, int | float | bool]] = {
    ("llama3_1-8b", "Offline"): {"performance_sample_count_override": 13368, "min_query_count": 13368},
    ("llama3_1-8b", "Server"): {
        "performance_sample_count_override": 13368,
        "min_query_count": 100,
        "ttft_latency": 2_000_000_000,
        "tpot_latency": 100_000_000,
        "server_target_latency_ns": 0,
        "server_target_latency_percentile": 0.99,
    },
    ("llama3_1-8b-interactive", "Server"): {
        "performance_sample_count_override": 13368,
        "min_query_count": 100,
        "ttft_latency": 500_000_000,
        "tpot_latency": 30_000_000,
        "server_target_latency_ns": 0,
        "server_target_latency_percentile": 0.99,
    },
    ("llama3_1-8b-edge", "SingleStream"): {
        "performance_sample_count_override": 5000,
        "single_stream_target_latency_percentile": 0.9,
        "single_stream_expected_latency_ns": 10_000_000,
    },
    ("llama3_1-8b-edge", "Offline"): {"performance_sample_count_override": 5000, "min_query_count": 5000},
}

PROBE = """
import json, sys
import mlperf_loadgen as lg
out = []
for model, scenario, fields in json.load(sys.stdin):
    settings = lg.TestSettings()
    rc = settings.FromConfig("", model, scenario, 0)
    out.append([rc, {f: getattr(settings, f, None) for f in fields}])
json.dump(out, sys.stdout)
"""


class LoadgenVersion(Check):
    name = "loadgen version"

    def run(self, context: Context) -> Finding:
        version = version_of("mlcommons-loadgen")
        if version is None:
            return fail("mlcommons-loadgen is not installed", f"pip install 'mlcommons-loadgen>={OLDEST}'")
        context.facts["loadgen"] = version
        if Version(version) < Version(OLDEST):
            return fail(
                f"LoadGen {version} is older than {OLDEST}, the first one that round v6.1 accepts",
                f"pip install 'mlcommons-loadgen>={OLDEST}'",
            )
        return combine([], f"LoadGen {version}")


class LoadgenEmbedded(Check):
    """Seeds, limits and counts that LoadGen really sets against the published ones."""

    name = "loadgen settings"

    def run(self, context: Context) -> Finding:
        queries = [(model, scenario, [*COMMON, *special]) for (model, scenario), special in PUBLISHED.items()]
        answer = subprocess.run(
            [sys.executable, "-c", PROBE],
            input=json.dumps(queries),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if answer.returncode:
            last = (answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"])[-1]
            return fail(f"LoadGen does not answer: {last}", "pip install --force-reinstall mlcommons-loadgen")
        return compare_answers(json.loads(answer.stdout))


def compare_answers(answers: Sequence[tuple[int, Mapping[str, int | float | bool | None]]]) -> Finding:
    """Compare the probe's answers (return code and settings, in the order of PUBLISHED) with the published values."""
    findings: list[Finding] = []
    for ((model, scenario), special), (rc, settings) in zip(PUBLISHED.items(), answers, strict=True):
        if rc:
            findings.append(fail(f"{model} {scenario}: FromConfig returned {rc}", "reinstall mlcommons-loadgen"))
        for name, published in {**COMMON, **special}.items():
            if settings.get(name) != published:
                findings.append(
                    fail(
                        f"{model} {scenario}: {name} is {settings.get(name)}, published is {published}",
                        "install the unmodified wheel: pip install --force-reinstall mlcommons-loadgen",
                    )
                )
    checked = sum(len(COMMON) + len(special) for special in PUBLISHED.values())
    return combine(findings, f"{checked} embedded settings equal the published mlperf.conf")
