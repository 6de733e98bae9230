"""The report in a real browser: it renders whole, without a console error, and no request leaves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.report import write_report
from tests.harness.fake_run import write_run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)
HEADLESS = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


class Visit:
    """``dom``: the page after loading. ``console``: its messages. ``requests``: what it asked for beyond local files.

    The browser's own errands (time, accounts) have no origin; they end at the proxy, as every request would.
    """

    def __init__(self, page: Path, tmp_path: Path, *flags: str) -> None:
        net_log = tmp_path / "net.json"
        command = [
            *HEADLESS,
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            f"--log-net-log={net_log}",
            "--dump-dom",
            *flags,
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        self.dom = done.stdout
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        events = [event.get("params") or {} for event in json.loads(net_log.read_text())["events"]]
        asked = {str(event["url"]) for event in events if event.get("initiator", "not an origin") != "not an origin"}
        self.requests = {address for address in asked if urlsplit(address).scheme not in ("file", "data")}


@needs_chromium
def test_renders_alone(tmp_path: Path) -> None:
    page, _ = write_report([write_run(tmp_path / "run", samples=2000)])
    visit = Visit(page, tmp_path)
    assert visit.console == []
    assert visit.requests == set()
    assert visit.dom.rstrip().endswith("</html>") and "Settings and versions" in visit.dom
    assert visit.dom.count("<svg") == page.read_text().count("<svg") > 10


@needs_chromium
def test_the_check_itself_sees_errors_and_requests(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<script>console.error("seen")</script><img src="http://192.0.2.1/pixel.png">')
    visit = Visit(page, tmp_path)
    assert any("seen" in line for line in visit.console)
    assert visit.requests == {"http://192.0.2.1/pixel.png"}


@needs_chromium
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    """Only tables may scroll, inside their own frame; a page that scrolls sideways cannot be read on a phone."""
    page, _ = write_report([write_run(tmp_path / "run", samples=1000)])
    frame = tmp_path / "frame.html"
    policy = 'http-equiv="Content-Security-Policy"'
    page.write_text(
        page.read_text()
        .replace(policy, 'name="policy-off-to-measure"')
        .replace(
            "</body>",
            (
                "<script>document.querySelectorAll('details').forEach(d => d.open = true);"
                "parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>"
            ),
        )
    )
    frame.write_text(
        f'<iframe src="{page.as_uri()}" style="width:{width}px;height:800px;border:0"></iframe><p></p>'
        "<script>onmessage = e => document.querySelector('p').textContent = 'width ' + e.data</script>"
    )
    visit = Visit(frame, tmp_path, "--virtual-time-budget=5000")
    measured = int(visit.dom.split("<p>width ")[1].split("<")[0])
    assert measured <= width


def printed_pages(page: Path, tmp_path: Path) -> int:
    """How many sheets the page fills when it is printed."""
    out = tmp_path / f"{page.stem}.pdf"
    command = [*HEADLESS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={out}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    return len(re.findall(rb"/Type\s*/Page\b", out.read_bytes()))


@needs_chromium
def test_what_is_folded_is_printed(tmp_path: Path) -> None:
    page, _ = write_report([write_run(tmp_path / "run", samples=500)])
    text = page.read_text()
    rule = "details::details-content { content-visibility: visible;"
    assert text.count(rule) == 1
    opened, closed = tmp_path / "opened.html", tmp_path / "closed.html"
    opened.write_text(text.replace("<details>", "<details open>"))
    closed.write_text(text.replace(rule, "unknown {"))
    assert printed_pages(page, tmp_path) == printed_pages(opened, tmp_path) > printed_pages(closed, tmp_path) > 0
