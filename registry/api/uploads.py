"""Uploads: end-4a/b/c and end-11 (POST), end-5 (PATCH), end-6 (PUT), end-13 (GET), end-14 (DELETE)."""

from auth.access import Action
from registry.api.bodies import upload_body
from registry.api.options import ApiOptions
from registry.api.parsing import chunk_range, content_length
from registry.api.places import Places
from registry.api.request import Answer, Request, header
from registry.content.digest import CANONICAL, Digest
from registry.content.errors import DigestInvalid
from registry.content.names import RepositoryName
from registry.content.served import ServedRegistry
from registry.content.upload_sessions import ChunkRange, Session


class Uploads:
    """Handlers of upload sessions."""

    def __init__(self, registry: ServedRegistry, options: ApiOptions) -> None:
        self._registry = registry
        self._options = options
        self._places = Places(options.max_uploads, "uploads are running, as many as server.max_uploads allows")

    async def begin(self, request: Request) -> Answer:
        """end-4a and end-4c: open a session; end-4b: take a whole blob; end-11: mount one."""
        mounted = request.parameter("mount")
        if mounted is not None:
            digest = Digest.parse(mounted)
            if await self._mounted(request, digest):
                return self._created(request, digest)
        elif (text := request.parameter("digest")) is not None:
            digest = Digest.parse(text)
            with self._places.take():
                await self._registry.uploads.push(request.name, digest, upload_body(request))
            return self._created(request, digest)
        session = await self._registry.uploads.begin(request.name, request.parameter("digest-algorithm") or CANONICAL)
        return self._status(request, session, 202, 0)

    async def status(self, request: Request) -> Answer:
        """end-13: how much of the blob is there."""
        session = self._session(request)
        return self._status(request, session, 204, await self._registry.uploads.offset(session))

    async def append(self, request: Request) -> Answer:
        """end-5: the next chunk, or (without Content-Range) the rest as it comes."""
        session = self._session(request)
        with self._places.take():
            offset = await self._registry.uploads.append(session, upload_body(request), _chunk(request))
        return self._status(request, session, 202, offset)

    async def finish(self, request: Request) -> Answer:
        """end-6: the last chunk, if there is one more, and the digest of the whole."""
        session = self._session(request)
        text = request.parameter("digest")
        if text is None:
            raise DigestInvalid("the request that ends an upload needs ?digest=<digest of the blob>")
        digest = Digest.parse(text)
        with self._places.take():
            await self._registry.uploads.finish(session, digest, upload_body(request), _chunk(request))
        return self._created(request, digest)

    async def cancel(self, request: Request) -> Answer:
        """end-14: forget the session."""
        await self._registry.uploads.cancel(self._session(request))
        return Answer(204)

    async def _mounted(self, request: Request, digest: Digest) -> bool:
        """end-11: true if the caller may pull the blob from where it is said to be, and it is there.

        Without `from` it may be in any repository, which only those may find out who may pull them all.
        """
        text = request.parameter("from")
        source = RepositoryName.parse(text) if text else None
        caller = request.caller
        allowed = caller.may_everywhere(Action.PULL) if source is None else caller.may(Action.PULL, source)
        return allowed and await self._registry.mount(request.name, digest, source)

    def _session(self, request: Request) -> Session:
        return Session.parse(request.name, request.route.argument)

    def _created(self, request: Request, digest: Digest) -> Answer:
        base = self._options.locations.base(request.scope)
        return Answer(
            201,
            [
                header("location", f"{base}/v2/{request.name}/blobs/{digest}"),
                header("docker-content-digest", digest),
            ],
        )

    def _status(self, request: Request, session: Session, status: int, offset: int) -> Answer:
        base = self._options.locations.base(request.scope)
        return Answer(
            status,
            [
                header("location", f"{base}/v2/{request.name}/blobs/uploads/{session.id}"),
                header("range", f"0-{max(offset - 1, 0)}"),
                header("docker-upload-uuid", session.id),
            ],
        )


def _chunk(request: Request) -> ChunkRange | None:
    return chunk_range(request.header(b"content-range"), content_length(request.header(b"content-length")))
