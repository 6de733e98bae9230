"""What a user can say about the transformers engine, and what the harness must know of it. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sut.engines.facts import Arguments, EngineFacts


class TransformersArguments(Arguments):
    """``engine.args`` of the transformers engine."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format. auto: the checkpoint's on CUDA; float32 on a CPU (a sample's tokens then do not "
        "depend on its batch, and not every CPU computes in bfloat16)",
    )
    attn_implementation: Literal["sdpa", "eager"] = Field("sdpa", description="Attention kernels")
    max_batch: int | None = Field(None, ge=1, description="Requests decoded together; none: 16 on a CPU, 64 on CUDA")
    threads: int | None = Field(None, ge=1, description="Threads of torch; none: torch's choice")
    revision: str | None = Field(None, description="Revision of a model on the hub")


FACTS = EngineFacts(
    engine="sut.engines.transformers:TransformersEngine",
    packages=("torch", "transformers"),
    prefers_merged_weights=True,
    arguments=TransformersArguments,
)
