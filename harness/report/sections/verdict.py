"""First of all: is it valid, may it be submitted, how good is it, what limited it."""

from __future__ import annotations

import datetime
from collections import Counter

from harness.report.causes import Cause, causes
from harness.report.document import Block, Card, Cards, Folded, Items, Section, Text, Tone
from harness.report.insights import insights
from harness.report.load import RunData
from harness.report.sections import published
from harness.rundir.result import Result
from harness.rundir.tuning import TuneRecord
from harness.text import duration, number

AGAINST = "Why it may not be submitted:"
NO_FORMAT = ("none", "unknown")  # of weights: an engine without any, or that does not know


def verdict(run: RunData) -> tuple[str, Tone]:
    """Return the verdict in a word or two."""
    if run.result is None and run.tune is not None:
        return _search(run.tune)
    if refused(run):
        return "REFUSED BY PRE-FLIGHT", "bad"
    if run.result is None:
        phase = run.session.outcome or (run.status.phase if run.status else None) or "unknown"
        return f"NO RESULT ({phase})", "bad"
    if run.result.too_short:
        return run.result.state.upper(), "warn"
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
    """Is it valid, how fast, with what; why it does not count, by cause; what limited it."""
    blocks: list[Block] = [Cards(cards=_cards(run)), Text(text=with_what(run))]
    result, stopped = run.result, refused(run)
    if run.session.error:
        blocks.append(Text(text=f"The run failed: {run.session.error}", tone="bad"))
    if stopped:
        blocks.append(Items(items=[(text, "bad") for text in stopped]))
    if result is not None:
        blocks += _reasons(run, result)
    if result and result.remarks:
        blocks.append(Text(text="What looks wrong and needs explaining:"))
        blocks.append(Items(items=[(remark.text, "warn") for remark in result.remarks]))
    found = insights(run)
    sections = [Section(title="Verdict", blocks=blocks)]
    if found:
        sections.append(Section(title="What limited the run", blocks=[Items(items=found)]))
    return sections


def _cards(run: RunData) -> list[Card]:
    word, tone = verdict(run)
    result = run.result
    note = "may be submitted" if result is not None and result.submittable else "may not be submitted"
    if run.is_foreign:
        note = "whether it may be submitted is not recorded in LoadGen's logs"
    elif run.tune and not result:
        note = "a search, not a result"
    cards = [Card(label="Verdict", value=word, tone=tone, note=note)]
    if run.is_foreign and result and result.loadgen.validity:
        cards.append(Card(label="LoadGen's own verdict", value=result.loadgen.validity))
    if run.tune and not result:
        cards += _search_cards(run.tune)
    place = published.card(run)
    among = [place] if place is not None else []
    return cards + _rates(run) + among + _latencies(run) + _accuracy(run) + _cost(run)


def _reasons(run: RunData, result: Result) -> list[Block]:
    """Each cause once; what every rule says is folded behind it."""
    broken = causes([r for r in result.reasons if r.breaks == "validity"])
    against = causes([r for r in result.reasons if r.breaks == "submission"])
    known = {reason.text for reason in result.reasons}
    broken += [Cause(name=None, text=text) for text in result.invalid_reasons if text not in known]
    against += [
        Cause(name=None, text=text)
        for text in result.not_submittable_reasons
        if text not in known and text not in result.invalid_reasons
    ]
    blocks: list[Block] = []
    if broken:
        tone: Tone = "warn" if result.too_short else "bad"
        blocks.append(Items(items=[(cause.said, tone) for cause in broken]))
    if against:
        blocks.append(Text(text="What stands against a submission, or is not known:" if run.is_foreign else AGAINST))
        blocks.append(Items(items=[(cause.said, "warn") for cause in against]))
    several = [cause for cause in (*broken, *against) if cause.others]
    if several:
        count = sum(1 + len(cause.others) for cause in (*broken, *against))
        said = [text for cause in several for text in cause.rules]
        inner = Items(items=[(text, "") for text in said])
        blocks.append(Folded(summary=f"What every rule says ({count})", blocks=[inner]))
    return blocks


def refused(run: RunData) -> list[str]:
    """What the pre-flight found that no run may begin with; nothing of a run that did begin."""
    found = run.record.preflight
    if found is None or found.status != "fail" or run.result is not None or run.record.session is not None:
        return []
    return [
        f"{one.check}: {one.found}. {one.advice}".rstrip(". ") + "." for one in found.findings if one.status == "fail"
    ]


def with_what(run: RunData) -> str:
    """Model, engine, machine and date in a line."""
    model, engine, result = run.session.model, run.session.engine, run.result
    named = (model.path if model else None) or run.record.setting("model", "path")
    parts = (
        [str(named) + ("" if model is None or model.is_llama_3_1_8b is not False else " (another model)")]
        if named
        else []
    )
    if engine is not None and engine.name:
        number_format = engine.weight_dtype if engine.weight_dtype not in NO_FORMAT else None
        parts.append(" ".join(filter(None, (engine.name, engine.version, number_format))))
    elif asked := run.record.setting("engine", "name"):
        parts.append(f"engine {asked}")
    gpus = run.gpu_names
    parts += [f"{count} x {name}" for name, count in Counter(gpus).items()]
    cpu = result.hardware.cpu if result and result.hardware else None
    if not gpus and cpu is not None:
        parts.append(f"{cpu.cores or cpu.threads} cores of {cpu.model or 'an unknown processor'}, no GPU")
    when = run.session.test_started or (result.test_started if result else None) or _last_written(run)
    if when:
        parts.append(f"{when[:16].replace('T', ' ')} UTC")
    return "; ".join(parts) or "With what it ran is not recorded."


def _last_written(run: RunData) -> str | None:
    """When something last ran in the directory of a search, which has no test of its own."""
    if run.tune is None or run.status is None or run.status.time is None:
        return None
    return datetime.datetime.fromtimestamp(run.status.time, datetime.UTC).isoformat()


def _search_cards(tune: TuneRecord) -> list[Card]:
    """What LoadGen said of what was found, and what limits it."""
    last = tune.confirmations[-1] if tune.confirmations else None
    word = "not tried" if last is None else "yes" if last.valid else "no"
    tone: Tone = "" if last is None else "good" if last.valid else "bad"
    cards = [Card(label="Confirmed by LoadGen", value=word, tone=tone, note=last.directory or "" if last else "")]
    if tune.bracket is not None and tune.bracket.limited_by:
        cards.append(Card(label="Limited by", value=tune.bracket.limited_by))
    return cards


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
