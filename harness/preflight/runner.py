"""Runs the checks, one by one, each on its own: a check that breaks is a failed finding and not the end."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import replace

from harness.config import RunConfig
from harness.preflight import (
    calibration,
    clock,
    dataset,
    engine,
    gpu,
    host,
    loadgen_build,
    loadgen_conf,
    model,
    software,
    storage,
)
from harness.preflight.base import Check, Context, Finding, fail
from harness.preflight.report import Report, now
from mlperf_llama_base.errors import HarnessError, UserError, remedy


def default_checks(*, smoke: bool = False) -> list[Check]:
    """All checks, in the order of the table."""
    checks: list[Check] = [
        software.PythonVersion(),
        software.Packages(),
        software.TorchBuild(),
        loadgen_build.LoadgenVersion(),
        loadgen_build.LoadgenEmbedded(),
        gpu.GpuPresent(),
        gpu.GpuMemory(),
        gpu.GpuEcc(),
        gpu.GpuProcesses(),
        gpu.GpuThrottle(),
        gpu.GpuPower(),
        gpu.GpuPersistence(),
        host.Cpu(),
        host.Numa(),
        host.Memory(),
        host.Swap(),
        host.OpenFiles(),
        host.SharedMemory(),
        clock.Clock(),
        clock.Ports(),
        storage.OutputWritable(),
        storage.DiskSpace(),
        model.ModelFiles(),
        model.ModelIdentity(),
        model.ModelTokenizer(),
        dataset.DatasetFile(),
        dataset.DatasetPrompts(),
        dataset.References(),
        calibration.CalibrationData(),
        loadgen_conf.UserConf(),
        loadgen_conf.TargetRate(),
        loadgen_conf.Shortened(),
        engine.EngineRules(),
        engine.EngineArguments(),
        engine.EngineServer(),
        engine.EngineInstalled(),
    ]
    return [*checks, engine.EngineSmoke()] if smoke else checks


def run_preflight(
    config: RunConfig, *, smoke: bool = False, checks: Sequence[Check] | None = None, loadgen_everywhere: bool = False
) -> Report:
    """Check machine, installation, model, data and configuration of ``config``; never raises for what it finds.

    ``smoke`` adds the engine's four samples. Without it, seconds; nothing is downloaded or prepared. With a cluster in
    the configuration (and no ``checks``), every node of it is checked, and they are compared; ``loadgen_everywhere``:
    each will have a LoadGen, which reads the data set there.
    """
    if checks is None and config.cluster.address != "local":
        from harness.preflight.cluster import cluster_preflight

        return cluster_preflight(config, smoke=smoke, loadgen_everywhere=loadgen_everywhere)
    context = Context(config)
    checks = default_checks(smoke=smoke) if checks is None else checks
    begun = time.monotonic()
    broken = {check.name: problem for check in checks if (problem := _guard_start(check, context))}
    findings = [broken.get(check.name) or _guard_run(check, context) for check in checks]
    return Report(findings=findings, facts=context.facts, seconds=time.monotonic() - begun, time=now())


def _guard_start(check: Check, context: Context) -> Finding | None:
    try:
        check.start(context)
    except Exception as error:  # noqa: BLE001  one check must not end the others
        return _broken(error, check)
    return None


def _guard_run(check: Check, context: Context) -> Finding:
    begun = time.monotonic()
    try:
        finding = replace(check.run(context), check=check.name, of_input=check.of_input)
    except Exception as error:  # noqa: BLE001  as above
        finding = _broken(error, check)
    return replace(finding, seconds=round(time.monotonic() - begun, 3))


def _broken(error: Exception, check: Check) -> Finding:
    """An error of ours says itself whose fault it is; the other ones are taken for the check's subject."""
    text, of_input = " ".join(str(error).split()), check.of_input
    if isinstance(error, HarnessError):
        return replace(fail(text, ""), check=check.name, of_input=isinstance(error, UserError))
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        found, advice = f"cannot be checked: {where}{error.strerror}", remedy(error)
        of_input = of_input and error.errno not in (errno.EMFILE, errno.ENFILE)
    else:
        found = f"cannot be checked: {type(error).__name__}: {text}"
        advice = "this may be a mistake in the check: please report it; --skip-preflight runs without the checks"
    return replace(fail(found, advice), check=check.name, of_input=of_input)
