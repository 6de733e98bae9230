"""What becomes of engine arguments before vLLM sees them; needs no vLLM."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlperf_llama_base.errors import UserError
from sut.engines import shapes, vllm_args, vllm_entry, vllm_facts, vllm_release
from sut.messages import EngineSettings
from sut.steps import StepTimes

KNOWN = {
    "model",
    "load_format",
    "enable_prefix_caching",
    "skip_tokenizer_init",
    "disable_log_stats",
    "max_model_len",
    "worker_extension_cls",
    "tensor_parallel_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_dtype",
    "max_cudagraph_capture_size",
    "cudagraph_capture_sizes",
    "compilation_config",
    "enforce_eager",
    "additional_config",
    "speculative_config",
    "seed",
}


def settings(model: str = "shape:llama-3.1-8b", tensor_parallel: int = 1, **args: Any) -> EngineSettings:
    return EngineSettings(name="vllm", model=model, args=args, tensor_parallel=tensor_parallel)


def completed(known: set[str] = KNOWN, cpu: bool = False, **args: Any) -> tuple[dict[str, Any], vllm_args.Plan]:
    plan = vllm_args.split(settings(**args))
    return vllm_args.complete(plan, settings(**args), known=known, cpu=cpu), plan


def test_prefix_caching_is_off_whatever_the_user_says() -> None:
    args, plan = completed(enable_prefix_caching=True)
    assert args["enable_prefix_caching"] is False
    assert plan.overridden == {"enable_prefix_caching": True}


def test_an_argument_of_another_release_is_dropped_and_named() -> None:
    args, plan = completed(override_attention_dtype="fp8", max_num_seqs=7)
    assert args["max_num_seqs"] == 7
    assert "override_attention_dtype" not in args
    assert plan.dropped == ["override_attention_dtype"]
    assert "is known to vLLM 0.26 to 0.27, not to the installed release" in plan.warnings[0]


def test_an_argument_that_no_release_knows_is_refused() -> None:
    with pytest.raises(UserError, match=r"engine\.args\.kv_cache_dtyp is not known .*did you mean 'kv_cache_dtype'"):
        completed(kv_cache_dtyp="fp8")


SOURCE = """
from dataclasses import dataclass

@dataclass
class EngineArgs:
    model: str = "m"
    max_num_seqs: int | None = None
    gpu_memory_utilization: float = CacheConfig.gpu_memory_utilization
    enforce_eager: bool = False
    load_format: str | LoadFormats = "auto"
    seed: int = get_field(ModelConfig, "seed")
    cudagraph_capture_sizes: list[int] | None = (
        CompilationConfig.cudagraph_capture_sizes
    )

    def __post_init__(self):
        self.found: int = 1
"""


def test_arguments_of_a_release_are_read_from_its_source() -> None:
    known = vllm_release.read_arguments(SOURCE)
    assert known == {
        "model": (str,),
        "max_num_seqs": (int,),
        "gpu_memory_utilization": (float,),
        "enforce_eager": (bool,),
        "load_format": (),
        "seed": (int,),
        "cudagraph_capture_sizes": (),
    }
    assert vllm_release.check({"max_num_seqs": 4, "gpu_memory_utilization": 1, "load_format": 3}, known) == {}
    assert list(vllm_release.check({"monokernel": True}, known)) == ["monokernel"]
    with pytest.raises(LookupError):
        vllm_release.read_arguments("class Other: ...")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"max_num_seq": 4}, "engine.args.max_num_seq is not known to engine 'vllm'; did you mean 'max_num_seqs'?"),
        ({"max_num_seqs": "abc"}, "engine.args.max_num_seqs: expected int (got 'abc')"),
        ({"max_num_seqs": True}, "engine.args.max_num_seqs: expected int (got True)"),
        ({"enforce_eager": 1}, "engine.args.enforce_eager: expected bool (got 1)"),
        ({"ignor_eos": True}, "engine.args.ignor_eos is not known to engine 'vllm'; did you mean 'ignore_eos'?"),
    ],
)
def test_what_the_installed_release_does_not_take_is_refused_before_it_is_imported(
    given: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_release, "installed_arguments", lambda: vllm_release.read_arguments(SOURCE))
    with pytest.raises(UserError, match=re.escape(text)):
        vllm_entry.FACTS.check(settings(**given))
    assert vllm_entry.FACTS.check(settings(max_num_seqs=4, step_log=True)) == {}


def test_where_vllm_is_not_installed_its_arguments_are_left_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_release, "installed_arguments", lambda: None)
    assert vllm_entry.FACTS.check(settings("/only/on/the/nodes", max_num_seq=4)) == {}
    with pytest.raises(UserError, match="must be true or false"):
        vllm_entry.FACTS.check(settings(step_log=3))


def test_a_default_unknown_to_the_release_is_dropped_in_silence() -> None:
    args, plan = completed(known=KNOWN - {"cudagraph_capture_sizes"})
    assert "cudagraph_capture_sizes" not in args
    assert plan.warnings == []


@pytest.mark.parametrize(
    ("given", "largest"),
    [
        ({}, 4096),
        ({"max_num_batched_tokens": 2048}, 2048),
        ({"max_num_seqs": 1, "max_num_batched_tokens": 100}, 96),
        ({"max_num_seqs": 8192}, 8192),
    ],
)
def test_cuda_graphs_reach_well_beyond_the_sequences(given: dict[str, Any], largest: int) -> None:
    sizes = completed(**given)[0]["cudagraph_capture_sizes"]
    assert sizes == sorted(set(sizes))
    assert sizes[:4] == [1, 2, 4, 8]
    assert sizes[-1] == largest


@pytest.mark.parametrize("sequences", [64, 512, 1024])
def test_decoding_is_padded_by_less_than_16_sequences(sequences: int) -> None:
    sizes = vllm_args.capture_sizes(sequences=sequences, tokens=8192)
    fine = [0, *(size for size in sizes if size <= sequences)]
    assert fine[-1] == sequences
    assert max(b - a for a, b in itertools.pairwise(fine)) <= 16


@pytest.mark.parametrize(
    "given",
    [
        {"max_cudagraph_capture_size": 768},
        {"cudagraph_capture_sizes": [1, 8]},
        {"compilation_config": {"cudagraph_capture_sizes": [1, 8]}},
        {"enforce_eager": True},
        {"cpu": True},
    ],
)
def test_chosen_sizes_of_cuda_graphs_are_left_alone(given: dict[str, Any]) -> None:
    args, _ = completed(**given)
    assert args.get("cudagraph_capture_sizes") == given.get("cudagraph_capture_sizes")


def test_who_multiplies_travels_where_vllm_hashes_it() -> None:
    args, _ = completed(fp8_gemm="torch", additional_config={"other": 1})
    assert args["additional_config"] == {"other": 1, "fp8_gemm": "torch"}
    assert "additional_config" not in completed(fp8_gemm="vllm")[0]
    with pytest.raises(UserError, match=r"engine\.args\.fp8_gemm must be one of vllm, torch"):
        completed(fp8_gemm="cublas")


def test_tensor_parallel_comes_from_the_worker() -> None:
    plan = vllm_args.split(settings(tensor_parallel=2))
    args = vllm_args.complete(plan, settings(tensor_parallel=2), known=KNOWN, cpu=False)
    assert args["tensor_parallel_size"] == 2


def test_a_checkpoints_own_quantisation_wins(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "compressed-tensors"}}))
    (tmp_path / "model.safetensors").touch()
    given = settings(str(tmp_path), quantization="fp8")
    plan = vllm_args.split(given)
    assert "quantization" not in vllm_args.complete(plan, given, known=KNOWN | {"quantization"}, cpu=False)
    assert "compressed-tensors" in plan.warnings[0]
    args, _ = completed(known=KNOWN | {"quantization"}, quantization="fp8")
    assert args["quantization"] == "fp8"


def test_own_arguments_do_not_reach_vllm() -> None:
    args, plan = completed(ignore_eos=True, multiprocessing=False, env={"VLLM_CPU_KVCACHE_SPACE": 2})
    assert not {"ignore_eos", "multiprocessing", "env"} & set(args)
    assert plan.ignore_eos and plan.multiprocessing is False
    assert plan.environment == {"VLLM_CPU_KVCACHE_SPACE": "2"}
    assert [reason.split(":")[0] for reason in plan.not_submittable] == ["ignore_eos", "load_format dummy"]


@pytest.mark.parametrize("args", [{"ignore_eos": "yes"}, {"multiprocessing": 1}, {"env": ["A=1"]}])
def test_a_wrong_type_is_the_users_error(args: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be"):
        vllm_args.split(settings(**args))


def test_speculative_decoding_is_not_submittable() -> None:
    _, plan = completed(speculative_config={"method": "ngram"})
    assert any(reason.startswith("speculative_config") for reason in plan.not_submittable)


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.26.0", True),
        ("0.33.1", True),
        ("0.32.0+cpu", True),
        ("0.25.9", False),
        ("0.34.0", False),
        ("1.0", False),
        ("dev", False),
    ],
)
def test_unknown_releases_are_warned_of(version: str, known: bool) -> None:
    assert (vllm_args.check_version(version) is None) is known


def test_shapes_hold_the_public_architecture() -> None:
    tree = json.loads((Path(shapes.resolve("shape:llama-3.1-8b")) / "config.json").read_text())
    layer = 2 * tree["hidden_size"] ** 2 + 2 * tree["hidden_size"] * tree["num_key_value_heads"] * tree["head_dim"]
    layer += 3 * tree["hidden_size"] * tree["intermediate_size"] + 2 * tree["hidden_size"]
    total = tree["num_hidden_layers"] * layer + 2 * tree["vocab_size"] * tree["hidden_size"] + tree["hidden_size"]
    assert total == 8_030_261_248  # parameters of Llama-3.1-8B as its model card counts them
    static = json.loads((Path(shapes.resolve("shape:llama-3.1-8b-fp8-static")) / "config.json").read_text())
    assert static.pop("quantization_config")["activation_scheme"] == "static"
    assert static == tree


@pytest.mark.parametrize("model", ["shape:llama-3.1-70b", "/no/such/folder", "no-such-folder", "a/b/c"])
def test_a_model_that_is_not_there(model: str) -> None:
    with pytest.raises(UserError, match=r"not known|no such folder"):
        vllm_args.split(settings(model))


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        vllm_args.split(settings(str(tmp_path)))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no weights"):
        vllm_args.split(settings(str(tmp_path)))
    assert vllm_args.split(settings(str(tmp_path), load_format="dummy")).not_submittable


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "EnvironmentFault"),
        ("Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired", "EnvironmentFault"),
        ("Failed to infer device type", "EnvironmentFault"),
        ("Cannot find any model weights with `/m`", "UserError"),
    ],
)
def test_the_reason_of_a_failed_start_decides_the_family(text: str, family: str) -> None:
    error = vllm_facts.explain(RuntimeError(text), version="0.26.0", log_start=None)
    assert type(error).__name__ == family
    assert text in str(error)
    assert "\n" not in str(error)


def test_a_record_of_the_steps_leaves_no_room_for_another_scheduler() -> None:
    assert vllm_args.split(settings(step_log=True)).step_log
    with pytest.raises(UserError, match=r"leave engine\.args\.scheduler_cls out"):
        completed(step_log=True, scheduler_cls="some.Scheduler")


def test_a_step_time_needs_the_place_of_the_scheduler_too() -> None:
    assert vllm_args.split(settings(step_time_ms=28.5)).step_time_ms == 28.5
    with pytest.raises(UserError, match=r"step_time_ms takes the place"):
        vllm_args.split(settings(step_time_ms=28.5, scheduler_cls="some.Scheduler"))
    for wrong in (0, -1, "28", True):
        with pytest.raises(UserError, match=r"step_time_ms must be a number above 0"):
            vllm_args.split(settings(step_time_ms=wrong))


def test_step_times_are_known_beforehand_in_three_numbers() -> None:
    known = {"a_ms": 4.7, "c_us": 38.9, "p_us": 12.3}
    plan = vllm_args.split(settings(step_time_ms=29, step_times=known, late_after_ms=410))
    assert plan.scheduling() == {
        "MLPERF_LLAMA_STEP_TIME_MS": "29",
        "MLPERF_LLAMA_LATE_AFTER_MS": "410",
        "MLPERF_LLAMA_STEP_TIMES": msgspec.json.encode(StepTimes(a_ms=4.7, c_us=38.9, p_us=12.3)).decode(),
    }
    assert set(vllm_args.split(settings()).scheduling().values()) == {None}
    for wrong in (5, {"a_ms": 4.7}, {**known, "p_us": "12"}, {**known, "a_ms": -1}):
        with pytest.raises(UserError, match=r"engine\.args\.step_times"):
            vllm_args.split(settings(step_times=wrong))


def test_late_prompts_need_the_place_of_the_scheduler_and_its_queue() -> None:
    assert vllm_args.split(settings(late_after_ms=410)).own_scheduler == "late_after_ms"
    with pytest.raises(UserError, match=r"late_after_ms takes the place"):
        vllm_args.split(settings(late_after_ms=410, scheduler_cls="some.Scheduler"))
    with pytest.raises(UserError, match=r"leave engine\.args\.scheduling_policy out"):
        vllm_args.split(settings(late_after_ms=410, scheduling_policy="priority"))
    with pytest.raises(UserError, match=r"late_after_ms must be a number above 0"):
        vllm_args.split(settings(late_after_ms=-1))


def test_prompts_in_one_step_of_so_many_need_the_place_of_the_scheduler() -> None:
    plan = vllm_args.split(settings(prefill_schedule_interval=2))
    assert (plan.own_scheduler, plan.vllm["prefill_schedule_interval"]) == ("prefill_schedule_interval", 2)
    assert vllm_args.split(settings(prefill_schedule_interval=1)).own_scheduler is None
    with pytest.raises(UserError, match=r"prefill_schedule_interval takes the place"):
        vllm_args.split(settings(prefill_schedule_interval=2, scheduler_cls="some.Scheduler"))
    for wrong in (0, 1.5, "2", True):
        with pytest.raises(UserError, match=r"prefill_schedule_interval must be a whole number of steps"):
            vllm_args.split(settings(prefill_schedule_interval=wrong))


@pytest.mark.parametrize(("name", "other"), [("last_layer", "needed"), ("mixed_attention", "apart")])
def test_less_work_is_asked_for_by_name(name: str, other: str) -> None:
    assert getattr(vllm_args.split(settings()), name) != other
    chosen: dict[str, Any] = {name: other}
    assert getattr(vllm_args.split(settings(**chosen)), name) == other
    with pytest.raises(UserError, match=rf"engine\.args\.{name} must be one of"):
        vllm_args.split(settings(**{**chosen, name: "some"}))


def test_the_last_layer_needs_a_model_class_of_ours() -> None:
    overrides = vllm_args.split(settings(last_layer="needed", hf_overrides={"head_dim": 32})).vllm["hf_overrides"]
    assert overrides == {"head_dim": 32, "architectures": ["LastLayerLlamaForCausalLM"]}
