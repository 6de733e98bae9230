"""An engine developer's way: an engine of docs/engines.md in a folder of its own, two settings, and what differs.

(The metrics that such a run shows, by Prometheus' own library: tests/harness/monitor/test_exporter.py.)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command import ROOT, command
from tests.helpers.rows import rows, write_rows

SHOWN = re.compile(r'```python\n("""echo_engine\.py:.*?)```', re.DOTALL)


@pytest.mark.timeout(240)
def test_contract_two_settings_with_repeats_and_the_comparison(tmp_path: Path) -> None:
    found = SHOWN.search((ROOT / "docs" / "engines.md").read_text(encoding="utf-8"))
    assert found
    (tmp_path / "echo_engine.py").write_text(found[1])
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    words = [sys.executable, "-m", "sut.engines.contract", "echo_engine:Echo"]
    judged = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr

    data = write_rows(tmp_path / "data.json", rows(100))
    base = ("run", "--engine", "echo_engine:Echo", "--dataset", str(data), "--skip-preflight", "--target-qps", "100")
    few = ("--set", "loadgen.min_query_count=100", "--set", "loadgen.min_duration_ms=1")
    for tokens in (8, 16):
        for repeat in range(3):
            out = tmp_path / f"{tokens}-{repeat}"
            setting = ("--set", f"engine.args.tokens={tokens}", "--scenario", "offline", "--output", str(out))
            done = command(*base, *few, *setting, env=env)
            assert done.code == 0, done.out + done.err
    done = command("compare", *(tmp_path / f"{tokens}-{repeat}" for tokens in (8, 16) for repeat in range(3)), "--json")
    assert done.code == 0, done.err
    (comparison,) = json.loads(done.out)
    assert [len(comparison[side]) for side in "ab"] == [3, 3]
    assert "engine.args.tokens" in json.dumps(comparison["settings"])
    assert {figure["name"] for figure in comparison["figures"]} >= {"Throughput"}
