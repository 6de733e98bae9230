"""What a failed call to a node comes to, in a few words: Ray's own are hundreds, with colours and a traceback."""

from __future__ import annotations

import re

LONGEST = 300
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
RAISED = re.compile(r"\b(\w*(?:Error|Exception): .+)$")
GONE = "its node has died"  # in the message of an actor that died with it


def in_words(error: Exception) -> str:
    """Why there is no answer."""
    from ray import exceptions

    text = " ".join(COLOUR.sub("", str(error)).split())
    if isinstance(error, exceptions.RayTaskError):
        return f"failed: {' '.join(str(error.cause).split())[-LONGEST:]}"
    if is_lost(error):
        return f"its node does not answer ({type(error).__name__})"
    if lacks := MODULE.search(text):
        return f"it has no Python module {lacks[1]}: install the same version of mlperf-llama there as here"
    if raised := RAISED.search(text):
        return f"nothing could be started there: {raised[1][:LONGEST]}"
    return f"it does not answer: {text[:LONGEST]} ({type(error).__name__})"


def is_lost(error: Exception) -> bool:
    """The node went away, and not only what ran on it."""
    from ray import exceptions

    if isinstance(error, exceptions.ActorUnavailableError | exceptions.NodeDiedError):
        return True
    return isinstance(error, exceptions.ActorDiedError) and GONE in str(error)
