"""What administrators ask of the whole registry: garbage collection, when they want it, and how far it is."""

import json

from registry.api.errors import NoSuchEndpoint
from registry.api.options import ApiOptions, GarbageCollector
from registry.api.request import Answer, Request


class Administration:
    """Handlers of `/admin/gc`. Not of the distribution-spec."""

    def __init__(self, options: ApiOptions) -> None:
        self._options = options

    async def status(self, _: Request) -> Answer:
        """Who collects and how far, and what came of the last collection."""
        return _json(200, await self._collector().status())

    async def begin(self, _: Request) -> Answer:
        """Begin a collection, which goes on when this is answered."""
        return _json(202, await self._collector().begin())

    def _collector(self) -> GarbageCollector:
        if self._options.collector is None:
            raise NoSuchEndpoint("there is nothing to administer here")
        return self._options.collector


def _json(status: int, body: object) -> Answer:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    return Answer(status, headers, json.dumps(body).encode())
