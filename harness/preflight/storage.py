"""Can the run write its files, and the whole of them?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

from harness.loadgen.length import planned
from harness.preflight.base import Check, Context, Finding, fail, passed, skipped, warn
from harness.preflight.loadgen_conf import target
from harness.rundir import names

MIB = 2**20
# Logs of a sample, measured generously: an accuracy log of 13,368 samples is about 8 MB, events.parquet some 60 bytes a
# sample, LoadGen's detail log does not grow with the samples once the trace is off.
BYTES_PER_SAMPLE = 2048
BASE_BYTES = 64 * MIB


def existing(path: Path) -> Path:
    """The nearest ancestor of ``path`` (itself included) that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


class OutputWritable(Check):
    """Try it: mode bits do not reveal read-only mounts, quotas or root squashing."""

    name = "output directory"
    of_input = True

    def run(self, context: Context) -> Finding:
        if not context.config.output:
            return skipped("no --output given")
        output = Path(context.config.output)
        if output.is_symlink() and not output.exists():
            return fail(f"{output} is a symbolic link that leads nowhere", "choose another --output")
        base = existing(output)
        if not base.is_dir():
            return fail(f"{base} is a file, not a directory", "choose another --output")
        try:
            with tempfile.TemporaryFile(dir=base) as probe:
                probe.write(b"x")
        except OSError as error:
            return fail(f"cannot write in {base}: {error.strerror}", "choose another --output, or change its owner")
        there = {p.name for p in output.iterdir()} if base == output.absolute() else set()
        if there - names.BEFORE_THE_START and not context.config.overwrite:
            return fail(f"{output} is not empty", "choose another --output, or use --overwrite")
        return passed(f"{base} can be written")


class DiskSpace(Check):
    """Free space for the logs. LoadGen does not notice a full disk: the logs end in the middle."""

    name = "disk space"

    def run(self, context: Context) -> Finding:
        base = existing(Path(context.config.output or "."))
        free = psutil.disk_usage(str(base)).free
        if hasattr(os, "statvfs") and os.statvfs(base).f_files and os.statvfs(base).f_favail < 100:
            return fail(f"{base}: no free inodes", "delete files there, or choose another --output")
        qps = target(context)[0] or 1.0
        samples = planned(context.config, qps).samples if 0 < qps < 1e9 else context.config.benchmark.sample_count
        need = BASE_BYTES + BYTES_PER_SAMPLE * samples
        found = f"{free / 2**30:.1f} GiB free at {base}, the logs need up to {need / 2**30:.2f}"
        if free < need:
            return fail(found, "free space there, or choose another --output")
        if free < 4 * need:
            return warn(found, "free space there: other files of the run need some too")
        return passed(found)
