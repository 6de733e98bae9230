"""Where the run stands among published results."""

from __future__ import annotations

from harness.report.document import Bar, Block, Card, Cell, Folded, Items, Section, Table, Text
from harness.report.load import RunData
from harness.report.published import Published, Standing, standing, table
from harness.text import UNKNOWN, number

_UNIT = (
    "Samples/s is the unit, since submissions count one token more or less for the same sample; ≈ is estimated "
    "from the published tokens/s, to within 0.4 %. The place is unofficial: MLCommons did not review this run."
)
_VENDORS = (
    "Not MLPerf: the maker's own figures at full load, without limits of latency or accuracy, for requests of equal "
    "length, at this run's mean input length."
)


def sections(run: RunData) -> list[Section]:
    """The run among published results, or nothing where there are none of its kind."""
    found = None if run.is_foreign else standing(run)  # of other harnesses' runs no accelerator is recorded
    if found is None:
        return []
    what = f"Published {run.scenario.directory} results"
    blocks: list[Block] = _where(run, found)
    if found.same:
        blocks.append(_ranking(run, found, found.same, caption=f"{what} on {found.accelerator}"))
    if found.vendors:
        blocks += [_vendors(found), Text(text=_VENDORS)]
    every = _ranking(run, found, found.peers, caption=f"{what} per accelerator")
    blocks.append(Folded(summary="Every accelerator", blocks=[every]))
    sources = "; ".join(table().sources[name] for name in sorted({row.round for row in found.peers}))
    blocks.append(Text(text=f"{_UNIT} Sources: {sources}.", linked=True))
    return [Section(title="Among published results", blocks=blocks)]


def card(run: RunData) -> Card | None:
    """The place in a word; None where nothing was published of the run's kind."""
    found = None if run.is_foreign else standing(run)
    if found is None:
        return None
    label = "Among published results"
    if found.not_comparable:
        return Card(label=label, value="not comparable", note="see below")
    if not found.rivals:
        return Card(label=label, value="none", note=f"on {found.accelerator}")
    return Card(label=label, value=f"{_place(found)} of {len(found.rivals) + 1}", note=f"on {found.accelerator}")


def _where(run: RunData, found: Standing) -> list[Block]:
    """The run's place in a sentence, or why it has none."""
    noise = f" ({found.low:,.2f} to {found.high:,.2f} with 95 %)" if found.high > found.low else ""
    each = f"{found.per_accelerator:,.2f}{noise} samples/s for each of {found.count} "
    each += "accelerator" if found.count == 1 else "accelerators"
    if found.not_comparable:
        above = set(run.result.not_submittable_reasons if run.result else [])
        own = [text for text in found.not_comparable if text not in above]
        why = " What stands against a submission (under Verdict) stands against it." if above else ""
        blocks: list[Block] = [
            Text(text=f"NOT comparable with published results.{why} {each} would stand here.", tone="warn")
        ]
        return [*blocks, Items(items=[(reason, "warn") for reason in own])] if own else blocks
    if not found.rivals:
        return [Text(text=f"{each}. No result of the closed division on this accelerator was published.")]
    best = found.rivals[0]
    return [
        Text(
            text=f"{each}: place {_place(found)} of {len(found.rivals) + 1} on {found.accelerator}, "
            f"{100 * found.per_accelerator / best.per_accelerator:.1f} % of the best published one "
            f"({best.submitter}, {best.round})."
        )
    ]


def _place(found: Standing) -> str:
    """One number, or two where the noise of this run cannot tell."""
    first, last = (1 + sum(row.per_accelerator > rate for row in found.rivals) for rate in (found.high, found.low))
    return str(first) if first == last else f"{first} to {last}"


def _vendors(found: Standing) -> Table:
    own = found.per_accelerator
    most = max([own, *(rate for _, rate in found.vendors)])
    rows: list[list[Cell]] = [
        [
            f"{row.vendor}, {row.software}, {row.model}",
            Bar(text=f"{rate:,.2f}", share=rate / most),
            f"{100 * own / rate:.1f} %",
            row.source,
        ]
        for row, rate in found.vendors
    ]
    return Table(
        caption=f"The maker's own figures for {found.accelerator}",
        columns=["what", "samples/s", "this run", "source"],
        rows=rows,
        numeric=frozenset({2}),
    )


def _ranking(run: RunData, found: Standing, rows: list[Published], *, caption: str) -> Table:
    most = max([found.per_accelerator, *(row.per_accelerator for row in rows)])
    engine = (run.session.engine.name if run.session.engine else None) or UNKNOWN
    name = f"{run.name}, not comparable" if found.not_comparable else run.name
    own: list[Cell] = [
        f"this run ({name})",
        ", ".join(sorted(set(run.gpu_names))) or "CPU",
        str(found.count),
        Bar(text=f"{found.per_accelerator:,.2f}", share=found.per_accelerator / most, strong=True),
        number(run.result.tokens_per_second if run.result else None),
        engine,
    ]
    ranked = [(found.per_accelerator, own), *((row.per_accelerator, _row(row, most)) for row in rows)]
    ranked.sort(key=lambda item: item[0], reverse=True)
    return Table(
        caption=caption,
        rows=[cells for _, cells in ranked],
        numeric=frozenset({2, 4}),
        columns=["result", "accelerator", "count", "samples/s per accelerator", "tokens/s in total", "software"],
    )


def _row(row: Published, most: float) -> list[Cell]:
    about = "≈ " if row.estimated else ""
    remarks = (row.division if row.division != "closed" else "", _not_plain(row.availability), row.note)
    said = ", ".join(text for text in remarks if text)
    return [
        f"{row.submitter}, {row.system}, {row.round}" + (f" ({said})" if said else ""),
        row.accelerator or "none (CPU)",
        UNKNOWN if row.count is None else str(row.count),
        Bar(text=f"{about}{row.per_accelerator:,.2f}", share=row.per_accelerator / most),
        UNKNOWN if row.tokens_per_s is None else f"{row.tokens_per_s:,.0f}",
        ", ".join(part for part in (row.software, row.precision) if part) or UNKNOWN,
    ]


def _not_plain(availability: str | None) -> str:
    return "" if availability in (None, "available") else str(availability)
