"""Manifests: end-3 (GET, HEAD), end-7 (PUT) and end-9 (DELETE)."""

from contextlib import ExitStack

from registry.api.bodies import read_manifest
from registry.api.errors import DeletionDisabled, ParameterInvalid
from registry.api.options import ApiOptions
from registry.api.parsing import matches_etag, precondition
from registry.api.places import Places
from registry.api.request import Answer, Request, header, warning
from registry.content.digest import Digest
from registry.content.names import Tag, parse_reference
from registry.content.repository import Expected
from registry.content.served import ServedRegistry

_PULL = b"cargohold-pull"
"""The header with which a client says that it only looks: `no`."""
_LARGE_AT_ONCE = 6
"""So many manifests of more than 64 KiB are held in memory at a time; hardly one in a thousand is that large."""


class Manifests:
    """Handlers of one manifest."""

    def __init__(self, registry: ServedRegistry, options: ApiOptions) -> None:
        self._registry = registry
        self._options = options
        self._places = Places(_LARGE_AT_ONCE, "large manifests are being pushed")

    async def get(self, request: Request) -> Answer:
        """end-3: the manifest as it was pushed. HEAD is the same without the body."""
        is_pull = request.header(_PULL) != "no"
        stored = await self._registry.get_manifest(
            request.name, parse_reference(request.route.argument), is_pull=is_pull
        )
        digest = str(stored.digest).encode()
        headers = [
            (b"content-type", stored.media_type.encode("latin-1")),
            (b"docker-content-digest", digest),
            (b"etag", b'"%b"' % digest),
        ]
        if stored.warning is not None:
            headers.append(warning(stored.warning))
        if matches_etag(request.header(b"if-none-match"), f'"{stored.digest}"'):
            return Answer(304, headers)
        return Answer(200, headers, stored.data)

    async def put(self, request: Request) -> Answer:
        """end-7a: store and tag; end-7b: store under its digest, with any number of tags."""
        reference = parse_reference(request.route.argument)
        tags = [Tag.parse(text) for text in request.parameters("tag")]
        if tags and not isinstance(reference, Digest):
            raise ParameterInvalid("?tag= goes with a manifest that is pushed by digest")
        name = request.name
        media_type = (request.header(b"content-type") or "").partition(";")[0].strip().lower() or None
        with ExitStack() as held:
            limit = self._registry.rules.max_manifest_bytes
            data = await read_manifest(request, limit, on_large=lambda: held.enter_context(self._places.take()))
            pushed = await self._registry.put_manifest(
                name, reference, data, media_type, tags, expected=_expected(request)
            )
        base = self._options.locations.base(request.scope)
        answer = Answer(
            201,
            [
                header("location", f"{base}/v2/{name}/manifests/{pushed.digest}"),
                header("docker-content-digest", pushed.digest),
            ],
        )
        if pushed.subject is not None:
            answer.headers.append(header("oci-subject", pushed.subject))
        if isinstance(reference, Digest):
            answer.headers.extend(header("oci-tag", tag) for tag in pushed.tags)
        return answer

    async def delete(self, request: Request) -> Answer:
        """end-9: by tag the tag alone, by digest the manifest and the tags that name it."""
        if not self._options.allow_delete:
            raise DeletionDisabled("deleting is switched off: see registry.allow_delete in the settings")
        reference = parse_reference(request.route.argument)
        if isinstance(reference, Digest):
            await self._registry.delete_manifest(request.name, reference, _expected(request))
        else:
            await self._registry.delete_tag(request.name, reference, _expected(request))
        return Answer(202)


def _expected(request: Request) -> Expected | None:
    allows = precondition(request.header(b"if-match"), request.header(b"if-none-match"))
    return None if allows is None else lambda digest: allows(None if digest is None else f'"{digest}"')
