"""Answers of the server itself, to what never becomes a request or comes when there are too many.

In the registry's own form (distribution-spec, "Error Codes"), since it is a registry's client that reads them.
"""

import json
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE


def error_body(code: str, message: str) -> bytes:
    """The JSON body of an error."""
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def refusal(status: int, message: str, default_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A whole response, head and body, behind which the connection is closed."""
    body = error_body("UNSUPPORTED", message)
    fields = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + body


async def send_error(send: Send, status: int, code: str, message: str) -> None:
    """Answer a request with an error, and close the connection."""
    body = error_body(code, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application for when there are more connections than the limit allows."""
    await send_error(send, 503, "TOOMANYREQUESTS", "too many connections; try again in a moment")
