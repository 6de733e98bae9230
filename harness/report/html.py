"""The report as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report.document import Bar, Document, Section
from harness.text import harmless

_TEMPLATES = Path(__file__).parent / "templates"


def render(document: Document, *, mark: str = "") -> str:
    """Return the page, with ``mark`` as its end.

    Every text is escaped, and control characters are shown and do nothing; only the charts' SVG is embedded as it is.
    """
    page: str = (
        _environment()
        .get_template("report.html")
        .render(document=document, css=Markup((_TEMPLATES / "report.css").read_text()))
    )
    return harmless(page) + (f"{mark}\n" if mark else "")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup  # made by harness.report.charts, which escapes its texts
    environment.tests["bar"] = lambda cell: isinstance(cell, Bar)
    environment.globals["anchor"] = anchor
    return environment


def anchor(part: int, section: Section) -> str:
    """Return the section's id in the page."""
    return f"p{part}-" + "".join(c if c.isalnum() else "-" for c in section.title.lower())
