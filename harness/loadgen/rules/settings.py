"""LoadGen was an unaltered one of this round, and set as the benchmark says."""

from __future__ import annotations

from collections.abc import Iterator

from harness.loadgen.rules.base import CLOSED_ONLY, SUBMISSION, VALIDITY_AND_CLOSED, Weight
from harness.loadgen.rules.logs import BOOK, PERFORMANCE, Logs
from harness.loadgen.rules.sources import LOADGEN, OPEN, PERFORMANCE_CHECK, RULES

LIMIT_KEYS = {"TTFT": "requested_server_ttft_latency", "TPOT": "requested_server_tpot_latency"}
NO_GIT = "NA"  # loadgen/setup.py and CMakeLists.txt write it where git was not at hand


@BOOK.rule("validity.loadgen", source=f"{RULES}, LoadGen Operation: an approved revision", breaks=SUBMISSION)
def loadgen_version(logs: Logs) -> Iterator[str]:
    """The round names the least version."""
    found, least = logs.detail.loadgen_version, logs.round.min_loadgen
    if found is None or found < least:
        named = ".".join(map(str, found)) if found else "not recorded"
        yield f"LoadGen is {named}; this round needs {'.'.join(map(str, least))} or newer"


@BOOK.rule("validity.altered", source=f"{RULES}, LoadGen Operation: without alteration", breaks=SUBMISSION)
def loadgen_is_untouched(logs: Logs) -> Iterator[str]:
    """LoadGen logs what git said of its sources when it was built."""
    changed = (logs.detail.text("loadgen_git_status_message") or "").strip()
    if changed and changed != NO_GIT:
        yield f"LoadGen was built from altered sources: {changed.splitlines()[0].strip()}"


@BOOK.rule("validity.no-git", source=f"{LOADGEN}/version_generator.py", weight=Weight.NOTE)
def built_without_git(logs: Logs) -> Iterator[str]:
    if (logs.detail.text("loadgen_git_status_message") or "").strip() == NO_GIT:
        yield "LoadGen was built without git: its log cannot tell whether its sources were altered"


@BOOK.rule("performance.seeds", source=f"{PERFORMANCE_CHECK} (seeds_check); {LOADGEN}/mlperf.conf")
def seeds(logs: Logs) -> Iterator[str]:
    """The round's seeds, which only LoadGen's built-in mlperf.conf can set."""
    wrong = [key for key, value in logs.round.seeds.items() if logs.detail.values.get(key) != value]
    if wrong:
        yield f"seeds are not the benchmark's: {', '.join(f'{key} is {logs.detail.values.get(key)}' for key in wrong)}"


@BOOK.rule("performance.token-latencies", source=f"{PERFORMANCE_CHECK} (llm_check)")
def token_latencies(logs: Logs) -> Iterator[str]:
    """Without use_token_latencies LoadGen counts no tokens and judges neither TTFT nor TPOT."""
    if logs.detail.flag("requested_use_token_latencies") is not True:
        yield "use_token_latencies was off: LoadGen judged no token latency"


@BOOK.rule(
    "performance.sample-count",
    source=f"{PERFORMANCE_CHECK} (performance_sample_count_check)",
    breaks=SUBMISSION,
    modes=PERFORMANCE,
)
def sample_count(logs: Logs) -> Iterator[str]:
    loaded, wanted = logs.detail.integer("effective_performance_sample_count"), logs.rules.samples
    if loaded is None or loaded < wanted:
        yield f"performance_sample_count was {loaded}; the benchmark has {wanted}"


@BOOK.rule(
    "performance.min-duration",
    source=f"{PERFORMANCE_CHECK} (min_duration_check); {RULES}, Scenarios: 600 seconds",
    breaks=SUBMISSION,
    modes=PERFORMANCE,
)
def min_duration(logs: Logs) -> Iterator[str]:
    asked, wanted = logs.detail.integer("effective_min_duration_ms"), logs.round.min_duration_ms
    if asked is None or asked < wanted:
        found = "not logged" if asked is None else f"{asked:,} ms"
        yield f"min_duration was {found}; the rules ask for {wanted:,} ms"


@BOOK.rule("validity.limits", source=f"{LOADGEN}/mlperf.conf (ttft_latency, tpot_latency)", breaks=VALIDITY_AND_CLOSED)
def no_looser_limits(logs: Logs) -> Iterator[str]:
    """A test judged by looser limits says nothing about this benchmark's."""
    for (name, key), limit in zip(LIMIT_KEYS.items(), logs.round.limits_ns.get(logs.scenario, ()), strict=False):
        asked = logs.detail.integer(key)
        if asked is None or asked > limit:
            found = "not logged" if asked is None else f"{asked / 1e6:g} ms"
            yield f"the {name} limit was {found}; {logs.scenario.directory} has {limit / 1e6:g} ms"


@BOOK.rule("validity.own-limits", source=f"{LOADGEN}/mlperf.conf (ttft_latency, tpot_latency)", breaks=CLOSED_ONLY)
def no_tighter_limits(logs: Logs) -> Iterator[str]:
    """Tighter limits do no harm, but the closed division has its own."""
    for (name, key), limit in zip(LIMIT_KEYS.items(), logs.round.limits_ns.get(logs.scenario, ()), strict=False):
        asked = logs.detail.integer(key)
        if asked is not None and asked < limit:
            yield f"the {name} limit was changed to {asked / 1e6:g} ms; the closed division has {limit / 1e6:g} ms"


@BOOK.rule("validity.percentile", source=f"{RULES}, Scenarios: tail latency; {OPEN}", in_open=Weight.EXPLAIN)
def percentile(logs: Logs) -> Iterator[str]:
    """The percentile that LoadGen judges."""
    wanted = logs.round.percentiles.get(logs.ran)
    found = logs.detail.number("effective_target_latency_percentile")
    if wanted is not None and found != wanted:
        yield f"the target latency percentile was {found}; {logs.ran} has {wanted}"


@BOOK.rule(
    "performance.target-latency",
    source=f"{PERFORMANCE_CHECK} (latency_check)",
    breaks=SUBMISSION,
    weight=Weight.REFUSED,
    modes=PERFORMANCE,
)
def target_latency(logs: Logs) -> Iterator[str]:
    """Server's target latency is not judged beside TTFT and TPOT, but the official checker bounds it."""
    target, most = logs.detail.number("effective_target_latency_ns"), logs.round.max_target_latency_ns
    if logs.ran == "Server" and (target is None or target > most):
        found = "not logged" if target is None else f"{target / 1e6:g} ms"
        yield f"target_latency was {found}; at most {most / 1e6:g} ms is allowed"


@BOOK.rule(
    "validity.equal-issue",
    source=f"{LOADGEN}/mlperf.conf (sample_concatenate_permutation); {RULES}, Scenarios",
    breaks=VALIDITY_AND_CLOSED,
    modes=PERFORMANCE,
)
def equal_issue(logs: Logs) -> Iterator[str]:
    """Each sample is issued equally often; only TEST06 turns it off."""
    if logs.detail.flag("effective_sample_concatenate_permutation") is not True:
        yield "equal-issue mode (sample_concatenate_permutation) was off"


@BOOK.rule("validity.issue", source=f"{LOADGEN}/test_settings.h (performance_issue_unique, performance_issue_same)")
def issued_as_the_rules_say(logs: Logs) -> Iterator[str]:
    for key in ("performance_issue_unique", "performance_issue_same"):
        if logs.detail.flag(f"effective_{key}"):
            yield f"{key} was on: a debugging setting, no submission may use it"
