"""The tuner from the command's side: prepare or resume a directory, stay with the child, tell what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from harness import run
from harness.config import Mode, RunConfig, Scenario
from harness.rundir import names
from harness.rundir.directory import Claim, held, prepare_directory
from harness.tune.confirm import START_AGAIN
from harness.tune.state import TUNE, Options, State, with_settings
from harness.workers import check_engine
from mlperf_llama_base import child, files
from mlperf_llama_base.errors import UserError

POLL_S = 0.5
FREE = ("output", "overwrite", "skip_preflight", "monitor")  # may differ when a search is taken up again


def execute(config: RunConfig, options: Options, *, console: Console) -> int:
    """Tune. Returns 0 (found, and valid where it was confirmed) or 1; raises a ``HarnessError`` otherwise."""
    refuse_without_effect(config, options)
    config = run.with_defaults(config.model_copy(update={"mode": Mode.PERFORMANCE}))
    with held(config) as claim:
        directory = claim.path
        if not config.overwrite and (directory / TUNE).is_file():
            resume(config, options, directory)
            console.print(f"going on with the search in {directory}", highlight=False)
        else:
            prepare_directory(config)
            config.save(directory / names.CONFIG)
            if not config.skip_preflight:  # before there is a search to go on with
                run.check_environment(config, directory, console)
            State.new(directory, scenario=config.scenario.value, options=options).save()
        while supervise(claim, console) == START_AGAIN:
            console.print("starting the engine again for the next rate", highlight=False)
        return tell(State.load(directory).data, directory, console)


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
    earlier, asked = state.data["options"], options.model_dump(mode="json")
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
            show = Lines(console, files.read_json(directory / TUNE) or {})
            while tuner.poll() is None and not stop.wait(POLL_S):
                show.new(files.read_json(directory / TUNE) or {})
            code = stop.wait_for(
                tuner, interrupted=f"interrupted; the same command goes on from what is in {directory}"
            )
            show.new(files.read_json(directory / TUNE) or {})
        finally:
            child.end(tuner)
    if code not in (0, START_AGAIN):
        run.raise_for(code, directory)
    return code


class Lines:
    """One line for each thing that the child has found out since the last look."""

    def __init__(self, console: Console, data: dict[str, Any]) -> None:
        self._console = console
        self._told = {key: len(data.get(key) or []) for key in ("trials", "probes", "confirmations")}
        self._capacity = data.get("capacity")
        self._now: str | None = None

    def new(self, data: dict[str, Any]) -> None:
        if data.get("capacity") and data["capacity"] != self._capacity:
            self._capacity = data["capacity"]
            self._say(capacity_line(data))
        for key, line in (("trials", trial_line), ("probes", probe_line), ("confirmations", confirmation_line)):
            for item in (data.get(key) or [])[self._told[key] :]:
                self._told[key] += 1
                self._say(line(item))
        if data.get("now") and data["now"] != self._now and not data["now"].startswith("probe"):
            self._say(f"{data['now']} ...")
        self._now = data.get("now")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def capacity_line(data: dict[str, Any]) -> str:
    found = data["capacity"]
    text = f"full engine: {found['samples_per_second']:.5g} samples/s with {found['outstanding']} in the system"
    return text + f" ({found['samples']} samples, {found['duration_s']:.0f} s)"


def probe_line(probe: dict[str, Any]) -> str:
    figures = [
        f"{name.upper()} p99 {probe[f'{name}_p99_ms']:.4g} ms"
        for name in ("ttft", "tpot")
        if probe.get(f"{name}_p99_ms") is not None
    ]
    verdict = "valid    " if probe["valid"] else "not valid"
    return f"{probe['target_qps']:>9.5g} q/s  {verdict}  {', '.join(figures)}; {probe['reason']} " + (
        f"[{probe['queries']} queries, {probe['duration_s']:.0f} s, {probe['ended'].partition(':')[0]}]"
    )


def trial_line(trial: dict[str, Any]) -> str:
    name = " ".join(f"{k}={v}" for k, v in trial["settings"].items())
    found = trial["error"] or f"{trial['score']:.5g} samples/s"
    return f"{name}: {found} [{len(trial['probes'])} probes, {trial['duration_s']:.0f} s]"


def confirmation_line(run_: dict[str, Any]) -> str:
    what = f"target_qps {run_['target_qps']:g}" if run_["target_qps"] else f"{run_['target_latency_ms']:g} ms"
    verdict = "VALID" if run_["valid"] else f"NOT VALID: {'; '.join(run_['reasons'])}"
    length = "" if run_["full_length"] else ", shortened"
    return f"LoadGen at {what}: {verdict} [{run_['duration_s']:.0f} s{length}, {run_['directory']}]"


def tell(data: dict[str, Any], directory: Path, console: Console) -> int:
    """Print what was found. Returns the exit code."""
    lines = []
    if data["engine_settings"]:
        lines.append("engine settings: " + " ".join(f"{k}={v}" for k, v in data["engine_settings"].items()))
    if data["target_latency_ms"] is not None:
        lines.append(f"target_latency {data['target_latency_ms']:g} ms")
    elif data["best_qps"] is not None:
        knee = f"; the knee is at about {data['knee_qps']:.5g}" if data["scenario"] != Scenario.OFFLINE else ""
        lines.append(f"target_qps {data['best_qps']:g}{knee}")
    if (data["bracket"] or {}).get("limited_by"):
        lines.append(f"limited by {data['bracket']['limited_by']}")
    lines.append(str(data["confidence"]))
    runs = data["confirmations"]
    if not runs:
        lines.append("not confirmed by LoadGen")
    else:
        lines.append("confirmed by LoadGen" if runs[-1]["valid"] else "LoadGen did not confirm it")
    if data["user_conf"]:
        lines.append(f"user.conf: {data['user_conf'].strip()}  ({directory / names.USER_CONF})")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    found = data["best_qps"] is not None or data["target_latency_ms"] is not None
    return 0 if found and (not runs or runs[-1]["valid"]) else 1
