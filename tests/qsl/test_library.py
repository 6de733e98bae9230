"""Samples are copied in and dropped again, as bytes that can be sent; LoadGen drives the callbacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlperf_llama_base.errors import RunError, UserError
from qsl.dataset import Dataset
from qsl.library import SampleLibrary
from qsl.synthetic import synthesize


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    synthesize(tmp_path / "x.parquet", count=50, seed=3)
    return Dataset.load(tmp_path / "x.parquet")


def test_load_and_unload(data: Dataset) -> None:
    library = SampleLibrary(data)
    assert (library.total_count, library.performance_count, library.loaded) == (50, 50, 0)
    library.load([3, 1, 49])
    assert library.loaded == 3
    for index in (3, 1, 49):
        assert np.frombuffer(library[index], "<i4").tolist() == data.tokens(index).tolist()
    library.load([3])
    library.unload([3, 1, 7])
    assert library.loaded == 1
    with pytest.raises(RunError, match=r"sample 3 was issued, but is not loaded \(1 of 50 are\)"):
        library[3]
    library.unload([49])
    assert library.loaded == 0


def test_wrong_counts_and_indices(data: Dataset) -> None:
    assert SampleLibrary(data, performance_count=20).performance_count == 20
    for count in (0, 51):
        with pytest.raises(UserError, match="not within 1 to 50"):
            SampleLibrary(data, performance_count=count)
    with pytest.raises(RunError, match="row 50 of a data set of 50"):
        SampleLibrary(data).load([0, 50])


LOADGEN = """
import sys
import mlperf_loadgen as lg
from qsl.dataset import Dataset
from qsl.library import SampleLibrary

library = SampleLibrary(Dataset.load(sys.argv[1]), performance_count=20)
seen = []

def issue(queries):
    for query in queries:
        seen.append((query.index, len(library[query.index])))
    lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0) for query in queries])

settings = lg.TestSettings()
settings.scenario, settings.mode = lg.TestScenario.Offline, lg.TestMode.AccuracyOnly
log = lg.LogSettings()
log.enable_trace = False
log.log_output.outdir = sys.argv[2]
sut = lg.ConstructSUT(issue, lambda: None)
qsl = lg.ConstructQSL(library.total_count, library.performance_count, library.load, library.unload)
lg.StartTestWithLogSettings(sut, qsl, settings, log, "no-audit.config")
assert sorted(i for i, _ in seen) == list(range(50)), seen
assert library.loaded == 0, library.loaded
print("bytes", sum(n for _, n in seen))
"""


def test_loadgen_asks_for_no_more_than_fits(data: Dataset, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADGEN, str(data.path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"bytes {data.ids.nbytes}" in done.stdout
