"""Request bodies: small ones whole, large ones as something that pours itself into a function.

Our own server offers the body straight from the socket (`cargohold.body` in the scope's extensions); under any other,
and under TLS, the ASGI messages are poured. Knows ASGI; must not know what the bytes mean.
"""

from collections.abc import AsyncIterator, Callable

from starlette.types import Receive

from registry.api.parsing import content_length
from registry.api.request import Request
from registry.content.bodies import Body, Write, pour
from registry.content.errors import ManifestTooLarge, UploadInterrupted

_SMALL = 64 * 1024


class _MessageBody:
    """The body as ASGI messages."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def pump(self, write: Write) -> int:
        return await pour(_messages(self._receive), write)


def upload_body(request: Request) -> Body:
    """The body of an upload request, not read yet."""
    direct: Body | None = request.scope.get("extensions", {}).get("cargohold.body")
    return direct if direct is not None else _MessageBody(request.receive)


async def read_manifest(request: Request, limit: int, on_large: Callable[[], None]) -> bytes:
    """A whole body of at most `limit` bytes. Raises `ManifestTooLarge`, at once if the client announces as much.

    `on_large` is called once before more than 64 KiB are kept, and may raise to refuse that.
    """
    announced = content_length(request.header(b"content-length")) or 0
    if announced > limit:
        raise _too_large(limit)
    is_large = announced > _SMALL
    if is_large:
        on_large()
    data = bytearray()
    async for block in _messages(request.receive):
        data += block
        if len(data) > limit:
            raise _too_large(limit)
        if len(data) > _SMALL and not is_large:
            is_large = True
            on_large()
    return bytes(data)


async def _messages(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UploadInterrupted("the client went away in the middle of the body")
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _too_large(limit: int) -> ManifestTooLarge:
    return ManifestTooLarge(f"the manifest is larger than the {limit} bytes that this registry accepts")
