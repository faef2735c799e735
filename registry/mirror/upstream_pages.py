"""Lists of a registry elsewhere that come in pages. Knows JSON and `Link`; must not know what is listed.

Wherever a link points to, the next page is asked of the registry itself: a link is no reason to talk to another host.
Source: distribution-spec, "Listing Tags"; RFC 8288.
"""

import re
from collections.abc import AsyncIterator, Mapping

import httpx

from registry.content import strict_json
from registry.mirror.errors import UpstreamMisbehaved
from registry.mirror.upstream_answers import Answer, refused
from registry.mirror.upstream_auth import Scope
from registry.mirror.upstream_http import UpstreamHttp

PAGE = 1000
_MAX_PAGES = 10_000
MOST_PAGE_BYTES = 16 * 1024 * 1024
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[a-z-]+\s*=\s*(?:"[^"]*"|[^\s",;]+))*)')
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"next"|next)(?:\s*;|\s*$)')


async def pages(http: UpstreamHttp, url: httpx.URL, scope: Scope, what: str) -> AsyncIterator[Mapping[str, object]]:
    """The JSON objects of all pages; `what` is asked for. Raises `NotListed` for 404."""
    seen = {url}
    while True:
        answer = await http.call("GET", url, scope, limit=MOST_PAGE_BYTES)
        if answer.status == 404:
            raise NotListed
        if answer.status != 200:
            raise refused(answer, http.endpoint.host, what)
        yield _object(answer, http.endpoint.host, what)
        following = _next(http, answer)
        if following is None:
            return
        if following in seen or len(seen) == _MAX_PAGES:
            raise UpstreamMisbehaved(f"{http.endpoint.host} lists {what} without an end")
        seen.add(following)
        url = following


class NotListed(Exception):
    """There is no such list (404)."""


def names(page: Mapping[str, object], member: str) -> list[str]:
    """The strings of a page's list; registries write `null` for an empty one."""
    values = page.get(member)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _object(answer: Answer, host: str, what: str) -> Mapping[str, object]:
    try:
        document = strict_json.loads(answer.body)
    except strict_json.JSONInvalid as error:
        raise UpstreamMisbehaved(f"{host} lists {what} in a way that cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise UpstreamMisbehaved(f"{host} lists {what} in a way that cannot be read: it is no JSON object")
    return document


def _next(http: UpstreamHttp, answer: Answer) -> httpx.URL | None:
    for field in answer.headers.get_list("Link"):
        for match in _LINK.finditer(field):
            if _NEXT.search(match[2]):
                try:
                    return http.own(answer.url.join(match[1]))
                except httpx.InvalidURL as error:
                    raise UpstreamMisbehaved(f"{http.endpoint.host} links to a page that is no URL") from error
    return None
