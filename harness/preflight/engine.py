"""Will the engine start, and does it answer as LoadGen and TEST06 need it?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn
from harness.rounds import ROUND
from harness.workers import engine_settings
from mlperf_llama_base import typed
from mlperf_llama_base.errors import HarnessError, UserError
from mlperf_llama_base.source import python_path
from sut import engines

if TYPE_CHECKING:
    from harness.preflight.smoke import Answer, Job

IMPORT_TIMEOUT_S = 60.0
SMOKE_TIMEOUT_S = 900.0
SMOKE_SAMPLES = 4
SMOKE_TOKENS = 32  # enough to see an answer's form, and quick on a CPU


class EngineInstalled(Check):
    """The packages are there and import. The import runs beside the other checks, in a process of its own."""

    name = "engine"

    def __init__(self) -> None:
        self._probe: subprocess.Popen[str] | None = None

    def start(self, context: Context) -> None:
        if not context.engine.engine:
            return  # unknown: run() says so
        module = context.engine.engine.partition(":")[0]
        code = "".join(f"import {name}\n" for name in (*context.engine.packages, module))
        self._probe = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": python_path()},
            stdin=subprocess.DEVNULL,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def run(self, context: Context) -> Finding:
        name = context.config.engine.name
        try:
            engines.check_installed(name)
        except HarnessError as error:
            return fail(str(error), "install it, or choose another --engine")
        if unfit := context.engine.unfit(gpus=len(context.gpus.gpus)):
            return fail(*unfit)
        if self._probe is None:
            self.start(context)
        return self._imported(name)

    def _imported(self, name: str) -> Finding:
        assert self._probe is not None
        try:
            _, errors = self._probe.communicate(timeout=IMPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._probe.kill()
            self._probe.communicate()
            return fail(f"importing engine {name} takes over {IMPORT_TIMEOUT_S:.0f} s", "is the file system slow?")
        if self._probe.returncode:
            last = (errors.strip().splitlines() or [f"exit status {self._probe.returncode}"])[-1]
            return fail(f"engine {name} does not import: {last}", "see the row 'packages'; reinstall the engine")
        return passed(f"{name} imports")


class EngineArguments(Check):
    """The engine has the arguments that it was given, and takes their values."""

    name = "engine arguments"
    of_input = True

    def run(self, context: Context) -> Finding:
        settings = engine_settings(context.config)
        try:
            without_effect = engines.check(settings)
        except UserError as error:
            return fail(str(error), "")
        except HarnessError as error:
            return skipped(str(error))  # not installed: the check 'engine' says so
        advice = "take it out, or install that release"
        return combine(
            [warn(text, advice) for text in without_effect.values()], f"{len(settings.args)} given, all known"
        )


class EngineServer(Check):
    """Somebody listens where the engine's requests are to go."""

    name = "engine server"

    def run(self, context: Context) -> Finding:
        try:
            urls = context.engine.servers(engine_settings(context.config))
        except UserError:
            return skipped("the engine's arguments are wrong")
        if not urls:
            return skipped("the engine runs here")
        return combine([f for f in map(self._ask, urls) if f.status != "pass"], f"{len(urls)} server(s) answer")

    def _ask(self, url: str) -> Finding:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((str(parts.hostname), port), timeout=5).close()
        except OSError as error:
            return fail(f"nobody answers at {url}: {error.strerror or error}", "start the server first")
        return passed("")


class EngineRules(Check):
    """Settings that the benchmark fixes or forbids (mlcommons/inference_policies, inference_rules.adoc)."""

    name = "rules"
    of_input = True

    def run(self, context: Context) -> Finding:
        engine = context.config.engine
        findings = []
        wanted = (ROUND.min_new_tokens, ROUND.max_new_tokens)
        if (engine.min_new_tokens, engine.max_new_tokens) != wanted:
            found = "generates {} to {} tokens, the rules say {} to {}".format(
                engine.min_new_tokens, engine.max_new_tokens, *wanted
            )
            advice = "leave engine.max_new_tokens and min_new_tokens alone"
            findings.append(warn(found, advice, blocks_submission=True))
        for found, advice in context.engine.forbidden(engine.args):
            findings.append(warn(found, advice, blocks_submission=True))
        for found in context.engine.not_submittable:
            findings.append(warn(found, "for tests of the harness only", blocks_submission=True))
        return combine(findings, "1 to 128 new tokens, no prefix caching, no speculative decoding")


class EngineSmoke(Check):
    """Loads the engine in a process of its own and sends it four samples. Minutes with a large model: ``--smoke``."""

    name = "smoke test"

    def run(self, context: Context) -> Finding:
        from harness.preflight.smoke import Job
        from harness.preflight.sources import with_model

        data = context.dataset
        if data is None:
            return skipped("no data set")
        rows = [round(i * (data.count - 1) / (SMOKE_SAMPLES - 1)) for i in range(SMOKE_SAMPLES)]
        settings = engine_settings(with_model(context.config))
        settings.max_new_tokens = min(settings.max_new_tokens, SMOKE_TOKENS)
        job = Job(
            settings=settings,
            prompts=[data.tokens(row).tolist() for row in rows],
            vocab_size=context.model.vocab_size if context.model else None,
        )
        answer = self._asked(job)
        if isinstance(answer, Finding):
            return answer
        if answer.error is not None:
            return fail(answer.error, "fix this first: every worker would fail the same way")
        context.facts["engine"] = msgspec.to_builtins(answer.info)
        if answer.violations:
            return fail("; ".join(answer.violations), "such answers fail TEST06: choose another engine or release")
        lengths = answer.lengths
        return passed(
            f"{len(lengths)} samples answered, {min(lengths)} to {max(lengths)} tokens in {answer.seconds:.1f} s; "
            f"loaded in {answer.load_s:.1f} s"
        )

    def _asked(self, job: Job) -> Answer | Finding:
        """What the engine's process answers to ``job``, or why it does not."""
        from harness.preflight.smoke import Answer

        try:
            done = subprocess.run(
                [sys.executable, "-m", "harness.preflight.smoke"],
                input=msgspec.json.encode(job).decode(),
                capture_output=True,
                text=True,
                timeout=SMOKE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return fail(
                f"no answer to {SMOKE_SAMPLES} samples within {SMOKE_TIMEOUT_S:.0f} s",
                "run with --engine transformers to compare; look at the GPU with nvidia-smi",
            )
        try:
            return typed.from_json(done.stdout.strip().splitlines()[-1], Answer)
        except (IndexError, msgspec.DecodeError):
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return fail(
                f"the engine's process ended with {done.returncode}: {last}",
                "see its output: mlperf-llama bench engine",
            )
