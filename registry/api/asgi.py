"""`/v2` as one ASGI callable: route, handler, answer, and nothing else.

The table is the whole API: resource and method to handler. Holds no rule; whatever a handler raises becomes an answer
in `errors`.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Receive, Scope, Send

from registry.api import router
from registry.api.blobs import Blobs
from registry.api.errors import MethodNotAllowed, NoSuchEndpoint, answer_for
from registry.api.listings import Listings
from registry.api.manifests import Manifests
from registry.api.options import ApiOptions
from registry.api.request import Answer, Request
from registry.api.router import Resource
from registry.api.sending import send_answer
from registry.api.uploads import Uploads
from registry.content.repository import Registry

Handler = Callable[[Request], Awaitable[Answer]]
_VERSION = (b"docker-distribution-api-version", b"registry/2.0")


async def _base(_: Request) -> Answer:
    """end-1: this is a registry."""
    return Answer(200, [(b"content-type", b"application/json")], b"{}")


class RegistryApi:
    """The distribution API of one registry."""

    def __init__(self, registry: Registry, options: ApiOptions) -> None:
        blobs, manifests = Blobs(registry, options), Manifests(registry, options)
        uploads, listings = Uploads(registry, options), Listings(registry, options)
        self._handlers: Mapping[Resource, Mapping[str, Handler]] = {
            Resource.BASE: {"GET": _base, "HEAD": _base},
            Resource.CATALOG: {"GET": listings.catalog, "HEAD": listings.catalog},
            Resource.TAGS: {"GET": listings.tags, "HEAD": listings.tags},
            Resource.REFERRERS: {"GET": listings.referrers, "HEAD": listings.referrers},
            Resource.MANIFEST: {
                "GET": manifests.get,
                "HEAD": manifests.get,
                "PUT": manifests.put,
                "DELETE": manifests.delete,
            },
            Resource.BLOB: {"GET": blobs.get, "HEAD": blobs.head, "DELETE": blobs.delete},
            Resource.UPLOADS: {"POST": uploads.begin},
            Resource.UPLOAD: {
                "GET": uploads.status,
                "HEAD": uploads.status,
                "PATCH": uploads.append,
                "PUT": uploads.finish,
                "DELETE": uploads.cancel,
            },
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request whose path begins with /v2."""
        try:
            answer = await self._serve(scope, receive)
        except Exception as error:  # the border: everything becomes an answer
            answer = answer_for(error, request_id(scope))
        answer.headers.append(_VERSION)
        await send_answer(answer, scope, send)

    async def _serve(self, scope: Scope, receive: Receive) -> Answer:
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        route = router.match(raw_path.decode("latin-1"))
        if route is None:
            raise NoSuchEndpoint("there is nothing here; the API is described in the OCI distribution-spec")
        handlers = self._handlers[route.resource]
        handler = handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(f"{scope['method']} is not possible here", ", ".join(handlers))
        return await handler(Request(scope, receive, route))


def request_id(scope: Scope) -> str:
    """The id under which the access log knows this request."""
    state: Mapping[str, object] = scope.get("state") or {}
    return str(state.get("request_id", "-"))
