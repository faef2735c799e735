"""Calls an ASGI application without a server: one request in, the whole answer out, every message kept.

Knows ASGI's messages; must not know what is asked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    messages: tuple[Message, ...]

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The error codes, each of which comes with a message."""
        assert self.headers["content-type"] == "application/json"
        assert all(error["message"] for error in self.json["errors"])
        return [error["code"] for error in self.json["errors"]]


async def call(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    body: bytes | Sequence[Message] = b"",
    headers: Mapping[str, str] | None = None,
    **scope: object,
) -> Reply:
    """Send a request, its body as one message or as these messages; more members of the scope as keywords."""
    raw_path, _, query = target.partition("?")
    messages = list(body) if not isinstance(body, bytes) else [{"type": "http.request", "body": body}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(
        {
            "type": "http",
            "method": method,
            "path": unquote(raw_path),
            "raw_path": raw_path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in (headers or {}).items()],
            "scheme": "http",
            "client": ("127.0.0.1", 50000),
            "extensions": {},
            **scope,
        },
        receive,
        send,
    )
    start = sent[0]
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    assert len(fields) == len(start["headers"]) or "oci-tag" in fields, "a field of the answer stands there twice"
    return Reply(start["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]), tuple(sent))
