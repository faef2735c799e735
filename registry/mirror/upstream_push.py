"""Uploads blobs to a registry elsewhere, in one body or in chunks. Source: distribution-spec, "Pushing Blobs".

A body can be read once: what fails in the middle of a whole blob is for the caller to begin again. A chunk is held, and
goes on from where the registry says it ends.
"""

import re
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx

from registry.content.digest import Digest
from registry.content.errors import DigestInvalid, SizeInvalid
from registry.content.names import RepositoryName
from registry.content.verifying import exactly
from registry.mirror.errors import MirrorError, UpstreamMisbehaved, UpstreamUnavailable
from registry.mirror.upstream_answers import Answer, refused
from registry.mirror.upstream_auth import Scope
from registry.mirror.upstream_http import UpstreamHttp

_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")
_OCTETS = {"Content-Type": "application/octet-stream"}


class BlobUpload:
    """Uploads to one registry; `chunk` is the size in bytes that one request may have, 0 for any."""

    def __init__(self, http: UpstreamHttp, chunk: int) -> None:
        self._http = http
        self._chunk = chunk

    async def push(
        self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes], scope: Scope
    ) -> None:
        """Store a blob. Raises `DigestInvalid`, `SizeInvalid`; nothing is visible then."""
        answer = await self._begin(name, {}, scope)
        if answer.status != 202:
            raise refused(answer, self._http.endpoint.host, f"an upload to {name}")
        location = self._location(answer)
        try:
            if self._chunk and size > self._chunk:
                location = await self._in_chunks(location, exactly(size, blocks), scope)
                size, blocks = 0, _each()
            answer = await self._finish(location, digest, size, blocks, scope)
            self._check(answer, digest, name)
        except BaseException:
            with suppress(MirrorError):  # that it goes is a kindness to the registry
                await self._http.call("DELETE", location, scope, repeatable=False)
            raise

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName, scope: Scope) -> bool:
        """Make a blob of another repository there part of this one; False if the registry does not do that (end-11)."""
        answer = await self._begin(name, {"mount": str(digest), "from": str(source)}, scope)
        if answer.status == 202:
            with suppress(MirrorError):  # it has opened an upload instead, which we don't go on with
                await self._http.call("DELETE", self._location(answer), scope, repeatable=False)
        return answer.status == 201

    async def _begin(self, name: RepositoryName, parameters: dict[str, str | int], scope: Scope) -> Answer:
        url = self._http.url(f"/v2/{name}/blobs/uploads/", parameters)
        # a session that nobody knows of does no harm: it may be asked for again
        return await self._http.call("POST", url, scope, headers={"Content-Length": "0"}, repeatable=True)

    async def _in_chunks(self, location: httpx.URL, blocks: AsyncIterator[bytes], scope: Scope) -> httpx.URL:
        start, held = 0, bytearray()
        async for block in blocks:
            held += block
            while len(held) >= self._chunk:
                location = await self._send_chunk(location, start, bytes(held[: self._chunk]), scope)
                del held[: self._chunk]
                start += self._chunk
        return await self._send_chunk(location, start, bytes(held), scope) if held else location

    async def _send_chunk(self, location: httpx.URL, start: int, chunk: bytes, scope: Scope) -> httpx.URL:
        """Send a chunk, or of it what the registry does not have yet after a connection broke."""
        position, end = start, start + len(chunk)
        url = location

        async def once() -> None:
            nonlocal position, url
            headers = {**_OCTETS, "Content-Range": f"{position}-{end - 1}"}
            try:
                answer = await self._http.call(
                    "PATCH", url, scope, headers=headers, content=chunk[position - start :], repeatable=False
                )
            except UpstreamUnavailable:
                position, url = await self._where(url, start, end, scope)
                if position == end:
                    return
                raise
            if answer.status != 202:
                raise refused(answer, self._http.endpoint.host, "a chunk")
            position, url = end, self._location(answer)

        await self._http.patiently(once)
        return url

    async def _where(self, location: httpx.URL, start: int, end: int, scope: Scope) -> tuple[int, httpx.URL]:
        """How many bytes of the upload are there, and where to go on (end-13)."""
        answer = await self._http.call("GET", location, scope)
        if answer.status != 204:
            raise refused(answer, self._http.endpoint.host, "to say how far the upload is")
        match = _RANGE.fullmatch(answer.headers.get("Range", ""))
        position = int(match[1]) + 1 if match is not None and match[1] != "0" else 0
        if not start <= position <= end:
            raise UpstreamMisbehaved(f"{self._http.endpoint.host} has lost what it acknowledged of the upload")
        return position, self._location(answer)

    async def _finish(
        self, location: httpx.URL, digest: Digest, size: int, blocks: AsyncIterator[bytes], scope: Scope
    ) -> Answer:
        """Send the last bytes, or all of them, and what they are called."""
        url = location.copy_merge_params({"digest": str(digest)})
        headers = {**_OCTETS, "Content-Length": str(size)}
        return await self._http.pour("PUT", url, scope, exactly(size, blocks), headers)

    def _location(self, answer: Answer) -> httpx.URL:
        try:
            url = answer.url.join(answer.headers["Location"])
        except (KeyError, httpx.InvalidURL) as error:
            raise UpstreamMisbehaved(f"{self._http.endpoint.host} does not say where an upload goes on") from error
        if url.scheme not in ("http", "https") or (url.scheme == "http" and not self._http.endpoint.is_plain):
            raise UpstreamMisbehaved(f"{self._http.endpoint.host} wants an upload to go on without encryption")
        return url

    def _check(self, answer: Answer, digest: Digest, name: RepositoryName) -> None:
        host = self._http.endpoint.host
        if answer.status == 201:
            return
        error = refused(answer, host, f"blob {digest} for {name}")
        if error.code == "DIGEST_INVALID":
            raise DigestInvalid(error.message, {"digest": str(digest)}) from error
        if error.code == "SIZE_INVALID":
            raise SizeInvalid(error.message) from error
        raise error


async def _each(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block
