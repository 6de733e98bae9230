"""The figures of a performance run are all there, in order, and bear out LoadGen's own verdict."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.config import Mode
from harness.loadgen import keys
from harness.loadgen.keys import FAMILIES, LIMITS, PERCENTILES
from harness.loadgen.log import DetailLog
from harness.loadgen.rules.base import SUBMISSION, Weight
from harness.loadgen.rules.logs import BOOK, Logs
from harness.loadgen.rules.record import lacking
from harness.loadgen.rules.sources import LOADGEN, PERFORMANCE_CHECK

MEASURED = frozenset({Mode.PERFORMANCE, Mode.COMPLIANCE})
LEAST_NS = 1000.0  # the way from LoadGen's clock through a callback and back takes longer
ROUNDED = 1e-6
SUCCESSFUL = "Run successful"  # results.cc, EarlyStopping in Server


@BOOK.rule(
    "results.keys",
    source=f"{LOADGEN}/results.cc (LogDetail); {PERFORMANCE_CHECK} reads some of them unasked",
    breaks=SUBMISSION,
    weight=Weight.REFUSED,
    modes=MEASURED,
    of_results=True,
)
def every_figure_is_there(logs: Logs) -> Iterator[str]:
    """A line that is missing must not switch off the rules that read it."""
    if logs.detail.flag("requested_use_token_latencies") is False:
        return  # other lines are written then; performance.token-latencies has it
    yield from lacking(logs, list(keys.results(logs.ran)))


@BOOK.rule(
    "results.order",
    source=f"{LOADGEN}/results.cc (ProcessLatencies)",
    breaks=SUBMISSION,
    modes=MEASURED,
    of_results=True,
)
def figures_are_in_order(logs: Logs) -> Iterator[str]:
    """Percentiles rise, a mean lies where they let it, and no first token comes after the last."""
    if logs.detail.errors:
        return  # a sample without token counts spoils the figures: log.errors has it
    for name in FAMILIES:
        stats = _stats(logs.detail, name)
        for (lower, low), (upper, high) in pairwise(stats.items()):
            if low > high:
                yield f"{name}: {lower} is {low:g} ns, above {upper}, {high:g} ns"
        yield from _mean(logs.detail, name, stats)
    latency, ttft = _stats(logs.detail, "latency"), _stats(logs.detail, "TTFT")
    for part, value in ttft.items():
        if part in latency and value > latency[part]:
            yield f"{part} of the TTFT is {value:g} ns, of the whole latency {latency[part]:g} ns"
    if ttft.get("min", LEAST_NS) < LEAST_NS:
        yield f"the least TTFT is {ttft['min']:g} ns: LoadGen's own way to the system takes longer"


def _stats(log: DetailLog, name: str) -> dict[str, float]:
    """The least, each percentile and the most of a family, in ns, as far as they are logged."""
    simple, percentile = FAMILIES[name]
    wanted = [("min", simple), *((p, percentile) for p in PERCENTILES), ("max", simple)]
    return {part: value for part, key in wanted if (value := log.number(key.format(part))) is not None}


def _mean(log: DetailLog, name: str, stats: dict[str, float]) -> Iterator[str]:
    """LoadGen takes the value at ``int(count x p)`` of the sorted ones: that bounds their mean on both sides."""
    mean, count = log.number(FAMILIES[name][0].format("mean")), log.sample_count
    if mean is None or not count or len(stats) < len(PERCENTILES) + 2:
        return
    values = list(stats.values())
    at = [0, *(int(count * float(p) / 100) for p in PERCENTILES), count]
    shares = [(after - before) / count for before, after in pairwise(at)]
    least, most = (sum(s * v for s, v in zip(shares, part, strict=True)) for part in (values[:-1], values[1:]))
    if not least * (1 - ROUNDED) - 1 <= mean <= most * (1 + ROUNDED) + 1:
        yield f"the mean {name} is {mean:g} ns; with these percentiles it lies between {least:.6g} and {most:.6g} ns"


@BOOK.rule(
    "results.verdict",
    source=f"{LOADGEN}/results.cc (MinQueriesMet, PerfConstraintsMet)",
    breaks=SUBMISSION,
    modes=MEASURED,
    of_results=True,
)
def the_verdict_is_borne_out(logs: Logs) -> Iterator[str]:
    """What LoadGen calls met, its figures meet."""
    log = logs.detail
    count, least = log.number("result_query_count"), log.number("effective_min_query_count")
    if log.flag("result_min_queries_met") and count is not None and least is not None and count < least:
        yield f"result_min_queries_met is true, with {count:g} of {least:g} queries"
    took, asked = log.duration_s, log.number("effective_min_duration_ms")
    if log.flag("result_min_duration_met") and took is not None and asked is not None and took * 1e3 < asked - 10:
        yield f"result_min_duration_met is true, after {took:,.3f} of {asked / 1e3:,.3f} s"
    for name, limit_key in zip(("TTFT", "TPOT"), LIMITS, strict=True):
        found, limit = _stats(log, name).get("99.00"), log.number(limit_key)
        met = logs.ran == "Server" and log.flag("result_perf_constraints_met")
        if met and found is not None and limit is not None and found > limit:
            yield f"result_perf_constraints_met is true, with a {name} p99 of {found:g} ns of {limit:g}"
    for kind in ("ttft", "tpot"):
        text = log.text(f"early_stopping_{kind}_result") or ""
        if log.flag("early_stopping_met") and logs.ran == "Server" and SUCCESSFUL not in text:
            yield f"early stopping is called met, its {kind.upper()} result is {' '.join(text.split())[:60]!r}"
