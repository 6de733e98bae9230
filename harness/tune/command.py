"""The tuner from the command's side: prepare or resume a directory, stay with the child, tell what came out."""

from __future__ import annotations

from pathlib import Path

import yaml
from rich.console import Console

from harness import run
from harness.config import Mode, RunConfig, Scenario
from harness.rundir import names
from harness.rundir.directory import Claim, held, prepare_directory
from harness.rundir.tuning import Capacity, Confirmation, Probe, Trial, TuneRecord
from harness.tune.confirm import START_AGAIN
from harness.tune.state import Options, State, with_settings
from harness.workers import check_engine
from mlperf_llama_base import child
from mlperf_llama_base.errors import UserError

POLL_S = 0.5
FREE = ("output", "overwrite", "skip_preflight", "monitor")  # may differ when a search is taken up again


def execute(config: RunConfig, options: Options, *, console: Console) -> int:
    """Tune. Returns 0 (found, and valid where it was confirmed) or 1; raises a ``HarnessError`` otherwise."""
    refuse_without_effect(config, options)
    config = run.with_defaults(config.model_copy(update={"mode": Mode.PERFORMANCE}))
    with held(config) as claim:
        directory = claim.path
        if not config.overwrite and (directory / names.TUNE).is_file():
            resume(config, options, directory)
            console.print(f"continuing the search in {directory}", highlight=False)
        else:
            prepare_directory(config)
            config.save(directory / names.CONFIG)
            if not config.skip_preflight:  # before there is a search to go on with
                run.check_environment(config, directory, console)
            State.new(directory, scenario=config.scenario.value, options=options).save()
        while supervise(claim, console) == START_AGAIN:
            console.print("starting the engine again for the next rate", highlight=False)
        return tell(State.load(directory).record, directory, console)


def refuse_without_effect(config: RunConfig, options: Options) -> None:
    """Check the engine with every value of the search; a name without effect would compare equal engines."""
    check_engine(config)
    for name, values in options.search.items():
        for value in values:
            without = check_engine(with_settings(config, {name: value}))
            if name.removeprefix("engine.args.") in without:
                raise UserError(
                    f"--search {name}: {without[name.removeprefix('engine.args.')]}: there is nothing to compare"
                )


def resume(config: RunConfig, options: Options, directory: Path) -> None:
    """Take up a search that was stopped. What decides its figures must be as it was, or ``UserError`` names it."""
    state = State.load(directory)
    before = yaml.safe_load((directory / names.CONFIG).read_text())
    now = config.model_dump(mode="json")
    differ = [key for key in now if key not in FREE and now[key] != before.get(key)]
    earlier, asked = state.record.options, options.model_dump(mode="json")
    differ += [key for key in ("probe_seconds", "search", "seed") if earlier[key] != asked[key]]
    if differ:
        raise UserError(
            f"{directory} holds a search with another {', '.join(differ)}: choose another --output or add --overwrite"
        )
    again = earlier["max_probes"] < asked["max_probes"] or earlier["tolerance"] > asked["tolerance"]
    state.save(options=asked, **({"state": "searching"} if again else {}))


def supervise(claim: Claim, console: Console) -> int:
    """Run the child to its end, saying what it does. Returns 0 or ``START_AGAIN``; raises what it ended with."""
    directory = claim.path
    with child.stop_on_signals() as stop:
        tuner = child.start("harness.tune", directory, log=directory / names.SESSION_LOG, keep=[claim.lock])
        try:
            show = Lines(console, _read(directory))
            while tuner.poll() is None and not stop.wait(POLL_S):
                show.new(_read(directory))
            code = stop.wait_for(
                tuner, interrupted=f"interrupted; the same command continues from what is in {directory}"
            )
            show.new(_read(directory))
        finally:
            child.end(tuner)
    if code not in (0, START_AGAIN):
        run.raise_for(code, directory)
    return code


def _read(directory: Path) -> TuneRecord:
    """What the child has found so far."""
    return State.load(directory).record


class Lines:
    """One line for each thing that the child has found out since the last look at ``record``."""

    def __init__(self, console: Console, record: TuneRecord) -> None:
        self._console = console
        self._told = (len(record.trials), len(record.probes), len(record.confirmations))
        self._capacity = record.capacity
        self._now: str | None = None

    def new(self, record: TuneRecord) -> None:
        if record.capacity and record.capacity != self._capacity:
            self._capacity = record.capacity
            self._say(capacity_line(record.capacity))
        trials, probes, confirmations = self._told
        for trial in record.trials[trials:]:
            self._say(trial_line(trial))
        for probe in record.probes[probes:]:
            self._say(probe_line(probe))
        for run_ in record.confirmations[confirmations:]:
            self._say(confirmation_line(run_))
        self._told = (
            max(trials, len(record.trials)),
            max(probes, len(record.probes)),
            max(confirmations, len(record.confirmations)),
        )
        if record.now and record.now != self._now and not record.now.startswith("probe"):
            self._say(f"{record.now} ...")
        self._now = record.now

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def capacity_line(found: Capacity) -> str:
    text = f"full engine: {found.samples_per_second:.5g} samples/s with {found.outstanding} in the system"
    return text + f" ({found.samples} samples, {found.duration_s:.0f} s)"


def probe_line(probe: Probe) -> str:
    figures = [
        f"{name} p99 {value:.4g} ms"
        for name, value in (("TTFT", probe.ttft_p99_ms), ("TPOT", probe.tpot_p99_ms))
        if value is not None
    ]
    verdict = "valid    " if probe.valid else "not valid"
    return f"{probe.target_qps:>9.5g} q/s  {verdict}  {', '.join(figures)}; {probe.reason} " + (
        f"[{probe.queries} queries, {probe.duration_s:.0f} s, {probe.ended.partition(':')[0]}]"
    )


def trial_line(trial: Trial) -> str:
    name = " ".join(f"{k}={v}" for k, v in trial.settings.items())
    found = trial.error or f"{trial.score:.5g} samples/s"
    return f"{name}: {found} [{len(trial.probes)} probes, {trial.duration_s:.0f} s]"


def confirmation_line(run_: Confirmation) -> str:
    what = f"target_qps {run_.target_qps:g}" if run_.target_qps else f"{run_.target_latency_ms:g} ms"
    verdict = "VALID" if run_.valid else f"NOT VALID: {'; '.join(run_.reasons)}"
    length = "" if run_.full_length else ", shortened"
    return f"LoadGen at {what}: {verdict} [{run_.duration_s:.0f} s{length}, {run_.directory}]"


def tell(record: TuneRecord, directory: Path, console: Console) -> int:
    """Print what was found. Returns the exit code."""
    lines = []
    if record.engine_settings:
        lines.append("engine settings: " + " ".join(f"{k}={v}" for k, v in record.engine_settings.items()))
    if record.target_latency_ms is not None:
        lines.append(f"target_latency {record.target_latency_ms:g} ms")
    elif record.best_qps is not None:
        knee = f"; the knee is at about {record.knee_qps:.5g}" if record.scenario != Scenario.OFFLINE else ""
        lines.append(f"target_qps {record.best_qps:g}{knee}")
    if record.bracket and record.bracket.limited_by:
        lines.append(f"limited by {record.bracket.limited_by}")
    lines.append(str(record.confidence))
    runs = record.confirmations
    if not runs:
        lines.append("not confirmed by LoadGen")
    else:
        lines.append("confirmed by LoadGen" if runs[-1].valid else "LoadGen did not confirm it")
    if record.user_conf:
        lines.append(f"user.conf: {record.user_conf.strip()}  ({directory / names.USER_CONF})")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    found = record.best_qps is not None or record.target_latency_ms is not None
    return 0 if found and (not runs or runs[-1].valid) else 1
