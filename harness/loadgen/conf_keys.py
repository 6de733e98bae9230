"""The keys that LoadGen looks up in a user.conf, what it makes of their values, and who may set them.

From mlcommons/inference, loadgen/test_settings_internal.cc (FromConfig) and loadgen/mlperf.conf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.loadgen.conf_parser import MASK, Assignment, Conf, c_double, c_integer
from harness.rounds import ROUND

MODELS = ROUND.models
SCENARIOS = ("Offline", "Server", "SingleStream", "MultiStream")
# Other benchmarks' names in mlperf.conf: lines for them are somebody else's and harmless.
OTHER_MODELS = frozenset(
    {
        "resnet50",
        "ssd-mobilenet",
        "retinanet",
        "bert",
        "dlrm",
        "dlrm-v2",
        "dlrm-v3",
        "rnnt",
        "gptj",
        "mixtral-8x7b",
        "llama2-70b",
        "llama2-70b-interactive",
        "llama3_1-405b",
        "llama3_1-405b-interactive",
        "stable-diffusion-xl",
        "wan-2.2-t2v-a14b",
        "rgat",
        "pointpainting",
        "deepseek-r1",
        "deepseek-r1-interactive",
        "whisper",
        "qwen3-vl-235b-a22b",
        "yolo",
        "3d-unet",
        "gpt-oss-120b",
        "gpt-oss-120b-interactive",
    }
)
# Lines of LoadGen's own mlperf.conf that it never looks up
DEAD_LINES = frozenset({"Offline.target_latency_percentile", "Server.target_duration"})


def is_elsewhere(key: str) -> bool:
    """Whether ``key``, as far as it stands in a line, is another benchmark's (``gptj-99.Offline.target_qps``)."""
    return any(key.startswith((f"{name}.", f"{name}-99.")) for name in OTHER_MODELS)


class Use(StrEnum):
    FREE = "may be set"
    OPEN = "changes a limit of the benchmark: open division only"
    AUDIT = "belongs in audit.config, not in user.conf"
    EMBEDDED = "is read from LoadGen's embedded mlperf.conf only, this line has no effect"


class Kind(StrEnum):
    INTEGER = "integer"
    NUMBER = "number"
    ONE = "true if 1"
    NONZERO = "true if not 0"


@dataclass(frozen=True)
class Key:
    """``field``: attribute of TestSettings; ``only``: the one scenario it is looked up under (None: the run's)."""

    name: str
    field: str
    kind: Kind
    use: Use = Use.FREE
    only: str | None = None
    scale: float = 1.0

    def value(self, text: str) -> int | float | bool:
        """What LoadGen makes of ``text``."""
        if self.kind is Kind.NUMBER:
            return c_double(text)[0] * self.scale
        number = c_integer(text)[0]
        if self.kind is Kind.ONE:
            return number == 1
        return number != 0 if self.kind is Kind.NONZERO else (number * int(self.scale)) & MASK


KEYS = (
    Key("target_qps", "offline_expected_qps", Kind.NUMBER, only="Offline"),
    Key("target_qps", "server_target_qps", Kind.NUMBER, only="Server"),
    Key("target_latency", "single_stream_expected_latency_ns", Kind.NUMBER, only="SingleStream", scale=1e6),
    Key("target_latency", "multi_stream_expected_latency_ns", Kind.NUMBER, only="MultiStream", scale=1e6),
    Key("min_duration", "min_duration_ms", Kind.INTEGER),
    Key("max_duration", "max_duration_ms", Kind.INTEGER),
    Key("min_query_count", "min_query_count", Kind.INTEGER),
    Key("max_query_count", "max_query_count", Kind.INTEGER),
    Key("performance_sample_count_override", "performance_sample_count_override", Kind.INTEGER),
    Key("accuracy_sample_count_override", "accuracy_sample_count_override", Kind.INTEGER, Use.OPEN),
    Key("sample_concatenate_permutation", "sample_concatenate_permutation", Kind.ONE),
    Key("coalesce_queries", "server_coalesce_queries", Kind.NONZERO, only="Server"),
    Key("max_async_queries", "server_max_async_queries", Kind.INTEGER, only="Server"),
    Key("print_timestamps", "print_timestamps", Kind.NONZERO),
    Key("use_token_latencies", "use_token_latencies", Kind.ONE, Use.OPEN),
    Key("infer_token_latencies", "infer_token_latencies", Kind.ONE, Use.OPEN),
    Key("token_latency_scaling_factor", "token_latency_scaling_factor", Kind.INTEGER, Use.OPEN),
    Key("ttft_latency", "ttft_latency", Kind.INTEGER, Use.OPEN, "Server", 1e6),
    Key("tpot_latency", "tpot_latency", Kind.INTEGER, Use.OPEN, "Server", 1e6),
    Key("target_latency", "server_target_latency_ns", Kind.INTEGER, Use.OPEN, "Server", 1e6),
    Key(
        "target_latency_percentile",
        "single_stream_target_latency_percentile",
        Kind.NUMBER,
        Use.OPEN,
        "SingleStream",
        0.01,
    ),
    Key(
        "target_latency_percentile",
        "multi_stream_target_latency_percentile",
        Kind.NUMBER,
        Use.OPEN,
        "MultiStream",
        0.01,
    ),
    Key("target_latency_percentile", "server_target_latency_percentile", Kind.NUMBER, Use.OPEN, "Server", 0.01),
    Key("samples_per_query", "multi_stream_samples_per_query", Kind.INTEGER, Use.OPEN, "MultiStream"),
    Key("performance_issue_unique", "performance_issue_unique", Kind.NONZERO, Use.AUDIT),
    Key("performance_issue_same", "performance_issue_same", Kind.NONZERO, Use.AUDIT),
    Key("performance_issue_same_index", "performance_issue_same_index", Kind.INTEGER, Use.AUDIT),
    Key("accuracy_log_rng_seed", "accuracy_log_rng_seed", Kind.INTEGER, Use.AUDIT),
    Key("accuracy_log_sampling_target", "accuracy_log_sampling_target", Kind.INTEGER, Use.AUDIT),
    Key("mode", "mode", Kind.INTEGER, Use.AUDIT),
    *(
        Key(name, name, Kind.INTEGER, Use.EMBEDDED)
        for name in (
            "qsl_rng_seed",
            "sample_index_rng_seed",
            "schedule_rng_seed",
            "accuracy_log_probability",
            "test05",
            "test05_qsl_rng_seed",
            "test05_sample_index_rng_seed",
            "test05_schedule_rng_seed",
        )
    ),
)
NAMES = frozenset(key.name for key in KEYS)


def in_effect(conf: Conf, *, model: str, scenario: str) -> Iterator[tuple[Key, Assignment, int | float | bool]]:
    """What ``conf`` sets for this model and scenario: the key, the line that counts and the value.

    Settings of other scenarios that LoadGen would fill too (Server's while Offline runs, for instance) are left out.
    """
    if conf.errors:
        return
    for key in KEYS:
        if key.use is Use.EMBEDDED or key.only not in (None, scenario):
            continue
        found = conf.lookup(model=model, scenario=key.only or scenario, name=key.name)
        if found:
            yield key, found, key.value(found.value)
