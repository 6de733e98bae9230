"""What the document of ``benchmark cluster`` says of a real cluster of two nodes, undisturbed and in trouble.

Minutes each, so only where ``scripts/test_cluster.sh`` asks for it; a node that dies is tested on every change, with an
engine that needs no processor, in ``test_cluster.py``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster_document import VARIANTS, document

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
    pytest.mark.skipif(not os.environ.get("MLPERF_LLAMA_DOCUMENT"), reason="minutes: scripts/test_cluster.sh asks"),
]
COMPILED = ("clock",)
SAID: dict[str, dict[str, tuple[str | None, str]]] = {  # rule -> node that it names, and words of its text
    "undisturbed": {"shared-processors": (None, "node-a and node-b are one machine")},
    "killed": {
        "lost-worker": ("node-b", "was lost"),
        "no-result": ("node-b", "The coordinated benchmark"),
    },
    "killed-coordinated": {"lost-samples": ("node-b", "It broke"), "no-result": ("node-b", "exit code 4")},
    "wrong-model": {"node-unfit": ("node-b", "model files"), "no-result": ("node-b", "model files")},
    "wrong-model-unchecked": {"other-model": (None, "did not run the same model")},
    "clock": {"clocks-apart": ("node-b", "ahead")},
    "half-speed": {
        "throughput-spread": ("node-b", "node-b generates"),
        "latency-spread": ("node-b", "node-b takes"),
    },
}


@pytest.mark.parametrize("name", SAID)
def test_what_the_document_says(tmp_path: Path, name: str) -> None:
    if name in COMPILED and not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    variant, output = VARIANTS[name], tmp_path / "out"
    code, _ = document(output, variant)
    assert code in variant.allowed
    record: dict[str, Any] = json.loads((output / "execution.json").read_text())
    found = {(finding["rule"], finding["node"]): finding["text"] for finding in record["findings"]}
    page = (output / "report.md").read_text()
    for rule, (node, words) in SAID[name].items():
        assert words in found[rule, node], found
        assert found[rule, node].split(":")[0][:40] in page
    if name == "undisturbed":
        assert [part["status"] for part in record["parts"]] == ["not valid", "done", "done"]  # too slow for Server
        assert record["results"][0]["samples_completed"] == record["results"][0]["samples_asked"] == 20
