"""Reports: a pure function of the files that a run left, so that any of them can be made again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.document import Document, Part


def build(run_dirs: Sequence[Path]) -> Document:
    """Return the report's document for one run, or for several beside each other.

    Raises ``UserError`` if a directory holds no run or a damaged file.
    """
    from harness.report import sections
    from harness.report.load import load
    from harness.report.sections import comparison

    runs = [load(path) for path in run_dirs]
    parts = [Part(title=f"{run.name}: {run.scenario} {run.mode}", sections=sections.of(run)) for run in runs]
    if len(runs) > 1:
        parts.insert(0, Part(title="Comparison", sections=comparison.sections(runs)))
    names = ", ".join(run.name for run in runs)
    title = (
        f"MLPerf Inference llama3.1-8b, {runs[0].scenario} {runs[0].mode}: {names}"
        if len(runs) == 1
        else f"MLPerf Inference llama3.1-8b: {names}"
    )
    return Document(title=title, parts=parts)


def write_report(run_dirs: Sequence[Path], output: Path | None = None) -> tuple[Path, Path]:
    """Write the HTML file and its Markdown twin, and return both paths.

    ``output``: the HTML file; the twin lies beside it. None: ``report.html`` in the first run's directory.
    """
    from harness.report import html, markdown

    document = build(run_dirs)
    page = output or run_dirs[0] / "report.html"
    twin = page.with_suffix(".md")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html.render(document), encoding="utf-8")
    twin.write_text(markdown.render(document), encoding="utf-8")
    return page, twin
