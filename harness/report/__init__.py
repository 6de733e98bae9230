"""Reports: a pure function of the files that a run left, so that any of them can be made again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.document import Document, Items, Part, Section
from harness.rundir import names
from harness.rundir.ours import REPORT_MARK as MARK
from mlperf_llama_base.errors import UserError

if TYPE_CHECKING:
    from harness.report.load import RunData


def build_document(run_dirs: Sequence[Path]) -> Document:
    """Return the report's document for one run, or for several beside each other.

    Raises ``UserError`` if a directory holds no run or a damaged file.
    """
    from harness.report import sections
    from harness.report.load import load_all
    from harness.report.sections import comparison

    runs, unread = load_all(run_dirs)
    parts = [Part(title=f"{run.name}: {_what(run)}", sections=sections.of(run)) for run in runs]
    if len(runs) > 1:
        parts.insert(0, Part(title="Comparison", sections=comparison.sections(runs)))
    if unread:
        lines = Items(items=[(text, "warn") for text in unread])
        parts.append(Part(title="Not read", sections=[Section(title="Not read", blocks=[lines])]))
    named = ", ".join(run.name for run in runs) if len(runs) < 5 else f"{len(runs)} runs"
    title = (
        f"MLPerf Inference llama3.1-8b, {_what(runs[0])}: {named}"
        if len(runs) == 1
        else f"MLPerf Inference llama3.1-8b: {named}"
    )
    return Document(title=title, parts=parts)


def _what(run: RunData) -> str:
    if run.record.execution is not None and not run.result:
        return "benchmarks of a cluster"
    if run.tune and not run.result:
        return f"search for the rate of {run.tune.scenario}"
    if run.curve and not run.result:
        return "curve of MLPerf Endpoints"
    if run.scaling and not run.result:
        return f"{run.scaling.kind} benchmark"
    return f"{run.scenario} {run.mode}"


def write_report(run_dirs: Sequence[Path], output: Path | None = None) -> tuple[Path, Path]:
    """Write the HTML file and its Markdown twin, and return both paths.

    ``output``: the HTML file; the twin lies beside it. None: ``report.html`` in the first run's directory. In
    directories of others nothing is written: for another harness's logs it is the working directory.

    Raises ``UserError`` if one of the two is there already and was not written here.
    """
    from harness.report import html, markdown

    document = build_document(run_dirs)
    page = output or _default_page(run_dirs[0])
    twin = page.with_suffix(".md")
    for path in (page, twin):
        if path.exists() and not _is_ours(path):
            raise UserError(f"{path} already exists and is not a report of this tool: choose another --output")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html.render(document, mark=MARK), encoding="utf-8")
    twin.write_text(f"{markdown.render(document)}\n{MARK}\n", encoding="utf-8")
    return page, twin


def _default_page(directory: Path) -> Path:
    from harness.rundir.foreign import find_runs, is_foreign

    if any((directory / name).is_file() for name in (names.EXECUTION, names.SCALING, names.TUNE)):
        return directory / names.REPORT_HTML  # of a whole benchmark, which may have no run at all
    is_theirs = directory.is_dir() and all(is_foreign(run) for run in find_runs([directory]))
    return (Path() if is_theirs else directory) / names.REPORT_HTML


def _is_ours(path: Path) -> bool:
    """The mark stands at the end of both files."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 200, 0))
        return MARK.encode() in file.read()
