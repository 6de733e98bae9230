"""Ray's long errors in few words. The texts are Ray 2.60's."""

from __future__ import annotations

import pytest

pytest.importorskip("ray")
from ray import exceptions

from harness.cluster.said import in_words, is_lost

DIED = (
    "The actor died because its node has died. Node Id: 954bc2839c45 the actor's node was terminated unexpectedly: "
    "health check failed due to missing too many heartbeats"
)
NO_MODULE = (
    "The actor died because of an error raised in its creation task, \x1b[36mray::NodeActor.__init__()\x1b[39m "
    "(pid=31570, ip=10.77.1.2, repr=<harness.cluster.node.NodeActor>)\n ^^^^^^^\n"
    "ModuleNotFoundError: No module named 'harness.cluster'"
)
NO_FILE = NO_MODULE.partition("ModuleNotFoundError")[0] + "OSError: [Errno 28] No space left on device"


class Died(exceptions.ActorDiedError):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("text", "lost", "said"),
    [
        (DIED, True, "its node does not answer (Died)"),
        (
            NO_MODULE,
            False,
            "it has no Python module harness.cluster: install the same version of mlperf-llama there as here",
        ),
        (NO_FILE, False, "nothing could be started there: OSError: [Errno 28] No space left on device"),
        ("The actor is dead.", False, "it does not answer: The actor is dead. (Died)"),
    ],
)
def test_why_there_is_no_answer(text: str, lost: bool, said: str) -> None:
    assert (is_lost(Died(text)), in_words(Died(text))) == (lost, said)
