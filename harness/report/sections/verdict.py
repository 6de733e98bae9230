"""First of all: is it valid, may it be submitted, how good is it, what limited it."""

from __future__ import annotations

from harness.report.document import Block, Card, Cards, Items, Section, Text, Tone
from harness.report.insights import insights
from harness.report.load import RunData
from harness.rundir.tuning import TuneRecord
from harness.text import duration, number

AGAINST = "Why it may not be submitted:"


def verdict(run: RunData) -> tuple[str, Tone]:
    """Return the verdict in a word or two."""
    if run.result is None and run.tune is not None:
        return _search(run.tune)
    if run.result is None:
        phase = run.session.outcome or (run.status.phase if run.status else None) or "unknown"
        return f"NO RESULT ({phase})", "bad"
    return ("VALID", "good") if run.valid else ("INVALID", "bad")


def _search(tune: TuneRecord) -> tuple[str, Tone]:
    """What a search for the rate has found."""
    if tune.state != "done":
        return f"SEARCH NOT ENDED ({tune.state})", "warn"
    if tune.best_qps is not None:
        return f"FOUND {tune.best_qps:g} samples/s", "good"
    if tune.target_latency_ms is not None:
        return f"FOUND {tune.target_latency_ms:g} ms", "good"
    return "NO VALID RATE FOUND", "bad"


def sections(run: RunData) -> list[Section]:
    word, tone = verdict(run)
    result = run.result
    submittable = result is not None and result.submittable
    note = "may be submitted" if submittable else "may not be submitted"
    if run.is_foreign:
        note = "whether it may be submitted is not recorded in LoadGen's logs"
    elif run.tune and not result:
        note = "a search, not a result"
    cards = [Card(label="Verdict", value=word, tone=tone, note=note)]
    if run.is_foreign and result and result.loadgen.validity:
        cards.append(Card(label="LoadGen's own verdict", value=result.loadgen.validity))
    cards += _rates(run) + _latencies(run) + _accuracy(run) + _cost(run)
    blocks: list[Block] = [Cards(cards=cards)]
    reasons = result.invalid_reasons if result else []
    if run.session.error:
        blocks.append(Text(text=f"The run failed: {run.session.error}", tone="bad"))
    if reasons:
        blocks.append(Items(items=[(reason, "bad") for reason in reasons]))
    against = [reason for reason in result.not_submittable_reasons if reason not in reasons] if result else []
    if against:
        blocks.append(Text(text="What stands against a submission, or is not known:" if run.is_foreign else AGAINST))
        blocks.append(Items(items=[(reason, "warn") for reason in against]))
    if result and result.remarks:
        blocks.append(Text(text="What looks wrong and needs explaining:"))
        blocks.append(Items(items=[(remark.text, "warn") for remark in result.remarks]))
    found = insights(run)
    sections = [Section(title="Verdict", blocks=blocks)]
    if found:
        sections.append(Section(title="What limited the run", blocks=[Items(items=found)]))
    return sections


def _rates(run: RunData) -> list[Card]:
    cards = []
    if run.result is None:
        return []
    tokens, samples = run.result.tokens_per_second, run.result.samples_per_second
    gpus = len(run.gpu_names)
    if tokens is not None:
        each = f"{number(tokens / gpus)} for each of {gpus} GPUs" if gpus > 1 else ""
        cards.append(Card(label="Tokens/s", value=f"{tokens:,.1f}", note=each))
    if samples is not None:
        cards.append(Card(label="Samples/s", value=f"{samples:,.2f}"))
    return cards


def _latencies(run: RunData) -> list[Card]:
    cards = []
    for name, limit in run.limits_ms.items():
        value = run.percentile_ms(name)
        if value is None:
            continue
        over = limit is not None and value > limit
        note = f"{'OVER' if over else 'within'} the limit of {limit:,.0f} ms" if limit is not None else ""
        tone: Tone = "" if limit is None else "bad" if over else "good"
        cards.append(Card(label=f"{name.upper()} p99", value=f"{value:,.1f} ms", tone=tone, note=note))
    if run.percentile_ms("latency", "p90") is not None and run.scenario == "singlestream":
        cards.append(Card(label="Latency p90", value=f"{run.percentile_ms('latency', 'p90'):,.1f} ms"))
    return cards


def _accuracy(run: RunData) -> list[Card]:
    if run.accuracy is None:
        return []
    return [Card(label="ROUGE-1", value=f"{run.accuracy.rouge1:.4f}", note=run.accuracy.partial or "")]


def _cost(run: RunData) -> list[Card]:
    cards = []
    if run.energy is not None and run.energy.output_tokens_per_joule is not None:
        cards.append(
            Card(
                label="Tokens per joule",
                value=f"{run.energy.output_tokens_per_joule:.2f}",
                note=f"GPUs only, {run.energy.mean_w:,.0f} W on average",
            )
        )
    if run.seconds:
        cards.append(Card(label="Time", value=duration(run.seconds)))
    return cards
