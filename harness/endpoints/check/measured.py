"""What the client measured: every request answered, whole passes, long enough, all figures there and in agreement.

The client ends well whatever failed, and counts a stream that an error or a cut connection ended as a success; the only
trace is that its reasons for an end do not add up to the requests.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.endpoints.check.files import Point
from harness.endpoints.check.sources import CLIENT, RULES
from harness.loadgen.rules import Weight
from harness.rounds import ENDPOINTS
from harness.submission.check.base import Checks, Problem

TOLERANCE = 0.01
NAMED = ("stop", "length")

measured_rules: Checks[Point] = Checks()


@measured_rules.rule("point.completed", source=f"{RULES}, 9.1: completed and failed add up to issued")
def everything_was_answered(point: Point) -> Iterator[Problem]:
    summary, path = point.summary, point.summary_path
    if summary is None:
        return
    issued, completed, failed = summary.n_samples_issued, summary.n_samples_completed, summary.n_samples_failed
    if failed is None or failed:
        yield (
            path,
            "n_samples_failed is missing" if failed is None else f"{failed:,} requests failed: run the point again",
        )
    if not issued or issued != completed:
        yield path, f"{completed or 0:,} of {issued or 0:,} requests were completed"
    if summary.complete is False or (summary.complete is None and point.expected):
        yield path, f"the run is not complete (state {summary.state!r})"


@measured_rules.rule("point.streams", source=f"{CLIENT} endpoint_client/worker.py: an error in a stream is no failure")
def no_stream_ended_early(point: Point) -> Iterator[Problem]:
    """Each answer ends for a reason that the server names; an error event or a cut connection has none."""
    summary = point.summary
    if summary is None:
        return
    if summary.finish_reason_counts is None:
        if point.expected:
            yield point.summary_path, "finish_reason_counts is missing: nobody can tell whether streams ended early"
        return
    ended = sum(summary.finish_reason_counts.get(name, 0) for name in NAMED)
    completed = summary.n_samples_completed or 0
    if ended != completed:
        others = {k: v for k, v in summary.finish_reason_counts.items() if v and k not in NAMED}
        also = f" (others: {', '.join(f'{k} {v:,}' for k, v in others.items())})" if others else ""
        yield (
            point.summary_path,
            f"{ended:,} of {completed:,} answers ended by stop or length{also}: the others were cut or failed",
        )


@measured_rules.rule("point.passes", source=f"{RULES}, 6.4: whole multiples of the data set")
def passes_are_whole(point: Point) -> Iterator[Problem]:
    if point.summary is None:
        return
    rows = point.expected.data_set if point.expected else ENDPOINTS.samples
    issued = point.summary.n_samples_issued or 0
    if issued < rows or issued % rows:
        yield point.summary_path, f"{issued:,} requests are no whole passes over the data set's {rows:,}"
    if point.expected and issued != point.expected.samples:
        yield point.summary_path, f"{issued:,} requests were issued, {point.expected.samples:,} were asked for"


@measured_rules.rule("point.duration", source=f"{RULES}, 6.2")
def long_enough(point: Point) -> Iterator[Problem]:
    """The steady window where one is declared, else the whole run. The official checker only warns."""
    concurrency, summary = point.concurrency, point.summary
    if concurrency is None or summary is None:
        return
    wanted = point.expected.min_duration_ms if point.expected else ENDPOINTS.duration_ms(concurrency)
    steady = point.config.steady_state if point.config else None
    window = steady.window.duration_s if steady and steady.status == "windowable" else None
    took = window if window is not None else summary.seconds
    what = "the steady window" if window is not None else "the run"
    if took is None:
        yield point.summary_path, "duration_ns is missing"
    elif took * 1e3 < wanted:
        yield (
            point.summary_path,
            f"{what} took {took:,.1f} s; a point at concurrency {concurrency:,} needs {wanted / 1e3:g} s",
        )


@measured_rules.rule("point.figures", source=f"{RULES}, 8.4 and 9.1")
def figures_are_there(point: Point) -> Iterator[Problem]:
    summary, path = point.summary, point.summary_path
    if summary is None:
        return
    figures = summary.figures()
    if figures is None:
        yield path, "has no output tokens or no time, so no tokens/s: the client needs the model's tokenizer"
        return
    if not point.dedicated:
        for name, value in (("TTFT", figures.ttft_p90_ms), ("TPOT", figures.tpot_p90_ms)):
            if not value or value <= 0:
                yield path, f"has no {name} p90: answers must be streamed token by token"
    for name in ("system_tps", "ttft_p90_ms", "tpot_p90_ms", "tps_per_user"):
        said, computed = getattr(summary, name), getattr(figures, name)
        if said is not None and computed and abs(said / computed - 1) > TOLERANCE:
            yield path, f"{name} is {said:,.6g}; the counts and times make it {computed:,.6g}"


@measured_rules.rule("point.lengths", source=f"{RULES}, 2.9: 128 tokens at most")
def answers_are_not_longer(point: Point) -> Iterator[Problem]:
    """Counted on the text: a token or two more may come of that, an answer that is twice as long may not."""
    longest = point.summary.output_sequence_lengths.max if point.summary else None
    wanted = point.asked("model_params", "max_new_tokens")
    if longest is not None and isinstance(wanted, int) and longest > 1.5 * wanted:
        yield point.summary_path, f"answers have up to {longest:,.0f} tokens, {wanted} were asked for"


@measured_rules.rule("point.not-shown", source=f"{CLIENT} metrics/report.py", weight=Weight.NOTE)
def what_the_summary_does_not_tell(point: Point) -> Iterator[Problem]:
    if point.summary and point.summary.finish_reason_counts is None and not point.expected:
        yield point.summary_path, "has no finish_reason_counts: streams that an error ended cannot be seen"
