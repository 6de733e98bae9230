"""Evidence, from our own record: the files are those that the test left, and what a submission rests on is there.

Digests are no signature: nothing here is secret, so whoever makes every file anew, each with the digests of the others
and with figures that agree, is not found. Who edits a log finds its digest in session.json, in events.parquet (whose
own digest session.json has) and in result.json, and its figures in what the workers recorded (``witness``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from harness.config import Mode
from harness.loadgen.rules.base import EVERYTHING, VALIDITY_AND_CLOSED
from harness.loadgen.rules.sources import RULES
from harness.rounds import ROUND
from harness.rundir import names
from harness.rundir.events import read_signed
from harness.rundir.files import damaged
from harness.rundir.preflight import PreflightFinding, PreflightRecord
from harness.rundir.record import Evidence
from harness.rundir.scores import METRICS
from harness.rundir.session import SessionRecord
from harness.verdict.book import OURS, RECORD
from mlperf_llama_base.files import sha256_of

ECC = "gpu ecc"
CLOCK_S, CLOCK_SHARE = 2.0, 0.001  # the clock may be set while a test runs; its duration is that of another clock
SAME = 5e-4  # of scores and of mean lengths that are the same, but for their rounding


@RECORD.rule("evidence.logs", source=f"{RULES}, LoadGen Operation: logs are not to be altered", breaks=EVERYTHING)
def logs_are_as_the_test_left_them(run: Evidence) -> Iterator[str]:
    signed = run.ran.log_sha256 or {}
    for name, digest in signed.items():
        if name != names.EVENTS:
            yield from _changed(run, name, digest)
    for name, digest in read_signed(run.run_dir / names.EVENTS).items() if run.has_its_events else ():
        if signed.get(name) != digest:
            yield f"{names.SESSION} has another digest of {name} than {names.EVENTS}, which is as the test left it"


def _changed(run: Evidence, name: str, digest: str) -> Iterator[str]:
    path = run.run_dir / name
    if not path.is_file():
        yield f"{name} was removed since the test ended: put it back, or run again"
    elif (run.digests.get(name) or sha256_of(path)) != digest:
        yield f"{name} is not the file that the test left: put that one back, or run again"


@RECORD.rule("evidence.events", source=OURS)
def the_second_witness_is_there(run: Evidence) -> Iterator[str]:
    """LoadGen's figures do not need it, a submission does."""
    if digest := (run.ran.log_sha256 or {}).get(names.EVENTS):
        yield from _changed(run, names.EVENTS, digest)


@RECORD.rule("evidence.complete", source=OURS)
def nothing_is_missing(run: Evidence) -> Iterator[str]:
    """What is not there cannot speak for the run."""
    if run.session is None or run.session.outcome != "completed":
        return
    if not run.session.log_sha256:
        yield f"{names.SESSION} has no digests of the logs: that nobody changed them is not shown; run again"
    elif names.EVENTS not in run.session.log_sha256 and not run.session.notes:
        yield f"{names.SESSION} has no digest of {names.EVENTS}, the second witness of the run; run again"
    for name in (names.CONFIG, names.USER_CONF):
        if not (run.run_dir / name).is_file():
            yield f"{name} is missing: with what settings the test ran is not shown"


@RECORD.rule("evidence.time", source=OURS)
def time_went_on_as_it_does(run: Evidence) -> Iterator[str]:
    """Begin, end and duration are there and agree, with each other and with LoadGen's log."""
    if run.session is None or run.session.outcome != "completed":
        return
    wall_s, logged = run.session.wall_s, run.detail.duration_s if run.mode is Mode.PERFORMANCE else None
    span = _span_s(run.session)
    if span is None or wall_s is None:
        yield f"{names.SESSION} does not say when the test began and ended"
    elif span < 0:
        yield f"the test ended ({run.session.test_ended}) before it began ({run.session.test_started})"
    elif abs(span - wall_s) > CLOCK_S + CLOCK_SHARE * wall_s:
        yield f"the test took {wall_s:,.1f} s, but {span:,.1f} s lie between its begin and its end"
    if wall_s is not None and logged is not None and logged > wall_s + CLOCK_S:
        yield f"LoadGen's log is of {logged:,.1f} s, the test took {wall_s:,.1f} s"


def _span_s(session: SessionRecord) -> float | None:
    try:
        begin, end = (datetime.fromisoformat(str(at)) for at in (session.test_started, session.test_ended))
        return (end - begin).total_seconds()
    except (ValueError, TypeError):  # no time, or one with a time zone and one without
        return None


@RECORD.rule("evidence.preflight", source=f"{RULES}, Minimum requirements of a datacenter system: ECC")
def the_machine_was_checked(run: Evidence) -> Iterator[str]:
    if run.session is None:
        return
    if run.preflight is None:
        yield f"{names.PREFLIGHT} is missing (--skip-preflight?): whether ECC was on, and all else, was never checked"
    elif problem := _ecc(run.preflight):
        yield problem


def _ecc(report: PreflightRecord) -> str | None:
    """Why ``report`` does not show that ECC was looked at. A cluster's report names a node's only if bad."""
    found = [finding for finding in report.findings if _is_ecc(finding)]
    if not found and not report.facts.get("nodes"):
        return f"{names.PREFLIGHT} says nothing of ECC: it was never checked"
    failed = [finding for finding in found if finding.status not in ("pass", "warn")]
    return f"preflight {failed[0].check}: {failed[0].found or 'no outcome'}" if failed else None


def _is_ecc(finding: PreflightFinding) -> bool:
    return (finding.check or "").rpartition(": ")[2] == ECC


@RECORD.rule("evidence.scores", source=OURS)
def scores_are_those_that_were_counted(run: Evidence) -> Iterator[str]:
    """accuracy.txt, which is published, says what accuracy.json says, and that is the mean of the samples' scores."""
    if run.mode is not Mode.ACCURACY or run.accuracy is None or run.is_foreign:
        return
    again = f"score again with mlperf-llama accuracy {run.run_dir}"
    path = run.run_dir / names.ACCURACY_TEXT
    if not path.is_file():
        yield f"{path.name} is missing: {again}"
    elif path.read_text(encoding="utf-8", errors="replace") != run.accuracy.text():
        yield f"{path.name} does not say what {names.ACCURACY_JSON} says: {again}"
    if run.scores is None:
        yield f"{names.ACCURACY_SAMPLES} is missing, of which the scores are the mean: {again}"
        return
    for name, counted in _counted(run).items():
        said = float(getattr(run.accuracy, name) or 0.0)
        if abs(said - counted) > SAME:
            yield f"{names.ACCURACY_JSON} has {name} {said:g}, the samples have {counted:g}: {again}"


def _counted(run: Evidence) -> dict[str, float]:
    """The figures of accuracy.json by what each sample has. Raises ``UserError`` for a foreign file."""
    columns = run.scores or {}
    try:
        counted = {name: float(np.mean(columns[name])) * 100 for name in METRICS}
        return counted | {"gen_len": float(columns["chars"].sum()), "gen_num": float(len(columns["chars"]))}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(run.run_dir / names.ACCURACY_SAMPLES, f"no column {error}") from error


@RECORD.rule(
    "evidence.outputs",
    source=f"{RULES}, Benchmarks: generation lengths of llama3.1-8b",
    breaks=VALIDITY_AND_CLOSED,
)
def what_was_scored_is_what_was_generated(run: Evidence) -> Iterator[str]:
    """As long as the workers' answers were, and no longer than the rules let them be."""
    scored = run.accuracy.tokens_mean if run.mode is Mode.ACCURACY and run.accuracy else None
    if scored is None:
        return
    if scored > ROUND.max_new_tokens:
        yield f"the scored outputs have {scored:,.1f} tokens on average; at most {ROUND.max_new_tokens} are generated"
    given, retried = run.ran.tokens and run.ran.tokens.output_mean, run.ran.samples.duplicates
    if given and not retried and abs(scored - given) > SAME * given:
        yield f"the scored outputs have {scored:,.2f} tokens on average, the workers returned {given:,.2f}"
