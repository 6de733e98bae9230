"""Pre-flight of a cluster: data, output and LoadGen on this machine, all that a worker needs on each of its nodes, and
what differs between them."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from harness.cluster.connect import connect, describe_nodes, worker_resources
from harness.config import RunConfig, Tree, build
from harness.preflight.base import Finding, Status, fail
from harness.preflight.nodes import compare_nodes
from harness.preflight.report import Report, now
from harness.rundir.preflight import PreflightRecord
from mlperf_llama_base.errors import EnvironmentFault

DATA = "data set"
# What only the machine with LoadGen has to have; a worker gets tokens and gives tokens.
HERE_ONLY = (
    "ports",
    "output directory",
    "disk space",
    "tokenizer",
    DATA,
    "prompts",
    "references",
    "user.conf",
    "target rate",
    "run length",
    "rules",
    "engine server",
)
EVERYWHERE = ("python", "packages", "loadgen version", "loadgen settings", "clock", "open files")
TIMEOUT_S = 180.0
log = logging.getLogger(__name__)


def cluster_preflight(config: RunConfig, *, smoke: bool = False, loadgen_everywhere: bool = False) -> Report:
    """The report of the whole cluster; findings of a node are named ``NODE: check``. Never raises for what it finds.

    ``loadgen_everywhere``: of a coordinated benchmark, whose LoadGens read the data set each on its node.
    """
    from harness.preflight.runner import default_checks, run_preflight

    begun = time.monotonic()
    names = [check.name for check in default_checks(smoke=smoke)]
    here = run_preflight(config, checks=[c for c in default_checks() if c.name in HERE_ONLY or c.name in EVERYWHERE])
    try:
        there = [name for name in names if name not in HERE_ONLY or (loadgen_everywhere and name == DATA)]
        reports, silent = _ask_nodes(config, there, smoke=smoke)
    except EnvironmentFault as error:
        findings = [*here.findings, replace(fail(str(error), "start the cluster first"), check="cluster")]
        return Report(findings=findings, facts=here.facts, seconds=time.monotonic() - begun, time=now())
    findings = list(here.findings)
    for node, report in reports.items():
        findings += [_named(node, Finding.of(f)) for f in report.findings if f.status != Status.PASS]
    for node, why in silent.items():
        findings.append(replace(fail(f"no pre-flight from {node}: {why}", "look at Ray's log there"), check=node))
    if reports:
        findings += compare_nodes(reports)
    facts = here.facts | {"nodes": {node: report.facts for node, report in reports.items()}}
    return Report(findings=findings, facts=facts, seconds=time.monotonic() - begun, time=now())


def _ask_nodes(
    config: RunConfig, names: list[str], *, smoke: bool
) -> tuple[dict[str, PreflightRecord], dict[str, str]]:
    """Reports and reasons for silence, by the nodes' names."""
    connect(config.cluster.address, bind=config.cluster.bind)
    from harness.cluster.node import actors, ask, clock_offsets, names_of
    from sut.workers.ray import worker_nodes

    need = worker_resources(config)
    nodes = worker_nodes(need)
    if not nodes:
        raise EnvironmentFault(f"no node has room for a worker with {need}: {describe_nodes()}")
    by_id = actors(nodes)
    called, _ = ask({i: actor.name.remote() for i, actor in by_id.items()}, TIMEOUT_S)
    shown = names_of(nodes, called)
    tree = config.model_dump(mode="json")
    tree["workers"]["count"] = None  # of the whole cluster; a node may have any share of them
    asked = {i: actor.call.remote(_node_report, tree, names, smoke) for i, actor in by_id.items()}
    reports, silent = ask(asked, TIMEOUT_S)
    for i, offset in clock_offsets({i: by_id[i] for i in reports}).items():
        reports[i].facts.setdefault("clock", {})["offset_s"] = offset
    return {shown[i]: r for i, r in reports.items()}, {shown[i]: why for i, why in silent.items()}


def _node_report(tree: Tree, names: list[str], smoke: bool) -> PreflightRecord:
    """On a node: the report of the checks called ``names`` for the configuration ``tree``."""
    from harness.preflight.runner import default_checks, run_preflight

    checks = [check for check in default_checks(smoke=smoke) if check.name in names]
    return run_preflight(build(tree), checks=checks).record()


def _named(node: str, finding: Finding) -> Finding:
    return replace(finding, check=f"{node}: {finding.check}")
