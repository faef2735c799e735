"""Downloads blobs from a registry elsewhere: from any byte on, and on from there when the connection breaks.

Knows ranges (distribution-spec end-2, RFC 9110 section 14). What the bytes are is checked by whoever reads them.
"""

import re
import time
from collections.abc import AsyncGenerator

import httpx

from registry.content.digest import Digest
from registry.content.errors import BlobUnknown
from registry.content.names import RepositoryName
from registry.mirror.errors import UpstreamMisbehaved, UpstreamUnavailable
from registry.mirror.upstream_answers import refused, translated, whole
from registry.mirror.upstream_auth import Scope
from registry.mirror.upstream_http import UpstreamHttp

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_MAX_BREAKS = 5
_PROGRESS = 1024 * 1024
"""A connection that has brought so many bytes is not counted as a failure when it breaks, nor taken for one that never
ends.
"""


class BlobDownload:
    """One blob on its way, from byte `start` on. To be opened, read once, and closed."""

    def __init__(self, http: UpstreamHttp, name: RepositoryName, digest: Digest, scope: Scope, start: int) -> None:
        self.size = 0
        self._http = http
        self._name = name
        self._digest = digest
        self._scope = scope
        self._position = start
        self._skip = 0
        self._response: httpx.Response | None = None

    async def open(self) -> None:
        """Ask for the bytes, and learn the `size` of the whole. Raises `BlobUnknown`."""
        url = self._http.url(f"/v2/{self._name}/blobs/{self._digest}")
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        response = await self._http.open(url, self._scope, headers)
        self._response = response
        if response.status_code == 404:
            raise BlobUnknown(
                f"blob {self._digest} is not in repository {self._name} of {self._http.endpoint.host}",
                {"digest": str(self._digest)},
            )
        if response.status_code == 206:
            self._skip, self.size = 0, self._ranged(response)
        elif response.status_code == 200:  # also where ranges are not known: what we have already is passed over
            self._skip, self.size = self._position, await self._announced(response, url)
        else:
            raise refused(await whole(response), self._http.endpoint.host, f"blob {self._digest}")

    async def close(self) -> None:
        """Give up what has not been read."""
        if self._response is not None:
            await self._response.aclose()

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The bytes. Raises `UpstreamUnavailable` if the connection breaks again and again."""
        breaks, since = 0, self._position
        while self._position < self.size:
            try:
                async for block in self._read():
                    yield block
            except UpstreamUnavailable:
                if self._position - since >= _PROGRESS:
                    breaks, since = 0, self._position
                breaks += 1
                if breaks > _MAX_BREAKS:
                    raise
            await self.close()
            if self._position < self.size:
                await self._go_on()

    async def _read(self) -> AsyncGenerator[bytes, None]:
        """What the present answer brings."""
        if self._response is None:
            raise ValueError("the download is not open")
        brought, waited, since = 0, 0.0, time.monotonic()
        with translated(self._http.endpoint.host):
            async for block in self._response.aiter_raw():
                brought += len(block)
                waited += time.monotonic() - since
                if brought >= _PROGRESS:
                    brought, waited = 0, 0.0
                elif waited > self._http.patience.trickle:
                    raise UpstreamUnavailable(f"{self._http.endpoint.host} sends blob {self._digest} far too slowly")
                passed = min(self._skip, len(block))
                self._skip -= passed
                if passed < len(block):
                    self._position += len(block) - passed
                    yield block[passed:]
                since = time.monotonic()  # what is done with the bytes is not the registry's time
        if self._position < self.size:
            raise UpstreamUnavailable(f"{self._http.endpoint.host} ended blob {self._digest} before its end")

    async def _go_on(self) -> None:
        size = self.size
        await self.open()
        if self.size != size:
            raise UpstreamMisbehaved(
                f"{self._http.endpoint.host} calls blob {self._digest} {size} bytes, then {self.size}"
            )

    def _ranged(self, response: httpx.Response) -> int:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != self._position:
            raise UpstreamMisbehaved(f"{self._http.endpoint.host} sends another range of {self._digest} than was asked")
        return int(match[3])

    async def _announced(self, response: httpx.Response, url: httpx.URL) -> int:
        """The size of the whole; of an answer in chunks it is asked for at `url`: where the registry has sent us from
        there may be signed for one GET.
        """
        length = response.headers.get("Content-Length")
        if length is None:
            head = await self._http.call("HEAD", url, self._scope)
            length = head.headers.get("Content-Length")
        if length is None or not (length.isascii() and length.isdigit()):
            raise UpstreamMisbehaved(f"{self._http.endpoint.host} does not say how long blob {self._digest} is")
        return int(length)
