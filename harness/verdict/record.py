"""Validity, part one: the run ended, LoadGen's record of it is whole, and no sample went astray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from harness.config import Mode
from harness.loadgen.log import DETAIL, SUMMARY, disagreements
from harness.rundir.record import Evidence

VIOLATIONS = {  # of completions that reached LoadGen
    "first_token_mismatch": "a first token that is not the first of the completion (TEST06, first token check)",
    "extra_eos": "more than one end-of-sequence token at the end (TEST06, EOS check)",
    "too_short": "fewer than 2 tokens, for which LoadGen has no time per output token",
    "too_long": "more tokens than max_new_tokens",
}


def session_completed(run: Evidence) -> Iterator[str]:
    """The process that ran LoadGen wrote its record at the end, and says that all went well."""
    if run.session is None:
        yield "session.json is missing: the run was killed before it ended"
    elif (outcome := run.session.get("outcome")) != "completed":
        yield f"the run {outcome or 'did not complete'}: {run.session.get('error') or 'no error recorded'}"


def settings_accepted(run: Evidence) -> Iterator[str]:
    """FromConfig returns 0, or parts of user.conf did not take effect (loadgen/test_settings_internal.cc)."""
    code = (run.session or {}).get("from_config_rc")
    if run.session is not None and code != 0:
        yield f"LoadGen did not accept its configuration (FromConfig returned {code}): correct user.conf"


def log_whole(run: Evidence) -> Iterator[str]:
    """The detail log is there, readable to the last line, and ends as a finished test's does."""
    if not run.detail.exists:
        yield f"LoadGen's {DETAIL} is missing"
    elif not run.detail.lines:
        yield f"LoadGen's {DETAIL} is empty: the test did not end"
    elif not run.detail.finished:
        yield f"LoadGen's {DETAIL} has no end: the test did not finish"
    for line in run.detail.damaged[:3]:
        yield f"LoadGen's {DETAIL} is damaged: {line}"


def what_was_asked_ran(run: Evidence) -> Iterator[str]:
    """LoadGen's scenario, mode and model name are those that were asked for."""
    mode = "AccuracyOnly" if run.mode is Mode.ACCURACY else "PerformanceOnly"
    for key, wanted in (("effective_scenario", run.scenario.loadgen_name), ("effective_test_mode", mode)):
        found = run.detail.text(key)
        if found is not None and found != wanted:
            yield f"LoadGen ran {found}, not {wanted} ({key})"
    wanted = run.benchmark.model_name(run.scenario)
    if run.model_name is not None and run.model_name != wanted:
        yield f"LoadGen's limits were those of {run.model_name}, not of {wanted}"


def no_loadgen_errors(run: Evidence) -> Iterator[str]:
    """Error lines do not make LoadGen say INVALID, yet each is one (the checker ignores them in performance logs)."""
    counted = Counter(run.detail.errors)
    for text, count in counted.most_common(5):
        yield f"LoadGen error{f' ({count} times)' if count > 1 else ''}: {' '.join(text.split())}"
    if len(counted) > 5 or run.detail.error_count > len(run.detail.errors):
        yield f"LoadGen counted {run.detail.error_count} errors in all: see {DETAIL}"


def logs_agree(run: Evidence) -> Iterator[str]:
    """Summary and detail log are both there, and of one run."""
    if not (run.run_dir / SUMMARY).is_file():
        yield f"LoadGen's {SUMMARY} is missing"
    for line in disagreements(run.detail, run.summary)[:3]:
        yield f"LoadGen's logs are not of one run: {line}"


def no_audit_config(run: Evidence) -> Iterator[str]:
    """LoadGen takes any audit.config in its working directory (loadgen.cc); only a compliance run may have one."""
    if run.mode is not Mode.COMPLIANCE and run.detail.audit_config_used:
        yield "LoadGen took its settings from an audit file, which only a compliance run may: remove audit.config"


def nothing_lost(run: Evidence) -> Iterator[str]:
    """Every sample that was issued was answered once, by LoadGen's count and by ours."""
    if run.session is None:
        return
    samples = run.section("samples")
    issued, completed = samples.get("issued"), samples.get("completed")
    if not issued:
        yield "no sample was issued"
    if samples.get("lost"):
        yield f"{samples['lost']} samples were lost"
    elif issued != completed:
        yield f"{completed} of {issued} samples were completed"
    judged = run.detail.sample_count
    if judged is not None and issued and judged != issued:
        yield f"LoadGen judged {judged} samples, but {issued} were issued to the system"


def tokens_agree(run: Evidence) -> Iterator[str]:
    """The tokens that LoadGen counted are those that the workers gave back."""
    counted, given = run.detail.token_count, run.section("tokens").get("output_total")
    if run.mode is Mode.PERFORMANCE and counted is not None and given and abs(counted - given) > 1e-4 * given:
        yield f"LoadGen counted about {counted:,.0f} tokens, the workers gave back {given:,}"


def completions_proper(run: Evidence) -> Iterator[str]:
    """TEST06's properties and LoadGen's, checked on every completion that was reported.

    Empty outputs and ids outside the vocabulary never get there: such samples are tried again (``samples.retried``).
    """
    violations = run.section("violations")
    for name, what in VIOLATIONS.items():
        if violations.get(name):
            yield f"{violations[name]} completions have {what}"


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    session_completed,
    settings_accepted,
    log_whole,
    what_was_asked_ran,
    no_loadgen_errors,
    logs_agree,
    no_audit_config,
    nothing_lost,
    tokens_agree,
    completions_proper,
)
