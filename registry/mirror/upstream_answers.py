"""Answers of registries elsewhere: read within limits, and made `mirror.errors` where one cannot go on with them.

Knows HTTP and httpx; must not know what was asked. The one place where what httpx raises is translated.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from registry.mirror.errors import (
    RateLimited,
    UpstreamDenied,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)

SMALL_ANSWER = 1024 * 1024
"""What an answer that is no content may have at most, in bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that is small."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: httpx.URL


@asynccontextmanager
async def closing(response: httpx.Response) -> AsyncGenerator[None, None]:
    """Close an answer, whatever happens; of what is left of it nothing is read."""
    try:
        yield
    finally:
        await response.aclose()


@contextmanager
def translated(host: str) -> Iterator[None]:
    """What httpx raises becomes one of our errors."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise UpstreamUnavailable(f"{host} does not answer in time") from error
    except (httpx.UnsupportedProtocol, httpx.DecodingError, httpx.InvalidURL) as error:
        raise UpstreamMisbehaved(f"the answer of {host} cannot be used: {error}") from error
    except httpx.RequestError as error:
        raise UpstreamUnavailable(f"{host} cannot be reached: {error or type(error).__name__}") from error


def refused(answer: Answer, host: str, what: str) -> UpstreamRefused:
    """What to raise for an answer that was not hoped for; `what` says what was asked."""
    code, message = told(answer.body)
    return UpstreamRefused(f"{host} refuses {what} ({answer.status}): {message or 'without a reason'}", code)


async def whole(response: httpx.Response) -> Answer:
    """An answer that is small, read to its end and closed."""
    async with closing(response):
        body = await read_body(response, SMALL_ANSWER)
    return Answer(response.status_code, response.headers, body, response.url)


async def raise_unusable(response: httpx.Response, host: str) -> None:
    """Raise what every request has to expect, and close the answer then."""
    status = response.status_code
    if status not in (401, 403, 408, 429) and status < 500:
        return
    async with closing(response):
        reason = told(await _beginning(response))[1]
    why = f": {reason}" if reason else ""
    if status == 429:
        raise RateLimited(f"{host} has had too many requests{why}", _retry_after(response))
    if status >= 500 or status == 408:
        raise UpstreamUnavailable(f"{host} fails with {status}{why}", _retry_after(response))
    raise UpstreamDenied(f"{host} denies access ({status}); log in with rights to it{why}")


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """A whole body of at most `limit` bytes. Raises `UpstreamMisbehaved` if it is larger."""
    body = bytearray()
    with translated(response.url.host):
        async for block in response.aiter_raw():
            body += block
            if len(body) > limit:
                raise UpstreamMisbehaved(f"{response.url.host} answers with more than {limit} bytes")
    return bytes(body)


async def _beginning(response: httpx.Response) -> bytes:
    """Of an error's body, as much as may hold its message; an error is an error also without one."""
    try:
        return await read_body(response, SMALL_ANSWER)
    except (UpstreamMisbehaved, UpstreamUnavailable):
        return b""


def told(body: bytes) -> tuple[str, str]:
    """Code and message of an error's body; empty if there are none. The message is fit to be shown."""
    try:
        document = json.loads(body)
        first = document["errors"][0] if "errors" in document else document
        code, message = first.get("code", ""), first.get("message") or first.get("details") or ""
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
    text = "".join(char if char.isprintable() else " " for char in str(message)[:300])
    return (code if isinstance(code, str) else ""), text.strip()


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait, in either form of RFC 9110 section 10.2.3."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def shown(url: httpx.URL) -> str:
    """A URL without what may be secret in it."""
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))[:200]
