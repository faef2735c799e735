"""Lists, page by page: end-8 (tags), end-12 (referrers) and Docker's `_catalog`, which the spec leaves out."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from registry.api.gate import visible
from registry.api.options import ApiOptions
from registry.api.parsing import page_size
from registry.api.request import Answer, Headers, Request, header, warning, with_headers
from registry.content import mediatypes, strict_json
from registry.content.catalog import View
from registry.content.digest import Digest
from registry.content.names import RepositoryName
from registry.content.paging import EVERYTHING
from registry.content.served import ServedRegistry


class Listings:
    """Handlers of lists."""

    def __init__(self, registry: ServedRegistry, options: ApiOptions) -> None:
        self._registry = registry
        self._options = options

    async def tags(self, request: Request) -> Answer:
        """end-8a: all tags; end-8b: a page of them."""
        asked = request.parameter("n")
        limit = EVERYTHING if asked is None else self._limit(request)
        page = await self._registry.tags(request.name, request.parameter("last") or "", limit)
        body = {"name": request.name, "tags": page.names}
        answer = self._page(request, body, [("n", limit), ("last", page.names[-1])] if page.more and page.names else [])
        return _warned(answer, page.warning)

    async def referrers(self, request: Request) -> Answer:
        """end-12a: what refers to a manifest; end-12b: of one artifact type."""
        subject = Digest.parse(request.route.argument)
        # a plus sign as it stands is one in a URL (RFC 3986) and a space in a form; media types have no spaces
        wanted = (request.parameter("artifactType") or "").replace(" ", "+") or None
        after = str(Digest.parse(last)) if (last := request.parameter("last")) else ""
        limit = self._limit(request, self._options.max_page_size)
        page = await self._registry.referrers(request.name, subject, wanted, after, limit)
        body = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": page.descriptors}
        more: list[tuple[str, object]] = []
        if page.last is not None:
            more = [("n", limit), ("last", page.last), *([("artifactType", wanted)] if wanted else [])]
        answer = self._page(request, body, more, mediatypes.OCI_INDEX)
        if wanted is not None:
            answer.headers.append(header("oci-filters-applied", "artifactType"))
        return _warned(answer, page.warning)

    async def catalog(self, request: Request) -> Answer:
        """The names of all repositories that the caller may pull."""
        last = request.parameter("last")
        after = RepositoryName.parse(last) if last else ""
        limit = self._limit(request)
        page = await self._registry.repositories(after, limit, View(*visible(request.caller)))
        more = [("n", limit), ("last", page.names[-1])] if page.more and page.names else []
        return self._page(request, {"repositories": page.names}, more)

    def _limit(self, request: Request, default: int | None = None) -> int:
        options = self._options
        return page_size(request.parameter("n"), default or options.default_page_size, options.max_page_size)

    def _page(
        self,
        request: Request,
        body: object,
        more: Sequence[tuple[str, object]],
        media_type: str = "application/json",
    ) -> Answer:
        """A page as JSON, with a `Link` to the next one (RFC 8288) if `more` says with which parameters it begins."""
        headers: Headers = [header("content-type", media_type)]
        if more:
            more = [*more, *([("ns", request.namespace)] if request.namespace else [])]
            path = self._options.locations.base(request.scope) + quote(request.scope["path"])
            headers.append(header("link", f'<{path}?{urlencode(more)}>; rel="next"'))
        return Answer(200, headers, strict_json.dumps(body))


def _warned(answer: Answer, text: str | None) -> Answer:
    return answer if text is None else with_headers(answer, [warning(text)])
