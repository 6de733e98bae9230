"""Stands in for ``mlperf-llama run`` in a campaign: leaves a run directory at once, or fails as it is told.

``behaviour.json`` in the campaign's directory: by the run's name ``invalid``, ``hang``, ``exit N``, ``signal N`` or
``unscored``: the test ends well, its scoring does not.
Every start is noted in ``starts.log``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path


def main(config: str, output: str, overwrite: str) -> int:
    run_dir = Path(output)
    campaign, name = run_dir.parents[1], f"{run_dir.parent.name}/{run_dir.name}"
    with (campaign / "starts.log").open("a") as log:
        log.write(f"{name}{' again' if overwrite == 'True' else ''}\n")
    path = campaign / "behaviour.json"
    behaviour = json.loads(path.read_text()).get(name, "") if path.exists() else ""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(Path(config).read_text())
    if behaviour == "hang":
        (campaign / "hanging.pid").write_text(str(os.getpid()))
        time.sleep(600)
    word, _, number = behaviour.partition(" ")
    if word == "signal":
        os.kill(os.getpid(), int(number))
    if word == "exit":
        return int(number)
    logs = {"mlperf_log_detail.txt": ":::MLLOG\n", "mlperf_log_accuracy.json": "[\n]\n"}
    for log_name, text in logs.items():
        (run_dir / log_name).write_text(text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in logs.items()}
    valid = behaviour != "invalid"
    reasons = [] if valid else ["LoadGen says INVALID"]
    result = {"valid": valid, "submittable": valid, "invalid_reasons": reasons, "samples": {"lost": 0}}
    scores = dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len", "gen_num"), 38)
    checks = {"test": "TEST06", "passed": valid, "first_token": True, "eos": True, "sample_length": True}
    result |= {"loadgen": {"errors": 0, "sha256": digests}, "accuracy": scores | {"rouge1": 38.8}, "compliance": checks}
    result |= {"scenario": "offline", "mode": "performance", "benchmark": "datacenter"}
    if behaviour == "unscored":
        result |= {"valid": False, "accuracy": None, "invalid_reasons": ["the accuracy log is not scored yet"]}
    elif run_dir.name == "accuracy":
        (run_dir / "accuracy.json").write_text(json.dumps(scores | {"expected": 38}))
    (run_dir / "session.json").write_text(json.dumps({"outcome": "completed" if valid else "failed"}))
    (run_dir / "result.json").write_text(json.dumps(result | {"tokens_per_second": 1234.5}))
    return 2 if behaviour == "unscored" else 0 if valid else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
