"""Validity, from our own record: the run ended, its logs are there, no sample went astray, it is scored."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen.accuracy_log import is_shortened
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.rules.base import EVERYTHING, VALIDITY_AND_CLOSED, Weight
from harness.loadgen.rules.sources import LOADGEN, RULES, TEST06
from harness.rundir.record import Evidence
from harness.verdict.book import OURS, RECORD

VIOLATIONS = {  # of completions that reached LoadGen
    "first_token_mismatch": "a first token that is not the first of the completion (TEST06, first token check)",
    "extra_eos": "more than one end-of-sequence token at the end (TEST06, EOS check)",
    "cut_short": "an end before max_new_tokens without an end-of-sequence token",
    "no_first_token": "no first token before the last: its time, and the time per output token, are not measured",
    "count_differs": "another number of tokens than the server's own count (usage.completion_tokens)",
    "too_short": "fewer than 2 tokens, for which LoadGen has no time per output token",
    "too_long": "more tokens than max_new_tokens",
}


@RECORD.rule("record.session", source=OURS, breaks=EVERYTHING)
def session_completed(run: Evidence) -> Iterator[str]:
    """The process that ran LoadGen wrote its record at the end, and says that all went well."""
    if run.session is None:
        if not run.is_foreign:
            yield "session.json is missing: the run was killed before it ended"
    elif (outcome := run.session.outcome) != "completed":
        yield f"the run {outcome or 'did not complete'}: {run.session.error or 'no error recorded'}"


@RECORD.rule("record.settings", source=f"{LOADGEN}/test_settings_internal.cc (FromConfig)", breaks=EVERYTHING)
def settings_accepted(run: Evidence) -> Iterator[str]:
    """FromConfig returns 0, or parts of user.conf did not take effect."""
    if run.session is not None and (code := run.session.from_config_rc) != 0:
        yield f"LoadGen did not accept its configuration (FromConfig returned {code}): correct user.conf"


@RECORD.rule("record.logs", source=f"{RULES}, LoadGen Operation", breaks=EVERYTHING)
def logs_are_there(run: Evidence) -> Iterator[str]:
    if not run.detail.exists:
        yield f"LoadGen's {DETAIL} is missing"
    if not (run.run_dir / SUMMARY).is_file():
        yield f"LoadGen's {SUMMARY} is missing"


@RECORD.rule("record.model-name", source=f"{LOADGEN}/mlperf.conf", breaks=VALIDITY_AND_CLOSED)
def limits_were_asked_for(run: Evidence) -> Iterator[str]:
    """LoadGen's model name, which selects the limits, is the benchmark's."""
    wanted = run.benchmark.model_name(run.scenario)
    if run.model_name is not None and run.model_name != wanted:
        yield f"LoadGen's limits were those of {run.model_name}, not of {wanted}"


@RECORD.rule("record.samples", source=f"{RULES}, LoadGen Operation", breaks=EVERYTHING)
def nothing_lost(run: Evidence) -> Iterator[str]:
    """Every sample that was issued was answered once, by LoadGen's count and by ours."""
    if run.session is None:
        return
    issued, completed, lost = run.ran.samples.issued, run.ran.samples.completed, run.ran.samples.lost
    if not issued:
        yield "no sample was issued"
    if lost:
        yield f"{lost} samples were lost"
    elif issued != completed:
        yield f"{completed} of {issued} samples were completed"
    judged = run.detail.sample_count
    if judged is not None and issued and judged != issued:
        yield f"LoadGen judged {judged} samples, but {issued} were issued to the system"


@RECORD.rule("record.retries", source=OURS, breaks=frozenset(), weight=Weight.EXPLAIN)
def little_went_wrong(run: Evidence) -> Iterator[str]:
    """A sample is tried again where a worker dies or gives no usable output. The count stays right, the system under
    test is not well: a rate of such a run may be far from what it does.
    """
    samples, restarts = run.ran.samples, run.ran.restarts
    retried, failed, issued = (count or 0 for count in (samples.retried, samples.failed, samples.issued))
    said = [
        f"{retried:,} of {issued:,} samples were given to a worker again" if retried else "",
        f"{failed:,} outputs could not be used (empty, too long, or ids outside the vocabulary)" if failed else "",
        f"workers were started again {'once' if restarts == 1 else f'{restarts} times'}" if restarts else "",
    ]
    if any(said):
        yield "; ".join(text for text in said if text)


@RECORD.rule("record.tokens", source=f"{LOADGEN}/results.cc", breaks=EVERYTHING)
def tokens_agree(run: Evidence) -> Iterator[str]:
    """The tokens that LoadGen counted are those that the workers gave back."""
    counted, given = run.detail.token_count, run.ran.tokens.output_total if run.ran.tokens else None
    if run.mode is Mode.PERFORMANCE and counted is not None and given and abs(counted - given) > 1e-4 * given:
        yield f"LoadGen counted about {counted:,.0f} tokens, the workers returned {given:,}"


@RECORD.rule("record.completions", source=TEST06, breaks=VALIDITY_AND_CLOSED)
def completions_proper(run: Evidence) -> Iterator[str]:
    """TEST06's properties and LoadGen's, checked on every completion that was reported.

    Empty outputs and ids outside the vocabulary never get there: such samples are tried again (``samples.retried``).
    """
    violations = run.ran.violations
    for name, what in VIOLATIONS.items():
        if violations.get(name):
            yield f"{violations[name]} completions have {what}"


@RECORD.rule(
    "record.prefix-caching", source=f"{RULES}: every query must be computed in full", breaks=VALIDITY_AND_CLOSED
)
def no_prefix_caching(run: Evidence) -> Iterator[str]:
    if run.ran.engine is not None and run.ran.engine.prefix_caching:
        yield "prefix caching was on: the rules forbid reuse across queries"


@RECORD.rule("record.scores", source=f"{RULES}, LoadGen Operation", breaks=EVERYTHING)
def accuracy_scored(run: Evidence) -> Iterator[str]:
    """An accuracy run has scores, and they are of its own log."""
    if run.mode is not Mode.ACCURACY:
        return
    if run.accuracy is None:
        yield f"the accuracy log is not scored yet: mlperf-llama accuracy {run.run_dir}"
    elif run.is_foreign and (run.accuracy.log_sha256 is None or is_shortened(run.run_dir / ACCURACY)):
        return  # accuracy.txt of a submission: its hash is the complete log's, which is not here
    elif run.accuracy.log_sha256 != run.digests.get(ACCURACY):
        yield f"the scores are of another {ACCURACY}: score again with mlperf-llama accuracy {run.run_dir}"
