"""Are all nodes alike? One node with another driver, wheel or copy of the model spoils a run of the whole cluster.

Works on the saved form of the reports, so that they can come from anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.preflight.base import Finding, combine, fail, passed, warn
from harness.rundir.preflight import PreflightRecord

DIGEST = re.compile("[0-9a-f]{64}")
SHOWN = 12  # of a digest
CLOCK_WARN_S, CLOCK_FAIL_S = 0.05, 1.0

# path in facts -> (what it is, must it be equal)
COMPARED: dict[str, tuple[str, bool]] = {
    "python": ("Python", False),
    "loadgen": ("LoadGen", True),
    "packages": ("packages", True),
    "torch_cuda": ("torch's CUDA", True),
    "model.fingerprint": ("model files", True),
    "model.revision": ("model revision", False),
    "dataset.sha256": ("data set", True),
    "gpu.driver": ("GPU driver", False),
    "gpu.cuda": ("CUDA of the driver", False),
    "gpu.names": ("GPU type", False),
    "gpu.count": ("GPU count", False),
}


def compare_nodes(reports: Mapping[str, PreflightRecord]) -> list[Finding]:
    """Compare the reports (node name -> report) and name who differs from the majority.

    One finding for each node whose own pre-flight failed, one for each fact, one for the clocks.
    ``facts.clock.offset_s`` is the node's own estimate; a caller that has measured the offset to its own clock puts
    that there instead (seconds).
    """
    findings = []
    for node, report in reports.items():
        if report.status == "fail":
            failed = [str(f.check) for f in report.findings if f.status == "fail"]
            findings.append(
                _named(
                    fail(
                        f"{node} failed its own pre-flight: {', '.join(failed)}",
                        f"run mlperf-llama preflight on {node}",
                    ),
                    f"node {node}",
                )
            )
    for path, (title, strict) in COMPARED.items():
        values = {node: _get(report.facts, path) for node, report in reports.items()}
        if path == "packages":
            findings.append(_named(_packages(values), "nodes: packages"))
        else:
            findings.append(_named(_equal(values, title, strict), f"nodes: {title}"))
    findings.append(_named(_clocks(reports), "nodes: clocks"))
    return findings


def _named(finding: Finding, check: str) -> Finding:
    return replace(finding, check=check)


def _get(tree: Mapping[str, Any], path: str) -> Any:
    node: Any = tree
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _show(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(f"{n} x {name}" for name, n in Counter(value).items()) or "none"
    text = "none" if value is None else str(value)
    return f"{text[:SHOWN]}…" if DIGEST.fullmatch(text) else text


def _equal(values: Mapping[str, Any], title: str, strict: bool) -> Finding:
    shown = {node: _show(value) for node, value in values.items()}
    usual, count = Counter(shown.values()).most_common(1)[0]
    if count == len(shown):
        return passed(f"{title} equal: {usual}")
    others = "; ".join(f"{node} has {value}" for node, value in shown.items() if value != usual)
    found = f"{others}; the other {count} node(s) have {usual}"
    if strict:
        return fail(found, "make them equal: the same input must give the same output on every node")
    return warn(found, "allowed, but say so in the system description")


def _packages(values: Mapping[str, Any]) -> Finding:
    names = sorted({name for packages in values.values() for name in packages or {}})
    findings = [
        replace(one, found=f"{name}: {one.found}")
        for name in names
        if (one := _equal({n: (has or {}).get(name) for n, has in values.items()}, name, strict=True)).status != "pass"
    ]
    return combine(findings, f"{len(names)} packages equal")


def _clocks(reports: Mapping[str, PreflightRecord]) -> Finding:
    offsets = {node: _get(report.facts, "clock.offset_s") for node, report in reports.items()}
    unknown = [node for node, offset in offsets.items() if offset is None]
    known = {node: float(offset) for node, offset in offsets.items() if offset is not None}
    findings = []
    if known:
        middle = sorted(known.values())[len(known) // 2]
        far = {node: offset - middle for node, offset in known.items() if abs(offset - middle) > CLOCK_WARN_S}
        if far:
            text = "; ".join(f"{node} is {offset:+.3f} s off the others" for node, offset in far.items())
            report = fail if max(map(abs, far.values())) > CLOCK_FAIL_S else warn
            findings.append(report(text, "synchronise the clocks (chrony) before a coordinated start"))
    if unknown:
        advice = "start chrony or systemd-timesyncd there"
        findings.append(warn(f"clock offset unknown on {', '.join(unknown)}", advice))
    spread = max(known.values()) - min(known.values()) if known else 0.0
    return combine(findings, f"{spread * 1e3:.1f} ms apart at most")
