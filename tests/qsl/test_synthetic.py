"""Made-up data: seeded, in range, with the lengths it promises, without special ids."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from mlperf_llama_base.errors import UserError
from qsl import synthetic
from qsl.dataset import Dataset


def test_gamma_lengths() -> None:
    sizes = synthetic.lengths(200_000, seed=1)
    assert sizes.dtype == np.int32
    assert sizes.min() >= 68
    assert sizes.max() <= 2540
    assert abs(sizes.mean() - 776) < 3
    assert abs(np.median(sizes) - 714) < 4
    assert (sizes == sizes.max()).mean() < 0.001  # redrawn, not piled up at the end


def test_lognormal_lengths() -> None:
    sizes = synthetic.lengths(200_000, seed=1, shape="lognormal")
    assert sizes.min() >= 60
    assert sizes.max() == 2540
    assert abs(np.median(sizes) - 700) < 4
    assert abs(np.log(sizes).std() - 0.45) < 0.01


def test_seed_decides() -> None:
    for shape in get_args(synthetic.Shape):
        first, again, other = (synthetic.lengths(500, seed=s, shape=shape) for s in (1, 1, 2))
        assert first.tolist() == again.tolist() != other.tolist()
    sizes = synthetic.lengths(20, seed=1)
    first, again, other = (
        np.concatenate(synthetic.prompts(sizes, seed=s, vocab_size=1000)).tolist() for s in (1, 1, 2)
    )
    assert first == again != other
    assert synthetic.summaries(9, seed=5) == synthetic.summaries(9, seed=5) != synthetic.summaries(9, seed=6)


def test_ids_are_ordinary() -> None:
    sizes = np.full(100, 1000, np.int32)
    flat = np.concatenate(synthetic.prompts(sizes, seed=0, vocab_size=128256))
    assert (flat.min() >= 0, flat.max() < 128000, flat.max() > 127900) == (True, True, True)
    flat = np.concatenate(synthetic.prompts(sizes, seed=0, vocab_size=50, avoid=[0, 1, 49]))
    assert set(flat.tolist()) == set(range(2, 49))
    with pytest.raises(UserError, match="no ordinary token"):
        synthetic.prompts(sizes, seed=0, vocab_size=2, avoid=[0, 1])


def test_prompts_begin_with_bos() -> None:
    sizes = np.array([3, 1, 2], np.int32)
    made = synthetic.prompts(sizes, seed=0, vocab_size=50, avoid=[0], bos_id=0)
    assert [len(ids) for ids in made] == [3, 1, 2]
    assert [ids.tolist().count(0) for ids in made] == [1, 1, 1]
    assert all(ids[0] == 0 for ids in made)


def test_summaries_have_the_length_asked_for() -> None:
    for chars in (60, 611):
        texts = synthetic.summaries(2000, seed=1, mean_chars=chars)
        assert len(texts) == 2000
        assert abs(np.mean([len(text) for text in texts]) / chars - 1) < 0.03
    for text in texts:
        assert text[0].isupper()
        assert text.endswith(".")
        assert ".." not in text
        assert text == text.strip()
    assert len(set(texts)) == 2000


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    sizes = synthetic.synthesize(path, count=30, seed=4, vocab_size=128256, bos_id=128000, summary_chars=100)
    data = Dataset.load(path, vocab_size=128256, max_prompt_tokens=2540)
    assert data.lengths.tolist() == sizes.tolist()
    assert data.references(range(30)) == synthetic.summaries(30, seed=4, mean_chars=100)
    assert data.articles([0]) == [""]
    assert "synthetic" in (data.label if suffix == "parquet" else path.read_text())
    with pytest.raises(UserError, match="at least 1 sample"):
        synthetic.synthesize(path, count=0)
