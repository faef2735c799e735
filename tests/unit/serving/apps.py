"""Small applications for tests of the server."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from registry.content.errors import UploadInterrupted


async def answer(send: Send, body: bytes = b"", status: int = 200, **fields: str) -> None:
    """A whole response."""
    headers = [(b"content-length", b"%d" % len(body))]
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_all(receive: Receive) -> bytes:
    """The body as ASGI messages."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += cast(bytes, message["body"])
        if not message["more_body"]:
            return body


@dataclass
class Uploads:
    """Takes uploads, from the socket where the server offers that, and says how each went."""

    seen: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    largest_block: int = 0
    errors: list[Exception] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        body: Any = scope["extensions"].get("cargohold.body")
        self.seen.append(f"{scope['method']} {scope['path']}")
        kept = bytearray()

        def write(block: memoryview) -> None:
            self.largest_block = max(self.largest_block, len(block))
            kept.extend(block)

        if body is None:
            kept += await read_all(receive)
        else:
            try:
                assert await body.pump(write) == len(kept)
            except UploadInterrupted as error:
                self.errors.append(error)
                self.bodies.append(bytes(kept))
                await answer(send, str(error).encode(), 400)
                return
        self.bodies.append(bytes(kept))
        way = "socket" if body is not None else "messages"
        await answer(send, hashlib.sha256(kept).hexdigest().encode(), way=way, size=str(len(kept)))
