"""``benchmark cluster`` on two nodes of one machine, undisturbed or with an accident, and the document about it.

    python -m tests.integration.cluster_document OUTPUT [VARIANT]      as root; scripts/cluster_document.sh calls it

Every variant is a real Ray cluster in two network namespaces with the demo model, ten samples a node, 32 tokens.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.demo import demo_model
from tests.integration.two_nodes import ROOT, TwoNodes, two_nodes

CALLED = ("node-a", "node-b")
PULSE_S = 0.1  # a worker stands still, then works
PULSES = 10  # before it is looked for new workers
TOKENS = 100  # of 320 that a node makes: its ten samples are one batch, which ends all at once
COMMAND = (
    *("harness", "benchmark", "cluster", "--profile", "cpu-demo", "--workers", "2", "--samples", "10"),
    *("--set", "engine.max_new_tokens=32", "--set", "workers.heartbeat_timeout_s=8"),
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """``meanwhile``: what befalls the nodes; ``around``: a state of the other node; ``skew_ms``: its clock is ahead;
    ``more``: of the command line."""

    meanwhile: Callable[[TwoNodes, Path], None] = lambda nodes, output: None
    around: Callable[[TwoNodes], contextlib.AbstractContextManager[None]] = lambda nodes: contextlib.nullcontext()
    skew_ms: int = 0
    more: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ("offline", "server", "interactive")
    allowed: tuple[int, ...] = (0, 1)


def document(output: Path, variant: Variant, *, limit_s: float = 2200) -> tuple[int, float]:
    """Make two nodes, run the command into ``output``; returns its exit code and the seconds that it took."""
    with contextlib.ExitStack() as stack:
        # Ray's sockets lie in it, whose paths may have no more than 107 characters
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlc")))
        env = skewed_clock(scratch, variant.skew_ms) if variant.skew_ms else {}
        nodes = stack.enter_context(two_nodes(scratch / "ray", cpus=1, called=CALLED, env_of_other=env))
        stack.enter_context(variant.around(nodes))
        rates = [part for name in variant.scenarios for part in ("--target-qps", f"{name}=1")]
        began = time.monotonic()
        process = nodes.head.popen(
            *(sys.executable, "-m", *COMMAND, "--scenarios", ",".join(variant.scenarios), *rates),
            *("--cluster", nodes.address, "--output", str(output), *variant.more),
            shown=True,
        )
        try:
            variant.meanwhile(nodes, output)
            process.wait(timeout=limit_s)
        finally:
            process.kill()
        return process.returncode, time.monotonic() - began


def skewed_clock(folder: Path, ms: int) -> dict[str, str]:
    """The environment of a node whose clock is ahead; made with the C compiler."""
    library = folder / "skew.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, Path(__file__).with_name("skew.c")], check=True)
    return {"LD_PRELOAD": str(library), "SKEW_MS": str(ms)}


def kill_in(*parts: str) -> Callable[[TwoNodes, Path], None]:
    """Kill the other node in the middle of a test of each of these parts; it comes back at once, but for the last."""

    def meanwhile(nodes: TwoNodes, output: Path) -> None:
        for part in parts:
            when_running(nodes, output / part)
            nodes.strike("kill")
            if part != parts[-1]:
                nodes.mend()

    return meanwhile


def when_running(nodes: TwoNodes, folder: Path, *, limit_s: float = 600) -> None:
    """Until a test of the part in ``folder`` is in its middle, not one of a baseline."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if any(_is_under_way(path) for path in [*folder.glob("**/status.json"), *_of_both(nodes)]):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing ran in {folder}")


def _is_under_way(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        status = json.loads(path.read_text())
        return status["phase"] == "running" and status["tokens"] >= TOKENS and "baseline" not in str(path)
    return False


def _of_both(nodes: TwoNodes) -> list[Path]:
    """The state of the other node's LoadGen, where the head has one too: a baseline has one alone."""
    if not nodes.head.commands("harness.session"):
        return []
    return [Path(line.split()[3]) / "status.json" for line in nodes.other.commands("harness.session")]


@contextlib.contextmanager
def half_speed(nodes: TwoNodes) -> Iterator[None]:
    """The other node's workers stand still for half of the time: half as fast however busy the machine is."""
    over = threading.Event()

    def pulse() -> None:
        while not over.is_set():
            workers = nodes.other.pids_of("sut.workers.main")
            for number in (signal.SIGSTOP, signal.SIGCONT) * PULSES:
                for pid in workers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                over.wait(PULSE_S)

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def wrong_model(nodes: TwoNodes) -> Iterator[None]:
    """On the other node another model lies where the demo's is."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "model"
        shutil.copytree(demo_model(), other)
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps(config | {"rope_theta": 1.0e4 + 1}))
        nodes.mend_with_mount(other, demo_model())
        yield


VARIANTS = {
    "undisturbed": Variant(),
    "offline": Variant(scenarios=("offline",)),
    "killed": Variant(meanwhile=kill_in("datacenter", "distributed", "coordinated"), allowed=(1, 4)),
    "killed-coordinated": Variant(meanwhile=kill_in("coordinated"), more=("--only", "coordinated"), allowed=(4,)),
    "wrong-model": Variant(around=wrong_model, allowed=(2, 3)),
    "wrong-model-unchecked": Variant(
        around=wrong_model, more=("--skip-preflight", "--only", "distributed,coordinated"), allowed=(1,)
    ),
    "clock": Variant(skew_ms=400, more=("--only", "distributed,coordinated")),
    "half-speed": Variant(around=half_speed, more=("--only", "distributed,coordinated")),
}


def main(output: Path, name: str = "undisturbed") -> int:
    variant = VARIANTS[name]
    code, seconds = document(output, variant)
    sys.stdout.write(f"{name}: exit code {code} after {seconds:.0f} s\n")
    return 0 if code in variant.allowed else 1


def publish(output: Path, page: Path) -> None:
    """The document as a page of docs/, without the places where this checkout and the runs lie."""
    text = (output / "report.md").read_text().replace(f"{output.resolve().parent}/", "runs/")
    for place in (ROOT, demo_model().resolve().parents[1]):
        text = text.replace(f"{place}/", "")
    head = "<!-- made by scripts/cluster_document.sh: a real run, without the places of checkout and runs -->\n\n"
    page.write_text(head + text)


if __name__ == "__main__":
    if sys.argv[1] == "--publish":
        publish(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
