"""What must be there before anything heavy is imported."""

from __future__ import annotations

import importlib.util

from harness.serve.settings import ServeSettings
from harness.serve.templates import CHOICES
from mlperf_llama_base.errors import EnvironmentFault, UserError, nearest

PACKAGES = ("aiohttp", "prometheus_client", "jinja2")


def check(settings: ServeSettings) -> None:
    """Raise ``EnvironmentFault`` for packages that are missing, ``UserError`` for settings that cannot work."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentFault(
            f"serve needs {', '.join(missing)}, not installed here: pip install 'mlperf-llama[serve]'"
        )
    if settings.chat_template not in CHOICES:
        hint = nearest(settings.chat_template, CHOICES)
        raise UserError(f"--chat-template {settings.chat_template!r} is not known{hint} ({', '.join(CHOICES)})")
    _ = settings.key
