"""The pictures in the documents can be made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.execution.assemble import concluded
from harness.rundir.files import write_record
from tests.harness.execution.made_up import first_report
from tests.harness.fake_run import write_run
from tests.scripts.conftest import SCRIPTS, run

pytestmark = pytest.mark.timeout(240)


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium: apt-get install chromium")
def test_pictures_of_a_run(checkout: Path, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", samples=200)
    images = tmp_path / "images"
    done = run(SCRIPTS / "screenshots.sh", str(directory), MLPERF_LLAMA_VENV=str(checkout), IMAGES=str(images))
    assert done.returncode == 0, done.stderr
    for name in ("report", "report-dark-phone"):
        assert (images / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert ">finished<" in (images / "progress.svg").read_text()


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium: apt-get install chromium")
def test_pictures_of_a_clusters_benchmarks(checkout: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_record(tmp_path / "execution.json", concluded(first_report()))
    done = run(SCRIPTS / "screenshots.sh", str(tmp_path), MLPERF_LLAMA_VENV=str(checkout), IMAGES=str(images))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in images.iterdir()} == {"cluster-report.png", "cluster-report-dark-phone.png"}


def test_without_a_run_it_says_what_it_needs(tmp_path: Path) -> None:
    done = run(SCRIPTS / "screenshots.sh", MLPERF_LLAMA_VENV=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "screenshots.sh: give one or more run directories: scripts/screenshots.sh RUN_DIR..."
    ]
