"""Secrets in a text: tokens with a form of their own, and values that stand where a password or a key is given.

The forms of tokens are those of detect-secrets, which is kept up to date by others, and a few that it lacks. Its rules
for entropy and for key words are not used: hashes, token ids and program code are most of what lies in a submission.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Protocol

from mlperf_llama_base.errors import EnvironmentFault

Span = tuple[int, int]
# not: artifactory (matches words in capitals), cloudant, ibm, softlayer (ASSIGNED has them), keyword, high_entropy
PLUGINS = (
    "aws.AWSKeyDetector",
    "azure_storage_key.AzureStorageKeyDetector",
    "discord.DiscordBotTokenDetector",
    "github_token.GitHubTokenDetector",
    "gitlab_token.GitLabTokenDetector",
    "jwt.JwtTokenDetector",
    "mailchimp.MailchimpDetector",
    "npm.NpmDetector",
    "openai.OpenAIDetector",
    "pypi_token.PypiTokenDetector",
    "sendgrid.SendGridDetector",
    "slack.SlackDetector",
    "square_oauth.SquareOAuthDetector",
    "stripe.StripeDetector",
    "telegram_token.TelegramBotTokenDetector",
    "twilio.TwilioKeyDetector",
)
FORMS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}"
    r"|sk-(?=[\w-]*\d)[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic and others
    r"|nvapi-[\w-]{20,}"
    r"|AIza[\w-]{30,}|GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,}"  # Google
    r"|(?-i:[\w~.-]{3}\dQ~[\w~.-]{31,34})"  # an application's secret in Azure
    r"|xox[abeprs]-[\w-]{10,}|xapp-\d-[\w-]{20,}"  # Slack
    r"|dckr_pat_[\w-]{20,}|npm_[A-Za-z0-9]{36}|dop_v1_[0-9a-f]{64}"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{50,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]+)?"  # a JSON web token with its signature
    r")"
)
HASHED = re.compile(r"\$(?:1|5|6|y|2[aby])\$[\w./$=,]{20,}")  # a password as crypt(3) writes it
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.*?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|(?:\s*[A-Za-z0-9+/=]{16,})*)",
    re.DOTALL,
)
PLACES = (  # where a secret stands whatever its form; judged by ``is_placeholder`` alone
    re.compile(r"://(?P<value>[^/\s:@\"'<>]*:[^/\s@\"'<>]+)@"),
    re.compile(r"authorization[\"']?\s*[:=]\s*[\"']?(?P<value>(?:basic|bearer|token)\s+[^\s\"',]{6,})", re.IGNORECASE),
    re.compile(r"\b(?P<value>Bearer\s+(?=\S*\d)[\w.~+/-]{16,})"),
    re.compile(r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<value>\S+)"),  # .netrc
    re.compile(r"\"auth\"\s*:\s*\"(?P<value>[A-Za-z0-9+/]{12,}={0,2})\""),  # Docker's config.json
    re.compile(r"[?&](?:sig|X-Amz-Signature|X-Goog-Signature)=(?P<value>[A-Za-z0-9%+/=_-]{30,})"),
    re.compile(r"\bShared(?:Access|Account)Key=(?P<value>[A-Za-z0-9+/=]{20,})", re.IGNORECASE),
)
PASSWORD = r"passwords?|passwd|pass_?phrase|pwd|db_?pass"
KEY = (
    r"api[_-]?key|secret(?:[_-]?(?:access)?[_-]?key)?|access[_-]?(?:key|token)|auth[_-]?(?:key|token)"
    r"|(?:hf|api|bearer|refresh|session|hub|github|gitlab|wandb|npm)[_-]?token|client[_-]?(?:key|secret)"
    r"|(?:account|service|encryption|signing)[_-]?key|private[_-]?key(?:[_-]id)?|credentials?"
)
VALUE = r"(?:f?\"(?P<double>(?:[^\"\\\n]|\\.)*)\"|f?'(?P<single>(?:[^'\\\n]|\\.)*)'|(?P<bare>[^\s\"'<>][^\s<>]*))"
ASSIGNED = (
    re.compile(
        rf"(?-i:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?P<query>(?<=[?&]))?(?:(?P<password>{PASSWORD})|{KEY})"
        rf"(?:_(?:value|prod|production|dev|staging|old|new|\d+))?[\"']?\]?[ \t]*(?:=>|:=|[:=](?!=))[ \t]*{VALUE}",
        re.IGNORECASE,
    ),
    re.compile(rf"--(?:[\w-]*-)?(?:(?P<password>{PASSWORD})|{KEY}|token)[ =]{VALUE}", re.IGNORECASE),
    re.compile(rf"<(?:\w*_)?(?:(?P<password>{PASSWORD})|{KEY})>(?P<double>[^<\n]+)</", re.IGNORECASE),
    re.compile(
        rf"\b[A-Z][A-Z0-9_]*_(?:(?P<password>PASSWORD|PASSWD|PASS|PWD)|TOKEN|KEY|SECRET)[ \t]*[:=][ \t]*{VALUE}"
    ),
)
PHRASE = re.compile(r"\bpass[_-]?(?:phrase|word)[\"']?\s*[:=]\s*(?P<value>[a-z]{3,}(?: [a-z]{3,}){3,7})[ \t]*$", re.M)
# not "key" alone: every line of LoadGen's detail log has one
HINTS = re.compile(r"pass|pwd|secret|[\w-]key|token|credential|auth|@|sig(?:nature)?=|bearer", re.IGNORECASE)
PLACEHOLDER = re.compile(
    r"^(?:[<$%{*(\[]|x{3,})|\*{3}|…|\.\.\.|\{[\w.]*\}|\$\(|token-abc123|example|placeholder|change.?me|replace|redacted|removed"
    r"|dummy|insert|your[_-]?|\byour\b|my[_-]?(?:secret|password|key|token|pass)|abc-?123$|123456$|^foo|^bar$|not[_-]a"
    r"|^(?:none|null|true|false|empty|string|str|int|bytes|optional|required|secret|password|token|key|user|test)\b"
    r"|^(?:password|pass|secret|pw):|:(?:password|pass|secret|pw|token)$|no[_-]?(?:key|token|password)|unused|ignored",
    re.IGNORECASE,
)
CODE = re.compile(  # what is named, not written out
    r"^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|[()\[\]|]|^[A-Za-z_]+$|^[a-z]+(?:_[a-z0-9]+)+$"
)
PROSE = re.compile(r"^[A-Za-z ,.;:'-]+$")
COMMON_WORDS = re.compile(
    r"\b(?:the|and|for|with|that|this|from|your|you|are|was|not|has|have|will|must|can|asked|given|read|see|set|needed"
    r"|every|each|where|when|which|stored|kept|use|used|here|file|variable|environment|enter|type)\b"
)


class _Detector(Protocol):
    denylist: tuple[re.Pattern[str], ...]

    def analyze_string(self, string: str) -> Iterator[str]: ...


@functools.cache
def detectors() -> tuple[_Detector, ...]:
    """The rules of detect-secrets. Raises ``EnvironmentFault`` if it is not installed."""
    import importlib

    found = []
    for name in PLUGINS:
        module, _, plugin = name.partition(".")
        try:
            found.append(getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), plugin)())
        except ImportError as error:
            raise EnvironmentFault(f"a submission is searched for secrets with detect-secrets: {error}") from error
    return tuple(found)


def secret_spans(text: str) -> Iterator[Span]:
    """Start and end of each secret in ``text``; some may overlap."""
    for detector in detectors():
        for pattern in detector.denylist:
            for match in pattern.finditer(text):
                if not is_placeholder(match[0]) and any(detector.analyze_string(match[0])):
                    yield _narrow(match)
    for pattern in (FORMS, PRIVATE_KEY):
        yield from (match.span() for match in pattern.finditer(text) if not is_placeholder(match[0]))
    yield from (match.span() for match in HASHED.finditer(text))
    for start, end in lines_with(text, HINTS):
        yield from _in_line(text, start, end)


def lines_with(text: str, words: re.Pattern[str]) -> Iterator[Span]:
    """Start and end of the lines in which ``words`` are found: slow patterns are tried there alone."""
    end = -1
    for match in words.finditer(text):
        if match.start() > end:
            start = text.rfind("\n", 0, match.start()) + 1
            end = text.find("\n", match.end())
            end = len(text) if end < 0 else end
            yield start, end


def _in_line(text: str, start: int, end: int) -> Iterator[Span]:
    for pattern in PLACES:
        for match in pattern.finditer(text, start, end):
            if not is_placeholder(match["value"].split()[-1]):
                yield match.span("value")
    for pattern in ASSIGNED:
        for match in pattern.finditer(text, start, end):
            at, value = _value(match)
            if _is_secret(value, password=match["password"] is not None, quoted="bare" not in _given(match)):
                yield at, at + len(value)
    for match in PHRASE.finditer(text, start, end):
        if not COMMON_WORDS.search(match["value"]):
            yield match.span("value")


def _given(match: re.Match[str]) -> dict[str, str]:
    return {name: text for name, text in match.groupdict().items() if text is not None}


def _value(match: re.Match[str]) -> tuple[int, str]:
    """Where the value begins, and the value: in a query to the next parameter, elsewhere without what closes it."""
    given = _given(match)
    group = next(name for name in ("double", "single", "bare") if name in given)
    value = given[group]
    if group == "bare":
        value = (value.partition("&")[0] if "query" in given else value).rstrip(",;)]}\"'`")
    return match.start(group), value


def _is_secret(value: str, *, password: bool, quoted: bool) -> bool:
    """Whether a value that is given for a key is a secret. ``password``: the key says that it is one."""
    if len(value) < (6 if password else 8) or is_placeholder(value) or value.startswith(("/", "~", "./", "../")):
        return False
    if any(c.isspace() for c in value):
        return password and quoted and not (PROSE.match(value) and COMMON_WORDS.search(value))
    if not quoted and CODE.search(value):
        return False
    letters, others = any(c.isalpha() for c in value), any(not c.isalpha() and c not in "_-." for c in value)
    return (letters and others) or password


def _narrow(match: re.Match[str]) -> Span:
    """The secret alone, where the rule has matched its name too."""
    groups = [i for i, group in enumerate(match.groups(), 1) if group and len(group) >= 16]
    return match.span(groups[0]) if groups else match.span()


def is_placeholder(value: str) -> bool:
    """Whether this stands for a secret and is none: ``token-abc123`` of vLLM's documentation, ``<token>``, ``$KEY``."""
    return bool(PLACEHOLDER.search(value))
