"""Is the model there, whole, and the benchmark's?"""

from __future__ import annotations

from pathlib import Path

from harness.accuracy.decode import load_decoder
from harness.config import Mode
from harness.inventory.model import HUB_ID, HUB_REVISION, TOKENIZER_FILES, inspect_model
from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn
from harness.preflight.sources import FastTokenizer, locate, uses_model
from mlperf_llama_base.errors import HarnessError

GIVE_TOKENIZER = "copy tokenizer.json and tokenizer_config.json, or give --tokenizer"


class ModelFiles(Check):
    """Config, index and shards complete."""

    name = "model files"
    of_input = True

    def run(self, context: Context) -> Finding:
        config = context.config
        if not uses_model(config):
            return skipped(f"engine {config.engine.name} has no model here")
        model = context.model
        if model is None:
            if config.model.path is None:
                return warn("the demo model is not prepared yet", "the first run makes it (93 MB download)")
            if config.model.path.count("/") == 1 and not config.model.path.startswith((".", "~", "/")):
                found = f"{config.model.path} is not in the local Hugging Face cache: a worker would download it"
                return warn(found, f"hf download {config.model.path}")
            return fail(f"model folder {config.model.path} does not exist", "give a folder or a hub id with --model")
        dummy = context.engine.random_weights(config.engine.args) or str(config.model.path).startswith("shape:")
        problems = [p for p in model.problems if not (dummy and "no weights" in p)]
        if problems and not Path(str(config.model.path)).exists() and config.model.path is not None:
            advice = f"hf download {config.model.path}"
            return warn(f"the local Hugging Face cache holds only a part of {config.model.path}: {problems[0]}", advice)
        context.facts["model"] = {
            "fingerprint": model.fingerprint,
            "weight_bytes": model.weight_bytes,
            "revision": None,
        }
        findings = [fail(problem, f"look into {model.path}: copy or download it again") for problem in problems]
        if model.stale_index:
            judged = warn if context.engine.prefers_merged_weights else fail
            findings.append(judged(model.stale_index, f"remove the index from {model.path}"))
        return combine(
            findings,
            f"{model.shards} weight file(s), {model.weight_bytes / 2**30:.2f} GiB, config.json complete",
        )


class ModelIdentity(Check):
    """The architecture of Llama 3.1 8B, and a known revision."""

    name = "model identity"
    of_input = True

    def run(self, context: Context) -> Finding:
        if context.model is None:
            return skipped("no model folder")
        try:
            info = inspect_model(str(context.model.path), revision=context.config.model.revision)
        except HarnessError as error:
            return fail(str(error), "")
        revision = info.revision or recorded_revision(context.model.path)
        context.facts.setdefault("model", {})["revision"] = revision
        findings = []
        if not info.is_llama_3_1_8b:
            advice = "runs, but no result made with it can be submitted"
            more = f" (and {len(info.reasons) - 1} more differences)" if len(info.reasons) > 1 else ""
            found = f"not a Llama 3.1 8B: {info.reasons[0]}{more}"
            findings.append(warn(found, advice, blocks_submission=True))
        elif revision is None:
            advice = f"download it with 'hf download', which records it; the reference is {HUB_REVISION[:12]}"
            findings.append(warn("the revision of the model is unknown", advice))
        elif not revision.startswith(HUB_REVISION[:12]):
            findings.append(
                warn(
                    f"revision {revision[:12]}, the reference uses {HUB_REVISION[:12]}",
                    f"hf download --revision {HUB_REVISION} {HUB_ID}",
                )
            )
        return combine(findings, f"Llama 3.1 8B, revision {str(revision)[:12]}")


def recorded_revision(folder: Path) -> str | None:
    """The commit that ``hf download --local-dir`` noted beside the files, or None."""
    try:
        lines = (folder / ".cache" / "huggingface" / "download" / "config.json.metadata").read_text().splitlines()
    except OSError:
        return None
    return lines[0] if lines and len(lines[0]) == 40 else None


class ModelTokenizer(Check):
    """A tokenizer is there, and has the model's vocabulary."""

    name = "tokenizer"
    of_input = True

    def run(self, context: Context) -> Finding:
        model, tokenizer = context.model, context.tokenizer
        if tokenizer is None and context.config.mode is Mode.ACCURACY:
            return self._to_score_with(context)
        config, size = context.config, tokenizer.vocab_size if isinstance(tokenizer, FastTokenizer) else None
        largest = context.engine.largest_answer_id(config.engine.args)
        if config.mode is Mode.ACCURACY and size is not None and largest is not None and largest >= size:
            return fail(
                f"engine {config.engine.name} answers with token id {largest}, and the tokenizer that is to score the "
                f"answers has {size:,} ids",
                "give the tokenizer that it answers for (Llama 3's), or an id of this one with --set "
                "engine.args.eos_token_id=ID",
            )
        if model is None:
            return skipped("no model folder")
        if tokenizer is None:
            return warn("no tokenizer.json with the model", f"scoring the accuracy needs it: {GIVE_TOKENIZER}")
        if model.vocab_size is None or size is None:
            return passed("there")
        if size > model.vocab_size:
            return fail(
                f"the tokenizer has {size:,} ids, the model {model.vocab_size:,}",
                "they do not belong together: copy the model's own tokenizer",
            )
        if size < 0.95 * model.vocab_size:
            return fail(
                f"the tokenizer has {size:,} ids, far fewer than the model's {model.vocab_size:,}",
                "they do not belong together: copy the model's own tokenizer",
            )
        return passed(f"{size:,} ids, the model has {model.vocab_size:,}")

    def _to_score_with(self, context: Context) -> Finding:
        """An accuracy run is worth nothing without one, and that is better known before it than after."""
        model = context.config.model
        name = model.tokenizer or model.path
        if name is None and not uses_model(context.config):
            return fail("nothing says which tokenizer turns the answers into text", "give --tokenizer FOLDER")
        folder = locate(name)
        if folder is None:
            return skipped(f"{name or 'the demo model'} is not on this machine yet")
        if not folder.is_file() and not any((folder / file).is_file() for file in TOKENIZER_FILES):
            return fail(f"no tokenizer in {folder}, which scoring needs", GIVE_TOKENIZER)
        try:
            load_decoder(str(folder))  # as the scorer will
        except HarnessError as error:
            return fail(f"the tokenizer cannot be loaded to score with: {error}", GIVE_TOKENIZER)
        return passed("there, and loads")
