"""Answers onto the wire. Knows ASGI and what storage hands out; must not know what is sent.

Files go out by the server's zero-copy extension where it offers one, and block by block elsewhere. Whatever happens,
what storage handed out is closed.
"""

from contextlib import aclosing

from starlette.types import Scope, Send

from registry.api.request import Answer
from storage_backends.sendable import FileRegion, Sendable, blocks_of

_ZERO_COPY = "http.response.zerocopysend"


async def send_answer(answer: Answer, scope: Scope, send: Send) -> None:
    """Send an answer, body and all; to a HEAD, or with `length` set, the head alone."""
    body = answer.body
    size = len(body) if isinstance(body, bytes) else body.length
    length = size if answer.length is None else answer.length
    headers = answer.headers
    if answer.status not in (204, 304):
        headers = [*headers, (b"content-length", b"%d" % length)]
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if isinstance(body, bytes) or scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})
        else:
            await _send_stored(body, scope, send)
    finally:
        if not isinstance(body, bytes):
            body.close()


async def _send_stored(body: Sendable, scope: Scope, send: Send) -> None:
    if isinstance(body, FileRegion) and _ZERO_COPY in scope.get("extensions", {}):
        await send(
            {"type": _ZERO_COPY, "file": body.fd, "offset": body.offset, "count": body.length, "more_body": False}
        )
        return
    left = body.length
    async with aclosing(blocks_of(body)) as blocks:
        async for block in blocks:
            left -= len(block)
            await send({"type": "http.response.body", "body": block, "more_body": left > 0})
    if left or not body.length:  # the server sees a body shorter than announced and cuts the connection
        await send({"type": "http.response.body", "body": b""})
