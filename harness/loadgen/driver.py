"""LoadGen itself: settings, user.conf, one test. The only place outside ``sut.completions`` that imports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg

from harness.config import Mode, RunConfig, Scenario
from harness.config.tree import HOUR_MS, MAX_DURATION_MS, MAX_QPS, MAX_QUERIES, MIN_LATENCY_MS
from harness.loadgen.keys import Setting
from mlperf_llama_base.errors import RunError, UserError
from mlperf_llama_base.files import WRITTEN_BY

MODES = {
    Mode.PERFORMANCE: lg.TestMode.PerformanceOnly,
    Mode.ACCURACY: lg.TestMode.AccuracyOnly,
    Mode.COMPLIANCE: lg.TestMode.PerformanceOnly,  # TEST06's audit.config turns it into what it wants
}
_first_test = True


def write_user_conf(config: RunConfig, path: Path) -> None:
    """Write the effective user.conf: the user's file, with ``target_qps`` / ``target_latency`` replaced if given.

    Raises ``UserError`` if the file is missing or cannot be read.
    """
    lines: list[str] = []
    if config.loadgen.user_conf:
        source = Path(config.loadgen.user_conf)
        try:
            lines = [line for line in source.read_text().splitlines() if not line.startswith(WRITTEN_BY)]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"user.conf {source} cannot be read: {error}") from error
    name = config.scenario.loadgen_name
    values = {"target_qps": config.loadgen.target_qps, "target_latency": config.loadgen.target_latency_ms}
    wanted = "target_latency" if config.scenario is Scenario.SINGLESTREAM else "target_qps"
    if values[wanted] is not None:
        ending = (f".{name}.{wanted}", f".*.{wanted}")
        lines = [line for line in lines if not line.split("=")[0].strip().endswith(ending)]
        lines.append(f"*.{name}.{wanted} = {values[wanted]:g}")
    path.write_text("\n".join([WRITTEN_BY, *(lines or ["# nothing set: LoadGen's defaults"])]) + "\n")


def make_settings(config: RunConfig, user_conf: Path) -> tuple[Any, int, dict[str, int | float]]:
    """Build TestSettings. Returns them, FromConfig's return code and the smoke overrides that were applied.

    Raises ``UserError`` if LoadGen refuses the file (it then ignores all of it), or for a value in it that LoadGen
    takes and cannot work with.
    """
    settings, rc = _from_config(config, user_conf)
    source = config.loadgen.user_conf or user_conf
    if rc:
        raise UserError(
            f"LoadGen refused {source} (FromConfig returned {rc}) and would ignore all of it: look for a comment "
            "behind a value or a line that is not 'model.Scenario.key = value'"
        )
    settings.scenario = getattr(lg.TestScenario, config.scenario.loadgen_name)
    settings.mode = MODES[config.mode]
    overrides = {
        name: value
        for name in ("min_duration_ms", "min_query_count", "max_query_count", "max_duration_ms")
        if (value := getattr(config.loadgen, name)) is not None
    }
    for name, value in overrides.items():
        setattr(settings, name, value)
    _check(settings, config.scenario, source)
    return settings, rc, overrides


def _from_config(config: RunConfig, user_conf: Path) -> tuple[Any, int]:
    """Read LoadGen's compiled-in mlperf.conf and ``user_conf``: the first test of a process in one call.

    A second such call would not load mlperf.conf again, so later tests read the two one after the other.
    """
    global _first_test
    settings = lg.TestSettings()
    names = (config.model_name, config.scenario.loadgen_name)
    if _first_test:
        _first_test = False
        return settings, settings.FromConfig(str(user_conf), *names, 1)
    return settings, settings.FromConfig("", *names, 0) or settings.FromConfig(str(user_conf), *names, 2)


def _check(settings: Any, scenario: Scenario, source: str | Path) -> None:
    """Refuse what would crash LoadGen (an infinite rate), fill the memory or never end."""
    rate = {Scenario.OFFLINE: "offline_expected_qps", Scenario.SINGLESTREAM: "single_stream_expected_latency_ns"}.get(
        scenario, "server_target_qps"
    )
    single = scenario is Scenario.SINGLESTREAM
    low, high = (MIN_LATENCY_MS * 1e6, HOUR_MS * 1e6) if single else (0, MAX_QPS)
    if not max(low, 1e-300) <= getattr(settings, rate) <= high:
        raise UserError(
            f"{rate} is {getattr(settings, rate):g} in {source}: LoadGen needs more than {low:g} and at most {high:g}; "
            "correct the target, or give --target-qps (SingleStream: --target-latency-ms)"
        )
    for names, most in (
        (("min_duration_ms", "max_duration_ms"), MAX_DURATION_MS),
        (("min_query_count", "max_query_count"), MAX_QUERIES),
    ):
        for name in names:
            if getattr(settings, name) > most:
                raise UserError(f"{name} is {getattr(settings, name)} in {source}: give at most {most}")
    per_second = 1e9 / getattr(settings, rate) if single else getattr(settings, rate)
    if not settings.max_query_count and per_second * settings.min_duration_ms / 1e3 > MAX_QUERIES:
        raise UserError(
            f"{rate} {getattr(settings, rate):g} for {settings.min_duration_ms} ms in {source} are more than "
            f"{MAX_QUERIES} queries, which LoadGen would make at once: correct the target"
        )


def dump_settings(settings: Any) -> dict[str, Setting]:
    """Every public field of TestSettings, enums as their names."""
    values: dict[str, Setting] = {}
    for name in dir(settings):
        value = getattr(settings, name)
        if name.startswith("_") or (callable(value) and not hasattr(value, "name")):
            continue
        values[name] = value if isinstance(value, bool | int | float | str) else getattr(value, "name", str(value))
    return values


def run_test(
    *,
    settings: Any,
    out_dir: Path,
    audit_conf: Path,
    counts: tuple[int, int],
    issue: Callable[[list[int], list[int]], None],
    flush: Callable[[], None],
    load: Callable[[list[int]], None],
    unload: Callable[[list[int]], None],
) -> None:
    """Run one test; blocks until LoadGen has every completion.

    ``issue``: takes sample ids and data-set indices. ``counts``: total and performance sample count of the QSL.
    ``audit_conf``: explicit, because LoadGen silently picks up an ``audit.config`` from the working directory
    otherwise; a path that does not exist means a normal run.
    Raises ``RunError`` if LoadGen could not start: it does not say so itself.
    """
    outputs = lg.LogOutputSettings()
    outputs.outdir = str(out_dir)
    outputs.copy_summary_to_stdout = False
    logs = lg.LogSettings()
    logs.log_output = outputs
    logs.enable_trace = False
    sut = lg.ConstructFastSUT(issue, flush)
    qsl = lg.ConstructQSL(*counts, load, unload)
    try:
        lg.StartTestWithLogSettings(sut, qsl, settings, logs, str(audit_conf))
    finally:
        lg.DestroyQSL(qsl)
        lg.DestroyFastSUT(sut)
    detail = out_dir / "mlperf_log_detail.txt"
    if not detail.is_file() or not detail.stat().st_size:
        raise RunError(f"LoadGen wrote no {detail.name} in {out_dir}: is the directory writable and the disk not full?")
