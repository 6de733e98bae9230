"""Generated ids back to text, with the model's own tokenizer.

The reference decodes with ``batch_decode(skip_special_tokens=True)`` of transformers 4.46 (its requirements.txt),
which tidies spaces before punctuation when the tokenizer's configuration asks for it (Llama 3.1's does).
Transformers 5 leaves that out for such tokenizers, so it is done here: scores then do not depend on the installed
release.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mlperf_llama_base.errors import EnvironmentFault, UserError
from qsl.tokenizer import load_tokenizer

Decode = Callable[[Sequence[npt.NDArray[np.int32]]], list[str]]


def load_decoder(path: str, revision: str | None = None) -> Decode:
    """Return a function from int32 arrays to texts for the tokenizer at ``path`` (a folder, hub id, or Meta's
    tokenizer.model).

    Raises ``UserError`` if there is no tokenizer, ``EnvironmentFault`` if a package is missing or the hub out of reach.
    """
    try:
        tokenizer = load_tokenizer(path, revision=revision)
    except ImportError as error:
        raise EnvironmentFault(f"scoring needs transformers ({error}): pip install transformers") from error
    except UserError as error:
        raise UserError(f"{error}: give --tokenizer with the model's tokenizer") from error
    tidy = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
    size = len(tokenizer)

    def decode(sequences: Sequence[npt.NDArray[np.int32]]) -> list[str]:
        strange = (int(ids[(ids < 0) | (ids >= size)][0]) for ids in sequences if ((ids < 0) | (ids >= size)).any())
        foreign = next(strange, None)
        if foreign is not None:
            raise UserError(
                f"the log holds token id {foreign}, but the tokenizer at {path} has {size} tokens: it is not the "
                "tokenizer of the model that ran; give the right one with --tokenizer"
            )
        texts = tokenizer.batch_decode(
            [ids.tolist() for ids in sequences], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [tokenizer.clean_up_tokenization(text) for text in texts] if tidy else texts

    return decode
