"""What to measure in an hour of a rented card, in the order of its worth: each step a few of our own commands.

Nothing here was measured; it is what to type. A step's rehearsal is the same with the null engine and short runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sut.engines.null import NullArguments

SHAPE = "shape:llama-3.1-8b"
ENGINE_ARGS = "engine.args."
# of the rehearsal's null engine: an H100's steps, ten times as quick, and answers of 16 tokens
NULL = {"step_ms": 0.48, "sequence_us": 3.1, "prefill_us": 1.36, "output_tokens": 16}
START_MINUTES = 1.5  # of an engine whose graphs are compiled already


@dataclass(frozen=True, kw_only=True)
class Step:
    """``minutes``: about, engine start included. ``calls``: arguments of ``mlperf-llama``, one after the other; what
    they leave lies below the step's directory, ``{dir}``. ``served``: a server to be up, at ``{url}``, from call number
    ``serves`` on."""

    name: str
    what: str
    minutes: float
    calls: tuple[tuple[str, ...], ...]
    served: tuple[str, ...] | None = None
    serves: int = 0


@dataclass(frozen=True, kw_only=True)
class Order:
    """``fp8_last_layer``, ``int4``: checkpoints made by ``mlperf-llama calibrate``; without them their levers are left
    out."""

    dataset: Path
    profile: str = "h100-fp8"
    model: str = SHAPE
    fp8_last_layer: str | None = None
    int4: str | None = None
    rehearse: bool = False

    # -- words of a command ---------------------------------------------------------------------------------------

    def _setup(self, *settings: str, model: str | None = None, log: bool = True) -> list[str]:
        """Profile, model, data and settings; of the null engine those that it has."""
        settings = ("engine.args.ignore_eos=true", *(["engine.args.step_log=true"] if log else []), *settings)
        if self.rehearse:
            known = [s for s in settings if _known_to_null(s)]
            settings = (*(f"{ENGINE_ARGS}{name}={value}" for name, value in NULL.items()), *known)
            words = ["--engine", "null"]
        else:
            words = ["--profile", self.profile, "--model", model or self.model]
        words += ["--dataset", str(self.dataset)]
        return words + [word for setting in settings for word in ("--set", setting)]

    def run(
        self, scenario: str, *settings: str, rate: float, seconds: float, to: str = "run", model: str | None = None
    ) -> tuple[str, ...]:
        """LoadGen's test of ``seconds``, at ``rate`` queries or samples a second (SingleStream: ms a query)."""
        seconds = min(seconds, 1.5) if self.rehearse else seconds
        target = "--target-latency-ms" if scenario == "singlestream" else "--target-qps"
        fewest = _fewest(scenario, seconds, rate=rate, rehearse=self.rehearse)
        # the full length is the scenario's own, and stays LoadGen's default
        length = [] if seconds == FULL else ["--set", f"loadgen.min_duration_ms={round(seconds * 1e3)}"]
        words = ["run", "--scenario", scenario, target, f"{rate:g}", *self._setup(*settings, model=model), *fewest]
        return (*words, *length, *_there(to), "--skip-preflight")

    def engine(self, *settings: str, raw: bool = False, model: str | None = None) -> tuple[str, ...]:
        """The data set once through the harness, with the steps' numbers; ``raw``: and through the engine alone."""
        raw_too = "--raw" if raw and not self.rehearse else "--no-raw"
        return ("bench", "engine", raw_too, "--steps", *self._setup(*settings, model=model, log=False), *_there("run"))

    def tune(self, scenario: str) -> tuple[str, ...]:
        short = ["--probe-seconds", "0.5", "--max-probes", "2", "--no-confirm"]
        words = ["tune", "--scenario", scenario, *self._setup(log=False)]
        return (*words, *(short if self.rehearse else []), *_there("run"), "--skip-preflight")


FULL = 600.0
SHORT_S = 60.0  # of an Offline test that is one of two to compare


def _known_to_null(setting: str) -> bool:
    name = setting.partition("=")[0]
    return not name.startswith(ENGINE_ARGS) or name.removeprefix(ENGINE_ARGS) in NullArguments.model_fields


def _there(name: str) -> list[str]:
    return ["--output", f"{{dir}}/{name}", "--overwrite"]


def steps(order: Order) -> list[Step]:
    """All of them, in order."""
    return [*_goals(order), *_levers(order)]


def _goals(order: Order) -> list[Step]:
    """What a card does under LoadGen, and where its time goes."""
    start = order.run("offline", "dataset.limit=64", rate=64, seconds=1)
    offline = order.run("offline", rate=70, seconds=200)
    direct = order.run("offline", rate=70, seconds=SHORT_S, to="direct")
    through = _through_endpoint(order)
    return [
        _step("start-cold", "from nothing to ready, 64 samples, nothing compiled before", 3, start),
        _step("start-warm", "the same with what the first has compiled", START_MINUTES, start),
        _step("ratio", "harness / raw engine, and the steps' numbers, in one call", 4, order.engine(raw=True)),
        _step("offline", "Offline through LoadGen for three minutes", 3.4 + START_MINUTES, offline),
        *(
            _step(
                f"server-{rate:g}",
                f"Server at {rate:g} q/s for 600 s",
                11 + START_MINUTES,
                order.run("server", rate=rate, seconds=FULL),
            )
            for rate in (64.0, 68.0)
        ),
        *(
            _step(
                f"interactive-{rate:g}",
                f"Interactive at {rate:g} q/s for 600 s",
                11 + START_MINUTES,
                order.run("interactive", rate=rate, seconds=FULL),
            )
            for rate in (55.0, 58.0)
        ),
        _step(
            "singlestream",
            "SingleStream",
            1 + START_MINUTES,
            order.run("singlestream", "dataset.limit=90", rate=450, seconds=1),
        ),
        Step(
            name="endpoint",
            what="Offline through LoadGen, then the same through the endpoint",
            minutes=2 + 2 * START_MINUTES,
            calls=(direct, through),
            served=("serve", "--port", "{port}", *order._setup(), *_there("serve")),
            serves=1,
        ),
        _step("tune-interactive", "Interactive's rate, confirmed", 24, order.tune("interactive")),
        _step("tune-server", "Server's rate, confirmed", 24, order.tune("server")),
    ]


def _through_endpoint(order: Order) -> tuple[str, ...]:
    seconds = 1.5 if order.rehearse else SHORT_S
    words = [
        "run",
        "--scenario",
        "offline",
        "--engine",
        "openai",
        "--target-qps",
        "70",
        "--dataset",
        str(order.dataset),
    ]
    settings = ["engine.args.url={url}", "engine.args.max_connections=1024"]
    settings += [f"loadgen.min_duration_ms={round(seconds * 1e3)}"]
    settings += [] if order.rehearse else ["engine.args.extra_body={ignore_eos: true}"]
    words += _fewest("offline", seconds, rate=70, rehearse=order.rehearse)
    return (*words, *(w for s in settings for w in ("--set", s)), *_there("served"), "--skip-preflight")


def _fewest(scenario: str, seconds: float, *, rate: float, rehearse: bool) -> list[str]:
    """The fewest queries, where LoadGen's own number would make a short run longer than was asked."""
    if rehearse or scenario == "singlestream":
        return ["--set", "loadgen.min_query_count=64"]
    short = scenario == "offline" and seconds <= SHORT_S
    return ["--set", f"loadgen.min_query_count={round(rate * seconds)}"] if short else []


def _levers(order: Order) -> list[Step]:
    """One change each against the profile, Offline, with the steps' numbers; the profile itself before and after."""
    together = ("engine.args.mixed_attention=together",)
    whole = (*together, "engine.args.last_layer=all")
    static = f"{SHAPE}-fp8-static"
    fused = "engine.args.compilation_config={pass_config: {fuse_norm_quant: true, fuse_attn_quant: true}}"
    full = "engine.args.compilation_config={cudagraph_mode: FULL}"
    splits = "engine.args.attention_config={flash_attn_max_num_splits_for_cuda_graph: 32}"
    found = [
        _lever(order, "profile", "the profile as it is"),
        _lever(order, "3-flashinfer", "attention by FlashInfer", "engine.args.attention_backend=FLASHINFER", *together),
        _lever(order, "3-splits", "32 splits of the KV cache", splits),
        _lever(
            order,
            "4-deep-gemm",
            "products by DeepGEMM",
            "engine.args.quantization=fp8_per_block",
            "engine.args.fp8_gemm=vllm",
        ),
        _lever(
            order,
            "4-linear-torch",
            "products by vLLM's own torch backend",
            "engine.args.fp8_gemm=vllm",
            "engine.args.linear_backend=torch",
        ),
        _lever(order, "6-static", "static scales (random weights)", model=static),
        _lever(order, "6-fused", "static scales, norm and quantising in one kernel", fused, model=static),
        _lever(order, "7-full-graphs", "CUDA graphs of whole mixed steps", full, *whole),
        *_singlestream_levers(order),
        _lever(order, "7-v2-runner", "vLLM's second model runner", "engine.args.env={VLLM_USE_V2_MODEL_RUNNER: '1'}"),
        *(
            _lever(
                order,
                f"8-{tokens}",
                f"steps of at most {tokens:,} tokens",
                f"engine.args.max_num_batched_tokens={tokens}",
            )
            for tokens in (3584, 4096, 6144)
        ),
    ]
    if order.fp8_last_layer:
        found.append(_lever(order, "5-last-layer", "an FP8 last layer", model=order.fp8_last_layer))
    if order.int4:
        four = order.run("singlestream", "dataset.limit=90", rate=450, seconds=1, model=order.int4)
        found.append(_step("lever-9-int4", "SingleStream with 4-bit weights", 1 + START_MINUTES, four))
    return [*found, _lever(order, "profile-again", "the profile once more")]


def _singlestream_levers(order: Order) -> list[Step]:
    """Products that read little beside the weights, since one sequence decodes."""
    single = partial(order.run, "singlestream", "dataset.limit=90", rate=450, seconds=1)
    all_rows = ("engine.args.fp8_gemm=vllm", "engine.args.last_layer=all")
    marlin = (*all_rows, "engine.args.linear_backend=marlin", "engine.args.env={VLLM_TEST_FORCE_FP8_MARLIN: '1'}")
    found = [
        ("9-single-marlin", "SingleStream, FP8 weights and BF16 activations by Marlin", single(*marlin)),
        ("9-single-w4a16", "SingleStream, 4-bit weights (random)", single(*all_rows, model=f"{SHAPE}-w4a16")),
    ]
    return [_step(f"lever-{name}", what, 1 + START_MINUTES, call) for name, what, call in found]


def _lever(order: Order, name: str, what: str, *settings: str, model: str | None = None) -> Step:
    return _step(f"lever-{name}", what, 0.6 + START_MINUTES, order.engine(*settings, model=model))


def _step(name: str, what: str, minutes: float, *calls: Sequence[str]) -> Step:
    return Step(name=name, what=what, minutes=minutes, calls=tuple(tuple(call) for call in calls))
