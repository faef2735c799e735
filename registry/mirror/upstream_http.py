"""HTTP to one registry elsewhere: logins, redirects, limits and retries; failures become `mirror.errors`.

Knows HTTP and httpx; must not know what a manifest or a blob is. `Authorization` goes to the registry's own origin
only, wherever an answer points to.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import httpx

from registry.mirror.errors import UpstreamDenied, UpstreamMisbehaved, UpstreamUnavailable
from registry.mirror.upstream_answers import (
    SMALL_ANSWER,
    Answer,
    closing,
    raise_unusable,
    read_body,
    shown,
    told,
    translated,
    whole,
)
from registry.mirror.upstream_auth import Scope, UpstreamAuth, parse_challenges, read_token_answer
from registry.mirror.upstream_client import new_client
from registry.mirror.upstream_options import UpstreamOptions

_MAX_REDIRECTS = 5
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
T = TypeVar("T")


class UpstreamHttp:
    """Requests to one registry. To be closed."""

    def __init__(self, options: UpstreamOptions) -> None:
        self.endpoint = options.endpoint
        self.patience = options.patience
        self._root = httpx.URL(options.endpoint.url)
        self._client = new_client(options)
        self._auth = UpstreamAuth(options.endpoint, options.credentials, self._get_token)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def url(self, path: str, parameters: Mapping[str, str | int] | None = None) -> httpx.URL:
        """A URL of this registry: `path` is `/v2/…`."""
        return self._root.copy_with(raw_path=path.encode("ascii")).copy_merge_params(dict(parameters or {}))

    async def call(
        self,
        method: str,
        url: httpx.URL,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        limit: int = SMALL_ANSWER,
        repeatable: bool | None = None,
    ) -> Answer:
        """A request and its whole answer of at most `limit` bytes; 401, 403, 429 and 5xx are raised.

        Tried again if it is `repeatable` (as GET, HEAD and DELETE are).
        """

        longest = self.patience.answer if not content else None  # what we send may be large, and the way slow

        async def once() -> Answer:
            async with self._within(longest), self._opened(method, url, scope, headers or {}, content) as response:
                body = await read_body(response, limit)
            return Answer(response.status_code, response.headers, body, response.url)

        return await self.patiently(once, repeatable=method in _REPEATABLE if repeatable is None else repeatable)

    async def log_in(self, scope: Scope) -> None:
        """Log in before that is asked for, where nobody gets an answer, too, but a shorter one (end-1)."""
        if self._auth.header(scope) is None:
            with suppress(UpstreamDenied):  # then as nobody
                await self.call("GET", self.url("/v2/"), scope)

    async def open(self, url: httpx.URL, scope: Scope, headers: Mapping[str, str]) -> httpx.Response:
        """GET, with the body still to be read, and the answer to be closed; 401, 403, 429 and 5xx are raised."""

        async def once() -> httpx.Response:
            async with self._within(self.patience.answer):
                response = await self._send("GET", url, scope, headers, b"")
                await raise_unusable(response, self.endpoint.host)
            return response

        return await self.patiently(once)

    async def pour(
        self, method: str, url: httpx.URL, scope: Scope, blocks: AsyncIterator[bytes], headers: Mapping[str, str]
    ) -> Answer:
        """Send a body that can be read once. What reading it raises comes out here."""
        request = self._request(method, url, headers, blocks, self._auth.header(scope))
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": self.patience.storing}
        with translated(self.endpoint.host):
            response = await self._client.send(request, stream=True)
        await raise_unusable(response, self.endpoint.host)
        return await whole(response)

    async def patiently(self, work: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Do `work`, and again if the registry cannot do it now, as often and as late as `Patience` allows."""
        attempt = 1
        while True:
            try:
                return await work()
            except UpstreamUnavailable as error:
                if not repeatable or attempt >= self.patience.attempts:
                    raise
                wait = self.patience.first_wait * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret
                if (error.retry_after or 0.0) > self.patience.longest_wait:
                    raise
                await asyncio.sleep(max(wait, error.retry_after or 0.0))
                attempt += 1

    def is_own(self, url: httpx.URL) -> bool:
        """True if a URL lies at the registry itself."""
        return _origin(url) == _origin(self._root)

    def own(self, url: httpx.URL) -> httpx.URL:
        """Path and query of a URL, at the registry itself: whatever host an answer names."""
        return self._root.copy_with(raw_path=url.raw_path)

    @asynccontextmanager
    async def _within(self, seconds: float | None) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise UpstreamUnavailable(f"{self.endpoint.host} takes more than {seconds} s to answer") from error

    @asynccontextmanager
    async def _opened(
        self, method: str, url: httpx.URL, scope: Scope, headers: Mapping[str, str], content: bytes
    ) -> AsyncGenerator[httpx.Response, None]:
        response = await self._send(method, url, scope, headers, content)
        async with closing(response):
            await raise_unusable(response, self.endpoint.host)
            yield response

    async def _send(
        self, method: str, url: httpx.URL, scope: Scope, headers: Mapping[str, str], content: bytes
    ) -> httpx.Response:
        """Send a request, log in if that is asked for, and follow where a GET or HEAD is sent to."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._logged_in(method, url, scope, headers, content)
            if method not in ("GET", "HEAD") or not response.has_redirect_location:
                return response
            await response.aclose()
            url = self._target(response)
        raise UpstreamMisbehaved(f"{self.endpoint.host} sends us from one place to the next: {shown(url)}")

    async def _logged_in(
        self, method: str, url: httpx.URL, scope: Scope, headers: Mapping[str, str], content: bytes
    ) -> httpx.Response:
        if not self.is_own(url):
            with translated(self.endpoint.host):
                return await self._client.send(self._request(method, url, headers, content, None), stream=True)
        header = self._auth.header(scope)
        with translated(self.endpoint.host):
            response = await self._client.send(self._request(method, url, headers, content, header), stream=True)
        if response.status_code != 401:
            return response
        await response.aclose()
        challenges = parse_challenges(response.headers.get_list("WWW-Authenticate"))
        header = await self._auth.answer(scope, challenges, header)
        with translated(self.endpoint.host):
            return await self._client.send(self._request(method, url, headers, content, header), stream=True)

    def _target(self, response: httpx.Response) -> httpx.URL:
        try:
            target = response.url.join(response.headers["Location"])
        except httpx.InvalidURL as error:
            raise UpstreamMisbehaved(f"{self.endpoint.host} sends us to a place that is no URL") from error
        if target.scheme not in ("http", "https") or (target.scheme == "http" and not self.endpoint.is_plain):
            raise UpstreamMisbehaved(f"{self.endpoint.host} sends us to {shown(target)}, which is not https")
        return target.copy_with(userinfo=b"")

    def _request(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: bytes | AsyncIterator[bytes],
        authorization: str | None,
    ) -> httpx.Request:
        fields = dict(headers)
        if authorization is not None and self.is_own(url):
            fields["Authorization"] = authorization
        return self._client.build_request(method, url, headers=fields, content=content)

    async def _get_token(self, request: httpx.Request) -> Mapping[str, object]:
        host = request.url.host

        async def once() -> Mapping[str, object]:
            again = self._client.build_request(
                request.method, request.url, headers=request.headers, content=request.content
            )
            with translated(self.endpoint.host):
                response = await self._client.send(again, stream=True)
            async with closing(response):
                body = await read_body(response, SMALL_ANSWER)
                if response.status_code in (400, 401, 403):
                    reason = told(body)[1] or "it does not accept the credentials"
                    raise UpstreamDenied(f"the token service {host} of {self.endpoint.host} refuses: {reason}")
                await raise_unusable(response, self.endpoint.host)
            try:
                if response.status_code == 200:
                    return read_token_answer(body)
            except ValueError:
                pass
            raise UpstreamMisbehaved(f"the token service {host} of {self.endpoint.host} gave no token")

        return await self.patiently(once)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
