"""From a conversation to a prompt. No template that a request brings is ever executed.

MLPerf Endpoints' client sends one with every request, the same ninety characters: it is recognised byte for byte, and
what it says is done here in Python. Every other one is refused, unless it is the server's own.
"""

from __future__ import annotations

from typing import Any

from harness.serve.fields import Message
from harness.serve.problems import Problem
from mlperf_llama_base.errors import UserError

# mlcommons/endpoints, the preset of llama3_8b: BOS, and the contents without the spaces around them
PLAIN = "{{- bos_token }}{%- for message in messages %}{{ message['content'] | trim }}{%- endfor %}"
CHOICES = ("auto", "model", "llama-3.1", "plain")
ROLES = ("system", "developer", "user", "assistant")
HEADER = "<|start_header_id|>"
SYSTEM_HEAD = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


class Templates:
    """``choice``: what a request without a template of its own gets; see :data:`CHOICES`.

    Raises ``UserError`` for a choice that the tokenizer cannot serve.
    """

    def __init__(self, tokenizer: Any, choice: str) -> None:
        self._tokenizer = tokenizer
        own = getattr(tokenizer, "chat_template", None)
        self._own = own if isinstance(own, str) else None
        if choice == "auto":
            headers = HEADER in tokenizer.get_vocab()
            choice = "model" if self._own else "llama-3.1" if headers else "plain"
        if choice == "model" and not self._own:
            raise UserError("--chat-template model: the model's tokenizer has no chat template; use plain")
        self.choice = choice
        self._bos = getattr(tokenizer, "bos_token", None) or ""
        self._render = {"model": self._by_model, "llama-3.1": self._llama31, "plain": self._plain}[choice]

    def prompt(self, messages: list[Message], template: str | None) -> str:
        """The text of a conversation, BOS and all other special tokens in it. Raises ``Problem``."""
        for message in messages:
            if message.role not in ROLES:
                raise Problem(f"messages: role {message.role!r} is not served ({', '.join(ROLES)})", param="messages")
            if message.tool_calls:
                raise Problem("messages: tool calls are not served", param="messages")
        if template is None:
            return self._render(messages)
        if template == PLAIN:
            return self._plain(messages)
        if template == self._own:
            return self._by_model(messages)
        raise Problem(
            "chat_template: only MLPerf's plain template and the model's own are known, and no other is executed; "
            "leave it out, or start the server with --chat-template",
            param="chat_template",
        )

    def _plain(self, messages: list[Message]) -> str:
        return self._bos + plain(messages)

    def _llama31(self, messages: list[Message]) -> str:
        return self._bos + llama31(messages)

    def _by_model(self, messages: list[Message]) -> str:
        turns = [{"role": m.role, "content": m.text} for m in messages]
        try:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise Problem(f"messages: the model's template refuses them: {reason}", param="messages") from error
        return str(text)


def plain(messages: list[Message]) -> str:
    """What MLPerf's template says: the contents, stripped and joined; BOS comes in front."""
    return "".join(message.text.strip() for message in messages)


def llama31(messages: list[Message]) -> str:
    """Llama 3.1's own template for conversations without tools (meta-llama/Llama-3.1-8B-Instruct, chat_template)."""
    system = ""
    if messages[0].role in ("system", "developer"):
        system, messages = messages[0].text.strip(), messages[1:]
    turns = [("system", SYSTEM_HEAD + system), *((m.role, m.text.strip()) for m in messages)]
    text = "".join(f"{HEADER}{role}<|end_header_id|>\n\n{content}<|eot_id|>" for role, content in turns)
    return f"{text}{HEADER}assistant<|end_header_id|>\n\n"
