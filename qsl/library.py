"""The samples that are in memory now, as the bytes that travel to a worker. LoadGen's callbacks load and unload them.

Copying them out of the data set is what LoadSamplesToRam is for (mlcommons/inference loadgen/query_sample_library.h);
with the bytes made there, the issue path does nothing but look one up.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlperf_llama_base.errors import RunError, UserError
from qsl.dataset import Dataset
from qsl.rows import TOKEN


class SampleLibrary:
    """Samples by index. One thread loads and unloads (LoadGen's), any thread may read.

    ``performance_count``: samples that fit in memory at once; by default all of them.
    """

    def __init__(self, dataset: Dataset, performance_count: int | None = None) -> None:
        self.total_count = dataset.count
        self.performance_count = dataset.count if performance_count is None else performance_count
        if not 1 <= self.performance_count <= self.total_count:
            raise UserError(
                f"performance sample count {performance_count} is not within 1 to {self.total_count}, the "
                f"samples of {dataset.path}"
            )
        self._dataset = dataset
        self._samples: dict[int, bytes] = {}

    @property
    def loaded(self) -> int:
        """Samples in memory."""
        return len(self._samples)

    def load(self, indices: Iterable[int]) -> None:
        """Copy the samples at ``indices`` into memory. Raises ``RunError`` for one that the data set has not."""
        tokens, samples = self._dataset.tokens, self._samples
        try:
            for index in indices:
                samples[index] = tokens(index).astype(TOKEN, copy=False).tobytes()
        except IndexError as error:
            raise RunError(f"cannot load a sample of {self._dataset.path}: {error}") from error

    def unload(self, indices: Iterable[int]) -> None:
        """Drop the samples at ``indices``; one that is not loaded is left alone."""
        for index in indices:
            self._samples.pop(index, None)

    def __getitem__(self, index: int) -> bytes:
        """Return the prompt of sample ``index`` as int32 little-endian. Raises ``RunError`` if it is not loaded."""
        try:
            return self._samples[index]
        except KeyError:
            loaded = f"{self.loaded} of {self.total_count} are"
            raise RunError(f"sample {index} was issued, but is not loaded ({loaded})") from None
