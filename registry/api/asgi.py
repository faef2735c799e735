"""`/v2` and `/admin` as one ASGI callable: route, gate, handler, answer, and nothing else.

The table is the whole API: resource and method to handler and to the action that the caller must be allowed. Holds no
rule; whatever a handler raises becomes an answer in `errors`.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Receive, Scope, Send

from auth.access import Action
from registry.api import router
from registry.api.administration import Administration
from registry.api.audit import Audit
from registry.api.blobs import Blobs
from registry.api.errors import Challenge, Forbidden, Hidden, MethodNotAllowed, NoSuchEndpoint, answer_for
from registry.api.gate import Gate
from registry.api.listings import Listings
from registry.api.manifests import Manifests
from registry.api.options import ApiOptions
from registry.api.request import Answer, Request, header
from registry.api.router import Resource
from registry.api.sending import send_answer
from registry.api.uploads import Uploads
from registry.content.errors import BlobUnknown, ManifestUnknown, NameUnknown, PlaceUnavailable
from registry.content.served import ServedRegistry

Handler = Callable[[Request], Awaitable[Answer]]
Endpoint = tuple[Handler, Action | None]
PULL, PUSH, DELETE, ADMIN = Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN
_UNKNOWN = (NameUnknown, ManifestUnknown, BlobUnknown)
_REFUSED = (Challenge, Forbidden, Hidden)
_VERSION = (b"docker-distribution-api-version", b"registry/2.0")


async def _base(_: Request) -> Answer:
    """end-1: this is a registry."""
    return Answer(200, [(b"content-type", b"application/json")], b"{}")


class RegistryApi:
    """The distribution API of one registry."""

    def __init__(self, registry: ServedRegistry, gate: Gate, options: ApiOptions, audit: Audit) -> None:
        blobs, manifests = Blobs(registry, options), Manifests(registry, options)
        uploads, listings = Uploads(registry, options), Listings(registry, options)
        administration = Administration(options)
        self._gate = gate
        self._options = options
        self._audit = audit
        self._endpoints: Mapping[Resource, Mapping[str, Endpoint]] = {
            Resource.BASE: {"GET": (_base, None), "HEAD": (_base, None)},
            Resource.CATALOG: {"GET": (listings.catalog, PULL), "HEAD": (listings.catalog, PULL)},
            Resource.TAGS: {"GET": (listings.tags, PULL), "HEAD": (listings.tags, PULL)},
            Resource.REFERRERS: {"GET": (listings.referrers, PULL), "HEAD": (listings.referrers, PULL)},
            Resource.MANIFEST: {
                "GET": (manifests.get, PULL),
                "HEAD": (manifests.get, PULL),
                "PUT": (manifests.put, PUSH),
                "DELETE": (manifests.delete, DELETE),
            },
            Resource.BLOB: {"GET": (blobs.get, PULL), "HEAD": (blobs.head, PULL), "DELETE": (blobs.delete, DELETE)},
            Resource.UPLOADS: {"POST": (uploads.begin, PUSH)},
            Resource.UPLOAD: {
                "GET": (uploads.status, PUSH),
                "HEAD": (uploads.status, PUSH),
                "PATCH": (uploads.append, PUSH),
                "PUT": (uploads.finish, PUSH),
                "DELETE": (uploads.cancel, PUSH),
            },
            Resource.GARBAGE: {
                "GET": (administration.status, ADMIN),
                "HEAD": (administration.status, ADMIN),
                "POST": (administration.begin, ADMIN),
            },
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request whose path begins with /v2 or /admin."""
        request: Request | None = None
        # the kind alone: an exception that outlives its handler keeps itself, and all that it has met, in memory
        failure: type[Exception] | None = None
        try:
            request, handler, action = self._route(scope, receive)
            request, answer = await self._answer(request, handler, action)
        except Exception as error:  # the border: everything becomes an answer
            failure = type(error)
            answer = answer_for(error, request_id(scope))
        if request is not None:
            self._audit.note(request, answer, failure)
            if request.namespace:
                answer.headers.append(header("oci-namespace", request.namespace))
        answer.headers.append(_VERSION)
        await send_answer(answer, scope, send)

    def _route(self, scope: Scope, receive: Receive) -> tuple[Request, Handler, Action | None]:
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        route = router.match(raw_path.decode("latin-1"))
        if route is None:
            raise NoSuchEndpoint("there is nothing here; the API is described in the OCI distribution-spec")
        endpoints = self._endpoints[route.resource]
        endpoint = endpoints.get(scope["method"])
        if endpoint is None:
            raise MethodNotAllowed(f"{scope['method']} is not possible here", ", ".join(endpoints))
        request = Request(scope, receive, route)
        names = self._options.names
        if names.by_namespace and route.name and (namespace := request.parameter("ns")):
            request = request.renamed(names.within(namespace, route.name), namespace)
        return request, *endpoint

    async def _answer(self, request: Request, handler: Handler, action: Action | None) -> tuple[Request, Answer]:
        """The answer, and the request that it is to: what is not here, or not for this caller, may be meant of what is
        mirrored. Whether something is here makes no difference then to whoever may not know. Who asks whether a blob is
        there is about to push, and means this registry.
        """
        try:
            await self._gate.admit(request, action)
            return request, await handler(request)
        except (*_UNKNOWN, *_REFUSED) as error:
            may_be_meant = action is PULL and request.route.name and not request.namespace and request.is_identified
            name = self._options.names.instead(request.route.name) if may_be_meant else None
            asks = request.method == "HEAD"
            if name is None or (asks and request.route.resource is Resource.BLOB):
                raise
            other = request.renamed(name)
            try:
                await self._gate.admit(other, action)
            except _REFUSED:
                raise error from None
            try:
                return other, await handler(other)
            except PlaceUnavailable:
                if asks:  # perhaps before a push, which shall not fail for want of an upstream
                    raise error from None
                raise


def request_id(scope: Scope) -> str:
    """The id under which the access log knows this request."""
    state: Mapping[str, object] = scope.get("state") or {}
    return str(state.get("request_id", "-"))
