"""MLPerf Inference v6.1, Llama-3.1-8B-Instruct. Nothing here is a choice of this project.

Sources: mlcommons/inference ``loadgen/mlperf.conf`` (mlperf.conf below), ``compliance/TEST06/audit.config`` and
``tools/submission/submission_checker/constants.py`` (constants.py); mlcommons/inference_policies
``inference_rules.adoc``.
"""

from __future__ import annotations

from harness.rounds.base import BenchmarkRules, Limits, Round, Target


def _targets(*, rouge1: float, rouge2: float, rouge_l: float, rouge_lsum: float, gen_len: int) -> dict[str, Target]:
    """99 % of the reference's ROUGE, and 90 to 110 % of its characters (constants.py)."""
    rouge = {"rouge1": rouge1, "rouge2": rouge2, "rougeL": rouge_l, "rougeLsum": rouge_lsum}
    targets = {name: Target(reference=value, minimum=round(value * 0.99, 6)) for name, value in rouge.items()}
    return targets | {"gen_len": Target(reference=gen_len, minimum=gen_len * 0.9, maximum=gen_len * 1.1)}


DATACENTER = BenchmarkRules(
    directory="llama3.1-8b",
    aliases=("llama3_1-8b",),  # constants.py, models and model_mapping
    samples=13368,  # mlperf.conf, performance_sample_count_override; constants.py, dataset-size
    required=("offline",),  # constants.py, required-scenarios-* and optional-scenarios-*
    one_of=("server", "interactive"),
    models={"offline": "llama3_1-8b", "server": "llama3_1-8b", "interactive": "llama3_1-8b-interactive"},
    # constants.py, accuracy-target and accuracy-upper-limit
    targets=_targets(rouge1=38.7792, rouge2=15.9075, rouge_l=24.4957, rouge_lsum=35.793, gen_len=8167644),
    test06=True,  # constants.py, models_TEST06
)
EDGE = BenchmarkRules(
    directory="llama3.1-8b-edge",
    aliases=("llama3_1-8b-edge",),
    samples=5000,
    required=("singlestream", "offline"),
    one_of=(),
    models={"singlestream": "llama3_1-8b-edge", "offline": "llama3_1-8b-edge"},
    targets=_targets(rouge1=39.06, rouge2=16.1147, rouge_l=24.6375, rouge_lsum=36.124, gen_len=3051113),
    test06=False,
)
BOTH = {  # constants.py, required-scenarios-*
    "3d-unet-99",
    "3d-unet-99.9",
    "whisper",
}
OF_DATACENTER = BOTH | {"llama2-70b-99.9", "rgat", "deepseek-r1", "gpt-oss-120b", "qwen3-vl-235b-a22b", "dlrm-v3"}
OF_EDGE = BOTH | {"resnet", "bert-99", "bert-99.9", "stable-diffusion-xl", "yolo-95", "yolo-99", "qwen3.6-27b"}
ROUND = Round(
    version="v6.1",
    min_loadgen=(6, 0, 16),  # v6.1 seed commit b0662794; README.md of mlcommons/inference
    seeds={  # mlperf.conf; performance_check.py compares them
        "effective_qsl_rng_seed": 2085463073848966840,
        "effective_sample_index_rng_seed": 2747215439041700203,
        "effective_schedule_rng_seed": 16159082839903944936,
    },
    min_duration_ms=600_000,  # mlperf.conf, *.{Offline,Server,SingleStream}.min_duration
    min_queries=100,  # loadgen/test_settings.h, min_query_count
    min_new_tokens=1,  # inference_rules.adoc, generation lengths of llama3.1-8b
    max_new_tokens=128,
    limits_ns={  # mlperf.conf, Server.ttft_latency and Server.tpot_latency
        "server": Limits(ttft=2_000_000_000, tpot=100_000_000),
        "interactive": Limits(ttft=500_000_000, tpot=30_000_000),
    },
    percentiles={"Server": 0.99, "SingleStream": 0.9},  # mlperf.conf, target_latency_percentile
    max_target_latency_ns=20_000_000_000,  # constants.py, latency-constraint of Server
    audit_settings={  # compliance/TEST06/audit.config; mode 2 is PerformanceOnly
        "mode": 2,
        "accuracy_log_rng_seed": 720381539243781796,
        "accuracy_log_sampling_target": 100,
        "min_query_count": 100,
        "min_duration": 0,
        "sample_concatenate_permutation": 0,
    },
    benchmarks={"datacenter": DATACENTER, "edge": EDGE},
    others={
        "datacenter": frozenset(OF_DATACENTER | {"wan-2.2-t2v-a14b", "e2e-rag-qna", "e2e-rag-db"}),
        "edge": frozenset(OF_EDGE),
        "datacenter,edge": frozenset(OF_DATACENTER | OF_EDGE),
        "edge,datacenter": frozenset(OF_DATACENTER | OF_EDGE),
    },
    guesses={  # constants.py, model_mapping; configuration.py, get_mlperf_model
        "mobilenet": "resnet",
        "efficientnet": "resnet",
        "resnet50": "resnet",
        "bert-99.9": "bert-99.9",
        "bert-99": "bert-99",
    },
)
