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

from harness.config import Benchmark, Scenario
from harness.preflight.base import Check, Context, Finding, combine, fail
from harness.preflight.software import version_of
from harness.rounds import ROUND

OLDEST = ".".join(map(str, ROUND.min_loadgen))

COMMON: dict[str, int | float | bool] = {
    **{key.removeprefix("effective_"): value for key, value in ROUND.seeds.items()},
    "min_duration_ms": ROUND.min_duration_ms,
    "max_duration_ms": 0,
    "max_query_count": 0,
    "sample_concatenate_permutation": True,
    "use_token_latencies": True,
    "accuracy_log_probability": 0.0,
    "performance_issue_unique": False,
    "performance_issue_same": False,
}


def _published() -> dict[tuple[str, str], dict[str, int | float | bool]]:
    """(model, LoadGen's scenario) -> TestSettings beyond ``COMMON`` (mlcommons/inference, loadgen/mlperf.conf)."""
    found: dict[tuple[str, str], dict[str, int | float | bool]] = {}
    for benchmark in Benchmark:
        for scenario in benchmark.scenarios:
            fields: dict[str, int | float | bool] = {"performance_sample_count_override": benchmark.sample_count}
            if scenario is Scenario.OFFLINE:
                fields["min_query_count"] = benchmark.sample_count
            elif scenario is Scenario.SINGLESTREAM:
                fields["single_stream_target_latency_percentile"] = ROUND.percentiles["SingleStream"]
                fields["single_stream_expected_latency_ns"] = 10_000_000
            else:
                limits = ROUND.limits_ns[scenario]
                fields |= {"min_query_count": ROUND.min_queries, "server_target_latency_ns": 0}
                fields |= {"ttft_latency": limits.ttft, "tpot_latency": limits.tpot}
                fields["server_target_latency_percentile"] = ROUND.percentiles["Server"]
            found[benchmark.model_name(scenario), scenario.loadgen_name] = fields
    return found


PUBLISHED = _published()

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
                f"LoadGen {version} is older than {OLDEST}, the first one that round {ROUND.version} accepts",
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
