"""What a client is told when it does not get an answer: one shape, OpenAI's."""

from __future__ import annotations

import msgspec

RETRY_AFTER_S = 5  # what a client that came too early or too late is asked to wait


class Problem(Exception):
    """A request that is refused, or could not be completed. ``param``: the field of the request that is to blame."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")

    def body(self) -> bytes:
        """As JSON: ``{"error": {"message", "type", "param", "code"}}``."""
        return msgspec.json.encode({"error": self._fields()})

    def event(self) -> bytes:
        """As the last event of a stream that cannot be completed."""
        return b"data: " + self.body() + b"\n\n"

    def _fields(self) -> dict[str, str | int | None]:
        return {"message": str(self), "type": self.kind, "param": self.param, "code": self.code or self.status}
