"""What a user can say about an endpoint, checked before anything is sent."""

from __future__ import annotations

import os
import ssl
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from mlperf_llama_base.errors import EnvironmentFault, UserError
from sut.engines import facts
from sut.engines.facts import Arguments, EngineFacts, ModelUse
from sut.messages import EngineSettings, RawArguments

FORM = "http://HOST:PORT or https://HOST:PORT"
PATHS = ("/completions", "/chat")
WORKER_ID = "MLPERF_LLAMA_WORKER_ID"


class OpenAIArgs(Arguments):
    """``engine.args`` of the openai engine."""

    url: str | None = Field(None, description="Root of the server, without /v1")
    urls: list[str] = Field(default_factory=list, description="Several servers: worker N talks to number N (in turn)")
    model: str | None = Field(None, description="Name of the model at the server; none: the first that it serves")
    api_key_env: str | None = Field(None, description="Environment variable that holds the API key")
    max_connections: int = Field(256, ge=1, description="Requests in flight, each on a connection that is kept")
    retries: int = Field(5, ge=0, description="Further attempts of a request that was refused, cut or answered 5xx")
    backoff_s: float = Field(0.5, gt=0, description="Pause before the first of them; doubled each time, at most 10 s")
    timeout_s: float = Field(120.0, gt=0, description="A connection silent for so long has stalled")
    verify_tls: bool = True
    ca_file: str | None = Field(None, description="Certificates to trust (PEM)")
    tokenizer: str | None = Field(None, description="For servers that return no token ids: folder or hub id")
    eos_token_id: int | None = Field(None, description="Appended to re-encoded text that ended by itself")
    no_prefix_caching: bool = Field(False, description="Your word that the server has it off, where it does not say")
    ignore_eos: bool = False
    extra_body: dict[str, Any] = Field(default_factory=dict, description="Further fields of the request")

    @field_validator("urls", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def parse(settings: EngineSettings) -> OpenAIArgs:
    """Check ``settings.args``. Raises ``UserError`` naming the key."""
    args = facts.parse(OpenAIArgs, settings)
    if bool(args.url) == bool(args.urls):
        raise UserError("the openai engine needs engine.args.url (one server) or engine.args.urls (several)")
    for url in servers(args):
        _check_url(url)
    return args


def servers(args: OpenAIArgs) -> list[str]:
    """Every server that the arguments name."""
    return args.urls or [str(args.url)]


def endpoint(args: OpenAIArgs) -> str:
    """Return the URL of this worker: ``urls`` are dealt out by the worker's number."""
    urls = servers(args)
    return _root(urls[int(os.environ.get(WORKER_ID, "0")) % len(urls)])


def _root(url: str) -> str:
    """The root of the server, from any address of it that people copy."""
    url = url.strip().rstrip("/")
    for path in PATHS:
        url = url.removesuffix(path).rstrip("/")
    return url.removesuffix("/v1")


def headers(args: OpenAIArgs) -> dict[str, str]:
    """Return the request's headers. The key is read here and goes nowhere else."""
    if args.api_key_env is None:
        return {}
    if not os.environ.get(args.api_key_env):
        raise UserError(f"engine.args.api_key_env: the environment variable {args.api_key_env} is not set")
    _check_key(args)
    return {"Authorization": f"Bearer {os.environ[args.api_key_env]}"}


def _check_key(args: OpenAIArgs) -> None:
    """Refuse a key that HTTP cannot carry, as far as it is known here. It is never shown."""
    key = os.environ.get(args.api_key_env or "", "")
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise UserError(
            f"engine.args.api_key_env: the value of {args.api_key_env} holds a line end, a space at its end or a "
            f"character that is not ASCII: set it again, say with {args.api_key_env}=$(tr -d '\\n' < FILE)"
        )


def tls(args: OpenAIArgs) -> ssl.SSLContext | bool:
    """Return what aiohttp wants as ``ssl``."""
    if not args.verify_tls:
        return False
    if args.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=args.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"engine.args.ca_file {args.ca_file}: no readable certificates (PEM): {error}") from error


def load_tokenizer(name: str) -> Any:
    """Load the tokenizer for re-encoding. Raises ``UserError`` or, without the package, ``EnvironmentFault``."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise EnvironmentFault("engine.args.tokenizer needs transformers: pip install transformers") from error
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(f"engine.args.tokenizer {name!r}: {' '.join(str(error).split())[:200]}") from error


def _check_url(url: str) -> None:
    shown = url.rpartition("@")[2].partition("?")[0]  # what stands before and behind may be a secret
    url = url.strip()
    if any(c.isspace() or not c.isprintable() for c in url):
        raise UserError(f"engine.args.url {shown!r} holds a space or a line end: give {FORM}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UserError(f"engine.args.url {shown!r}: {str(error).rpartition('@')[2]}: give {FORM}") from None
    if parts.password or parts.username or "@" in url:
        raise UserError(
            f"engine.args.url of {parts.hostname or shown}: no credentials in the URL, it is written to the result; "
            "use engine.args.api_key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UserError(f"engine.args.url {shown!r}: give {FORM}")
    if parts.query or parts.fragment:
        raise UserError(f"engine.args.url {shown!r}: nothing may follow the path: give {FORM}")


class OpenAIFacts(EngineFacts):
    """One worker a server, and no GPU here."""

    def check(self, settings: EngineSettings) -> dict[str, str]:
        _check_key(parse(settings))
        return {}

    def workers(self, args: RawArguments) -> int | None:
        urls = args.get("urls")
        return len(urls) or None if isinstance(urls, list) else None

    def servers(self, settings: EngineSettings) -> list[str]:
        return servers(parse(settings))


FACTS = OpenAIFacts(
    engine="sut.engines.openai:OpenAIEngine",
    packages=("aiohttp",),
    install="pip install 'mlperf-llama[openai]'",
    model=ModelUse.SERVED,
    uses_gpu=False,
    arguments=OpenAIArgs,
)
