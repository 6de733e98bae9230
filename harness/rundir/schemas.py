"""JSON Schema of every file that we write into a directory, made from the types that write it.

``python -m harness.rundir.schemas [DIR]`` writes them to docs/reference/schemas; a test compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from harness.rundir import names
from harness.rundir.campaign import CampaignRecord
from harness.rundir.endpoints import CurveRecord
from harness.rundir.execution import ExecutionRecord
from harness.rundir.preflight import PreflightRecord
from harness.rundir.result import Result
from harness.rundir.scaling import ScalingRecord
from harness.rundir.scores import Accuracy
from harness.rundir.served import ServeRecord
from harness.rundir.session import SessionRecord
from harness.rundir.status import Status
from harness.rundir.system import SystemRecord
from harness.rundir.tuning import TuneRecord
from mlperf_llama_base.source import ROOT

FOLDER = ROOT / "docs" / "reference" / "schemas"
RECORDS: dict[str, type[msgspec.Struct]] = {
    names.RESULT: Result,
    names.SESSION: SessionRecord,
    names.STATUS: Status,
    names.ACCURACY_JSON: Accuracy,
    names.PREFLIGHT: PreflightRecord,
    names.SCALING: ScalingRecord,
    names.TUNE: TuneRecord,
    names.SYSTEM: SystemRecord,
    names.CAMPAIGN: CampaignRecord,
    names.EXECUTION: ExecutionRecord,
    names.ENDPOINTS: CurveRecord,
    names.SERVE: ServeRecord,
}


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(kind)


def texts() -> dict[str, str]:
    """The content of each schema's file, by its name."""
    return {
        file.replace(".json", ".schema.json"): json.dumps(schema_of(kind), indent=2) + "\n"
        for file, kind in RECORDS.items()
    }


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
