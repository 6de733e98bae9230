"""What a user chooses between: scenario, mode, benchmark."""

from __future__ import annotations

from enum import StrEnum

from harness.rounds import ROUND


class Scenario(StrEnum):
    """What the user chooses. Interactive is LoadGen's Server under another model name and other limits."""

    OFFLINE = "offline"
    SERVER = "server"
    INTERACTIVE = "interactive"
    SINGLESTREAM = "singlestream"

    @property
    def loadgen_name(self) -> str:
        """The scenario's name in LoadGen and in its configuration keys."""
        return {"offline": "Offline", "server": "Server", "interactive": "Server", "singlestream": "SingleStream"}[self]

    @property
    def directory(self) -> str:
        """The scenario's directory in a submission tree."""
        names = {"offline": "Offline", "server": "Server", "interactive": "Interactive", "singlestream": "SingleStream"}
        return names[self]


class Mode(StrEnum):
    PERFORMANCE = "performance"
    ACCURACY = "accuracy"
    COMPLIANCE = "compliance"


class Benchmark(StrEnum):
    """Datacenter (``llama3.1-8b``) or edge (``llama3.1-8b-edge``)."""

    DATACENTER = "datacenter"
    EDGE = "edge"

    @property
    def sample_count(self) -> int:
        """Samples of the full data set (MLCommons' mlperf.conf)."""
        return ROUND.benchmarks[self].samples

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Every scenario that the round knows for this benchmark."""
        return tuple(map(Scenario, ROUND.benchmarks[self].scenarios))

    def model_name(self, scenario: Scenario) -> str:
        """LoadGen's model name: it selects the limits in mlperf.conf. Also for a scenario that the round lacks here."""
        models = ROUND.benchmarks[self].models
        return models.get(scenario, models[Scenario.OFFLINE])
