"""Blobs: end-2 (GET, HEAD) and end-10 (DELETE)."""

from auth.access import Action
from registry.api.errors import DeletionDisabled
from registry.api.options import ApiOptions
from registry.api.parsing import byte_range, matches_etag
from registry.api.request import Answer, Headers, Request, header
from registry.content.digest import Digest
from registry.content.served import ServedRegistry

_REDIRECTED: Headers = [(b"cache-control", b"no-store")]  # the address is signed for a while only


class Blobs:
    """Handlers of one blob."""

    def __init__(self, registry: ServedRegistry, options: ApiOptions) -> None:
        self._registry = registry
        self._options = options

    async def get(self, request: Request) -> Answer:
        """end-2: the bytes, or a range of them (RFC 9110 section 14)."""
        digest = Digest.parse(request.route.argument)
        headers = _headers(digest)
        if matches_etag(request.header(b"if-none-match"), _etag(digest)):
            await self._registry.blobs.size(request.name, digest)
            return Answer(304, headers)
        if (address := await self._address(request, digest)) is not None:
            return Answer(307, [header("location", address), *_REDIRECTED, header("docker-content-digest", digest)])
        if b"range" in request.headers and request.header(b"if-range") in (None, _etag(digest)):
            size = await self._registry.blobs.size(request.name, digest)
            part = byte_range(request.header(b"range"), size)
            if part is not None:
                body = await self._registry.blobs.open(request.name, digest, part.start, part.length)
                last = part.start + part.length - 1
                headers.append(header("content-range", f"bytes {part.start}-{last}/{size}"))
                return Answer(206, headers, body)
        return Answer(200, headers, await self._registry.blobs.open(request.name, digest))

    async def _address(self, request: Request, digest: Digest) -> str | None:
        """Where this client is to fetch the blob by itself; the range that it asked for it will ask for there."""
        redirects = self._options.redirects
        if redirects is None:
            return None
        size = await self._registry.blobs.size(request.name, digest)
        return (
            await self._registry.blobs.presign(request.name, digest) if redirects.apply(request.scope, size) else None
        )

    async def head(self, request: Request) -> Answer:
        """end-2: whether the blob is there, and its size."""
        digest = Digest.parse(request.route.argument)
        caller = request.caller
        pushes = caller.may(Action.PUSH, request.name) and not caller.policy.read_only  # and leaves out what is there
        size = await self._registry.blobs.size(request.name, digest, renew=pushes)
        return Answer(200, _headers(digest), length=size)

    async def delete(self, request: Request) -> Answer:
        """end-10: take the blob out of the repository."""
        if not self._options.allow_delete:
            raise DeletionDisabled("deleting is switched off: see registry.allow_delete in the settings")
        digest = Digest.parse(request.route.argument)
        await self._registry.delete_blob(request.name, digest)
        return Answer(202, [header("docker-content-digest", digest)])


def _etag(digest: Digest) -> str:
    return f'"{digest}"'


def _headers(digest: Digest) -> Headers:
    text = str(digest).encode()
    return [
        (b"content-type", b"application/octet-stream"),
        (b"docker-content-digest", text),
        (b"etag", b'"%b"' % text),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"max-age=31536000, immutable"),
    ]
