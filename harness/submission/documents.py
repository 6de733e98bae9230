"""The texts that go with a result: how to repeat a run, and the bandwidth that a datacenter system must have."""

from __future__ import annotations

from harness.config import Mode
from harness.submission.runs import ScenarioRuns, SystemRuns

INPUT_BYTES = 2048 * 4  # inference_rules.adoc, Datacenter Bandwidth Requirements: max_seq_len x dtype_size (int32)
README = """\
# {benchmark} {scenario} on {system_id}

{summary}

## Repeat the run

The code is in `src/{benchmark}/mlperf-llama`, the complete configuration of each run in
`src/{benchmark}/configs/{system_id}`.

```
pip install ./src/{benchmark}/mlperf-llama
{commands}
```

MODEL is your copy of {weights};
DATASET is MLCommons' CNN/DailyMail file with {samples:,} samples (`mlperf-llama data prepare`).

## Versions

{versions}
"""
BANDWIDTH = """\
# Bandwidth

Required by mlcommons/inference_policies inference_rules.adoc, Datacenter Bandwidth Requirements: throughput
(samples/s) x 2,048 tokens x 4 bytes for ingress, more than 0 for egress.

| system | scenario | samples/s | ingress needed | network of the system |
|---|---|---|---|---|
"""


def readme(runs: ScenarioRuns, *, benchmark: str, system_id: str, weights: str, samples: int) -> str:
    """README.md of a scenario: figures, command lines, versions."""
    performance = runs.runs[Mode.PERFORMANCE].result
    figures = [("samples/s", performance.samples_per_second), ("tokens/s", performance.tokens_per_second)]
    for name, latency in (("TTFT", performance.ttft_ms), ("TPOT", performance.tpot_ms)):
        figures.append((f"{name} p99 (ms)", latency.p99 if latency else None))
    summary = "| figure | value |\n|---|---|\n"
    summary += "\n".join(f"| {name} | {value:.6g} |" for name, value in figures if value is not None)
    commands = "\n".join(
        f"mlperf-llama run --profile src/{benchmark}/configs/{system_id}/{runs.scenario}-{mode}.yaml \\\n"
        f"    --user-conf results/{system_id}/{benchmark}/{runs.scenario.directory}/user.conf \\\n"
        f"    --model MODEL --dataset DATASET --output runs/{runs.scenario}/{mode}"
        for mode in runs.runs
    )
    versions = "\n".join(f"- {name}: {version}" for name, version in performance.versions.items())
    return README.format(
        benchmark=benchmark,
        scenario=runs.scenario.directory,
        system_id=system_id,
        summary=summary,
        commands=commands,
        weights=weights,
        samples=samples,
        versions=versions,
    )


Rows = dict[tuple[str, str], str]
"""Lines of the bandwidth table by system and scenario."""


def bandwidth_rows(system: SystemRuns, *, system_id: str, networking: str) -> Rows:
    """One row of the bandwidth table for each scenario."""
    rows = {}
    for runs in system.scenarios.values():
        rate, scenario = runs.runs[Mode.PERFORMANCE].result.samples_per_second or 0.0, runs.scenario.directory
        need = f"{rate * INPUT_BYTES / 1e6:.3f} MB/s"
        rows[system_id, scenario] = f"| {system_id} | {scenario} | {rate:.2f} | {need} | {networking} |"
    return rows


def read_bandwidth(text: str) -> Rows:
    """The rows of an earlier document, so that another system's stay. Its first line is the table's head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    return {(row[1], row[2]): line for row, line in zip(cells, lines, strict=True) if len(row) > 3}


def bandwidth(rows: Rows) -> str:
    """documentation/bandwidth.md."""
    return BANDWIDTH + "\n".join(sorted(rows.values())) + "\n"
