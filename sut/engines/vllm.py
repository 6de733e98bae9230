"""The fast engine: vLLM's own core, fed with token ids and read without its output processor.

``LLMEngine`` gives the configuration, the input processing and the client of the core. What follows it there
(detokeniser, request states, one output object a request and step) is left out: on the way from the core to LoadGen
there is one dictionary look-up and one list extension for each token. vLLM's core reports a new token of every running
request at each step; all of that stays inside this process.

With the core in a process of its own (default on a GPU) a request goes straight to the core's socket, from whichever
thread, also while a step runs: ``concurrent``. In one process (default on a CPU, where two processes would fight for
the cores) ``poll`` runs the step.
"""

from __future__ import annotations

import inspect
import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from mlperf_llama_base.scratch import ScratchFolder
from sut.engines import (
    vllm_args,
    vllm_attention,
    vllm_entry,
    vllm_facts,
    vllm_launches,
    vllm_models,
    vllm_start,
    vllm_states,
    vllm_step_log,
)
from sut.engines.base import Engine, IntArray
from sut.engines.vllm_requests import Templates
from sut.messages import HONOURS, Completion, EngineInfo, EngineSettings, Event, Failure, FirstToken, Request, Tokens

logger = logging.getLogger(__name__)

# vLLM's client does not wake a blocked reader when the core is killed: look at it this often.
LIVENESS_S = 0.25
FINISHED_WELL = (0, 1, 4)  # FinishReason STOP, LENGTH, REPETITION (vllm/v1/engine/__init__.py)


class VllmEngine(Engine):
    """vLLM 0.26 to 0.33, on any device it was built for. Arguments: see :mod:`sut.engines.vllm_args`."""

    facts = vllm_entry.FACTS

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self._llm: Any = None
        self._core: Any = None
        self._templates: Templates
        self._streams: set[str] = set()
        self._answers: dict[str, list[int]] = {}
        self._refused: list[Failure] = []
        self._lock = threading.Lock()
        self._broken: str | None = None
        self._state: Path | None = None
        self._baseline: dict[str, int] = {}
        self._watched = True
        self._step_log = False
        self._first_steps = vllm_step_log.StepLog()
        self._max_prompt = self._vocab = self._capacity = 0

    def load(self) -> EngineInfo:
        clock = vllm_start.Clock()
        plan = vllm_args.split(self.settings)
        vllm_args.set_environment(plan)
        version, cpu = self._platform()
        clock.lap("import")
        if warning := vllm_args.check_version(version):
            plan.warnings.append(warning)
        self.concurrent = vllm_args.own_process(plan, cpu=cpu)
        config = self._configure(plan, version=version, cpu=cpu)
        told = len(plan.warnings)
        for warning in plan.warnings:
            logger.warning(warning)
        clock.lap("configuration")
        self._start(config, version=version)
        params = self._prepare(plan)
        workers = self._llm.collective_rpc("mlperf_llama_describe") if self._watched else []
        info = vllm_facts.engine_facts(
            config=config, settings=self.settings, plan=plan, version=version, params=params, workers=workers
        )
        for warning in plan.warnings[told:]:
            logger.warning(warning)
        self._max_prompt, self._vocab = info.max_prompt_tokens or 0, info.vocab_size or 0
        self._capacity = info.capacity
        info.facts["own_process"] = self.concurrent
        info.honours = list(HONOURS)
        clock.lap("core")
        info.facts["start_s"] = clock.parts(core="core", of_worker=info.facts.get("start_s", {}))
        logger.info("start: %s", vllm_start.in_words(info.facts["start_s"]))
        return info

    def _platform(self) -> tuple[str, bool]:
        """Import vLLM; return its version and whether it runs on the CPU."""
        try:
            import vllm
            from vllm.platforms import current_platform
        except (ImportError, OSError, RuntimeError) as error:
            raise EnvironmentFault(f"vLLM cannot be imported: {vllm_facts.one_line(error)}; reinstall it") from error
        cpu, wanted = current_platform.is_cpu(), self.settings.device
        if not cpu and not current_platform.is_cuda_alike():
            raise EnvironmentFault(
                f"vLLM {vllm.__version__} sees no device: check the GPU's driver, or install vLLM's CPU build"
            )
        if wanted in ("cpu", "cuda") and cpu != (wanted == "cpu"):
            raise EnvironmentFault(
                f"engine.device={wanted}, but the installed vLLM {vllm.__version__} runs on "
                f"{'cpu' if cpu else 'cuda'}: install the other build, or set engine.device=auto"
            )
        if cpu:
            for name, value in vllm_args.CPU_ENVIRONMENT.items():
                os.environ.setdefault(name, value)
        return str(vllm.__version__), bool(cpu)

    def _configure(self, plan: vllm_args.Plan, *, version: str, cpu: bool) -> Any:
        from vllm.engine.arg_utils import EngineArgs
        from vllm.usage.usage_lib import UsageContext

        args = vllm_args.for_installed(plan, self.settings, cpu=cpu)
        vllm_models.register()
        vllm_attention.register()
        self._watched = args.get("worker_extension_cls") == vllm_args.FORCED["worker_extension_cls"]
        try:
            config = EngineArgs(**args).create_engine_config(UsageContext.LLM_CLASS)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            AssertionError,
            NotImplementedError,
            OSError,
            RuntimeError,
            ImportError,
        ) as error:
            cause = vllm_facts.one_line(error)
            if vllm_facts.DEVICE.search(cause):
                raise vllm_facts.explain(error, version=version, log_start=None) from error
            raise UserError(
                f"vLLM {version} rejects the model or an engine argument: {cause}; "
                f"model {args['model']}, arguments {sorted(plan.vllm)}"
            ) from error
        self._step_log = plan.own_scheduler is not None
        if self._step_log:
            name = "AsyncSteps" if config.scheduler_config.async_scheduling else "Steps"
            config.scheduler_config.scheduler_cls = f"sut.engines.vllm_steps.{name}"
        for variable, value in plan.scheduling().items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
        return config

    def _start(self, config: Any, *, version: str) -> None:
        from vllm.v1.engine.llm_engine import LLMEngine

        self._folder = ScratchFolder("engine")
        self._state = self._folder.path
        os.environ["MLPERF_LLAMA_ENGINE_OWNER"] = str(os.getpid())
        os.environ["MLPERF_LLAMA_ENGINE_STATE"] = str(self._state)
        log_start = vllm_facts.log_position()
        try:
            self._llm = LLMEngine.from_vllm_config(config, disable_log_stats=True)
        except Exception as error:
            self.close()
            raise vllm_facts.explain(error, version=version, log_start=log_start) from error
        self._core = self._llm.engine_core
        if self.concurrent and not hasattr(self._core, "outputs_queue"):
            raise EnvironmentFault(
                f"vLLM {version}: its client has no outputs_queue; use a release from 0.26 to 0.33, "
                "or --set engine.args.multiprocessing=false"
            )

    def _prepare(self, plan: vllm_args.Plan) -> Any:
        """Let vLLM process one request, which becomes the template of all: same parameters, same stop tokens.

        Returns its parameters.
        """
        usual = self._processed(ignore_eos=plan.ignore_eos)
        self._templates = Templates(usual, self._processed(ignore_eos=True))
        return usual.sampling_params

    def _processed(self, *, ignore_eos: bool) -> Any:
        from vllm import SamplingParams

        settings = self.settings
        params = SamplingParams(
            temperature=0.0,
            max_tokens=settings.max_new_tokens,
            min_tokens=settings.min_new_tokens,
            ignore_eos=ignore_eos,
            detokenize=False,
        )
        processor = getattr(self._llm, "input_processor", None) or self._llm.processor
        arguments: dict[str, Any] = {"request_id": "template", "prompt": {"prompt_token_ids": [1]}, "params": params}
        if "supported_tasks" in inspect.signature(processor.process_inputs).parameters:
            arguments["supported_tasks"] = self._llm.get_supported_tasks()
        return processor.process_inputs(**arguments)

    def warm_up(self, prompts: Sequence[IntArray]) -> None:
        super().warm_up(prompts)
        self._baseline = self._told.compilations(newer_than=time.time())
        self._first_steps = self._steps()

    def submit(self, requests: Sequence[Request]) -> None:
        now = time.time()
        with self._lock:
            for request in requests:
                prompt = np.frombuffer(request.tokens, dtype="<i4")
                if problem := self._problem(prompt, request):
                    self._refused.append(Failure(request.id, problem))
                    continue
                key = str(request.id)
                self._answers[key] = []
                if request.limits is not None and request.limits.stream:
                    self._streams.add(key)
                self._send(self._templates.new(request, prompt.tolist(), now))
            wake = bool(self._refused)
        if wake and self.concurrent:
            self._core.outputs_queue.put_nowait(None)

    def cancel(self, ids: Sequence[int]) -> None:
        with self._lock:
            keys = [key for key in map(str, ids) if self._answers.pop(key, None) is not None]
            self._streams.difference_update(keys)
            self._refused += [Failure(int(key), "cancelled") for key in keys]
            self._core.abort_requests(keys)
        if keys and self.concurrent:
            self._core.outputs_queue.put_nowait(None)

    def _problem(self, prompt: IntArray, request: Request) -> str | None:
        """Refuse what vLLM would cut short or crash on: a token outside the vocabulary ends the whole CUDA context."""
        most = self.settings.max_new_tokens if request.limits is None else request.limits.max_tokens
        room = self._max_prompt + self.settings.max_new_tokens - most
        if not 0 < len(prompt) <= room:
            return (
                f"prompt of {len(prompt)} tokens: this engine takes 1 to {room} "
                "(engine.args.max_model_len less engine.max_new_tokens)"
            )
        if prompt.min() < 0 or prompt.max() >= self._vocab:
            return f"prompt with a token id outside the vocabulary of {self._vocab}"
        return None

    def _send(self, request: Any) -> None:
        try:
            self._core.add_request(request)
        except Exception as error:  # noqa: BLE001  # poll is the one place that reports a broken engine
            self._broken = self._broken or vllm_facts.one_line(error)
            if self.concurrent:
                self._core.outputs_queue.put_nowait(None)

    def poll(self, timeout_s: float) -> list[Event]:
        return self._wait(timeout_s) if self.concurrent else self._step()

    def _step(self) -> list[Event]:
        events = self._take_refused()
        self._check_alive()
        if self._answers:
            try:
                outputs = self._core.get_output()
            except Exception as error:
                self._broken = vllm_facts.one_line(error)
                raise RunError(f"vLLM's engine failed: {self._broken}; see the worker's log") from error
            self._absorb(outputs.outputs, events)
        return events

    def _wait(self, timeout_s: float) -> list[Event]:
        deadline = time.monotonic() + timeout_s
        events: list[Event] = []
        outputs = self._core.outputs_queue
        while True:
            left = 0.0 if events else min(deadline - time.monotonic(), LIVENESS_S)
            try:
                item = outputs.get(timeout=left) if left > 0 else outputs.get_nowait()
            except queue.Empty:
                self._check_alive()
                if events or time.monotonic() >= deadline:
                    return events
                continue
            if item is None:
                events += self._take_refused()
                self._check_alive()
            elif isinstance(item, Exception):
                self._broken = vllm_facts.one_line(item)
                self._check_alive()
            else:
                self._absorb(item.outputs, events)

    def _absorb(self, outputs: list[Any], events: list[Event]) -> None:
        """Take in one step of the core: at most one output for each running request."""
        self.steps += 1
        answers, streams, first_tokens = self._answers, self._streams, self.settings.first_tokens
        for output in outputs:
            key = output.request_id
            answer = answers.get(key)
            if answer is None:
                continue
            new = output.new_token_ids
            self.generated += len(new)
            if first_tokens and not answer and new:
                events.append(FirstToken(int(key), _packed(new[:1])))
                new = new[1:]
            if new and key in streams and output.finish_reason is None:
                events.append(Tokens(int(key), _packed(new)))
            answer += output.new_token_ids
            if output.finish_reason is not None:
                if answers.pop(key, None) is None:
                    continue  # cancelled at this moment
                streams.discard(key)
                if output.finish_reason in FINISHED_WELL:
                    events.append(Completion(int(key), _packed(answer)))
                else:
                    events.append(Failure(int(key), f"vLLM ended the request: {output.finish_reason!s}"))

    def _take_refused(self) -> list[Event]:
        with self._lock:
            refused, self._refused = self._refused, []
        return list(refused)

    def _check_alive(self) -> None:
        if self._broken is None and self.concurrent and self._core.resources.engine_dead:
            self._broken = "its core process has ended"
        if self._broken is not None:
            raise RunError(f"vLLM's engine is dead: {self._broken}; see the worker's log")

    @property
    def outstanding(self) -> int:
        return len(self._answers) + len(self._refused)

    @property
    def running(self) -> int:
        return min(len(self._answers), self._capacity)

    def live_facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"compilations_after_warm_up": None}
        if self._watched:
            now = self._told.compilations()
            grown = {k: n - self._baseline.get(k, 0) for k, n in now.items() if n > self._baseline.get(k, 0)}
            facts = {"compilations_after_warm_up": sum(grown.values()), "compiled_after_warm_up": grown}
            facts["launches"] = vllm_launches.facts(self._told.launches())
        if self._step_log:
            facts |= vllm_step_log.facts(self._steps(), self._first_steps)
        return facts

    def _steps(self) -> vllm_step_log.StepLog:
        if not self._step_log or self._state is None:
            return vllm_step_log.StepLog()
        return vllm_step_log.read(self._state)

    @property
    def _told(self) -> vllm_states.States:
        return vllm_states.States(self._state, own_process=self.concurrent, watched=self._watched)

    def close(self) -> None:
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.engine_core.shutdown()
        if self._state is not None:
            self._folder.remove()
            self._state = None


def _packed(tokens: Sequence[int]) -> bytes:
    return np.array(tokens, dtype="<i4").tobytes()
