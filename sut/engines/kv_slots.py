"""The key/value cache of the transformers engine: a row for each running request, rows packed without gaps.

transformers' own caches grow by concatenation, which copies every key and value at every step, and cannot take in a
new request while others run. Here a step writes one position of each row in place and reads a view. No row is ever
shared between requests: nothing of one prompt is reused for another (MLPerf inference rules: every query is computed in
its entirety).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

GROWTH = 512  # positions; rows grow to a multiple of this, so that growing stays rare


class SlotCache(Cache):  # type: ignore[misc]
    """Keys and values of up to ``rows`` requests; each layer's tensors are [rows, kv_heads, length, head_dim].

    The rows ``0..n-1`` are in use. :meth:`begin_step` says where this step's tokens go; the model then calls
    :meth:`update` once for each layer.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self.length = 0
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._row_ids = torch.empty(0, dtype=torch.long)
        self._positions = torch.empty(0, dtype=torch.long)
        self._used = 0

    def insert(self, *, row: int, prefilled: Cache, room: int) -> None:
        """Copy a prefilled one-request cache into ``row`` and make room for ``room`` positions in total."""
        pairs = [(layer.keys[0], layer.values[0]) for layer in prefilled.layers]
        if not self.keys:
            self.keys = [k.new_zeros(self.rows, k.shape[0], 0, k.shape[2]) for k, _ in pairs]
            self.values = [v.new_zeros(self.rows, v.shape[0], 0, v.shape[2]) for _, v in pairs]
        if room > self.length:
            self._grow(-(-room // GROWTH) * GROWTH)
        for index, (key, value) in enumerate(pairs):
            self.keys[index][row, :, : key.shape[1]] = key
            self.values[index][row, :, : value.shape[1]] = value

    def _grow(self, length: int) -> None:
        # Zeros and not empty: a masked position still enters the product with the values, where a stray NaN would stay.
        for tensors in (self.keys, self.values):
            for index, old in enumerate(tensors):
                new = old.new_zeros(*old.shape[:2], length, old.shape[3])
                new[:, :, : self.length] = old
                tensors[index] = new
        self.length = length

    def move(self, *, source: int, target: int, used: int) -> None:
        """Copy the first ``used`` positions of row ``source`` to row ``target``, closing a finished request's gap."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :used] = tensor[source, :, :used]

    def begin_step(self, positions: torch.Tensor, longest: int) -> torch.Tensor:
        """Say that rows ``0..n-1`` get a token each at ``positions`` [n]; ``longest`` is their maximum.

        Returns the additive attention mask [n, 1, 1, longest + 1] in the cache's number format.
        """
        self._positions = positions
        self._row_ids = torch.arange(len(positions), device=positions.device)
        self._used = longest + 1
        columns = torch.arange(self._used, device=positions.device)
        hidden = columns[None, :] > positions[:, None]
        dtype = self.keys[0].dtype
        mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device)
        return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None, None, :]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one position a row and return the rows in use, as views [n, kv_heads, longest + 1, head_dim]."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self._row_ids, :, self._positions] = key_states[:, :, 0]
        values[self._row_ids, :, self._positions] = value_states[:, :, 0]
        n = len(self._row_ids)
        return keys[:n, :, : self._used], values[:n, :, : self._used]

    def get_seq_length(self, *_args: Any, **_kwargs: Any) -> int:
        """Positions in use (the model asks only when it is not given position ids)."""
        return self._used
