"""A registry elsewhere as a place to copy images from and to: a `Source` and a `Target` over HTTP.

Knows the resources of the distribution-spec. It believes nothing: manifests are compared with their digests here, blobs
by whoever reads them (`content.verifying`).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Self

import httpx

from registry.content import mediatypes
from registry.content.digest import CANONICAL, Digest
from registry.content.errors import BlobUnknown, ContentCorrupt, DigestInvalid, ManifestUnknown, NameUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import own_words
from registry.content.names import Reference, RepositoryName, Tag, is_name, is_tag
from registry.content.places import OpenBlob, Referrer
from registry.mirror.errors import UpstreamDenied, UpstreamMisbehaved, UpstreamRefused
from registry.mirror.upstream_answers import Answer, refused
from registry.mirror.upstream_auth import Scope
from registry.mirror.upstream_blobs import BlobDownload
from registry.mirror.upstream_http import UpstreamHttp
from registry.mirror.upstream_options import UpstreamOptions
from registry.mirror.upstream_pages import PAGE, NotListed, names, pages
from registry.mirror.upstream_push import BlobUpload
from registry.mirror.upstream_referrers import UpstreamReferrers

_ACCEPTED = {"Accept": ", ".join(sorted(mediatypes.MANIFESTS))}
_CATALOG: Scope = ("registry:catalog:*",)


class Upstream:
    """One registry. To be closed, or used as a context."""

    def __init__(self, options: UpstreamOptions) -> None:
        self.endpoint = options.endpoint
        self._max_manifest = options.max_manifest_bytes
        self._http = UpstreamHttp(options)
        self._uploads = BlobUpload(self._http, options.chunk_bytes)
        self._referrers = UpstreamReferrers(self._http, self._get, self._put, asyncio.Lock())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def repositories(self) -> AsyncIterator[RepositoryName]:
        """See `Source`. Not every registry has this list: `UpstreamRefused`, `UpstreamDenied`."""
        await self._http.log_in(_CATALOG)
        url = self._http.url("/v2/_catalog", {"n": PAGE})
        try:
            async for page in pages(self._http, url, _CATALOG, "its repositories"):
                for text in names(page, "repositories"):
                    if is_name(text):
                        yield RepositoryName(text)
        except NotListed:
            raise UpstreamRefused(f"{self.endpoint.host} does not list its repositories: name them") from None

    async def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        """See `Source`."""
        there = self.endpoint.repository(name)
        url = self._http.url(f"/v2/{there}/tags/list", {"n": PAGE})
        try:
            async for page in pages(self._http, url, _pull(there), f"the tags of {there}"):
                for text in names(page, "tags"):
                    if is_tag(text):
                        yield Tag(text)
        except NotListed:
            message = f"there is no repository {there} at {self.endpoint.host}"
            raise NameUnknown(message, {"name": str(there)}) from None

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        """See `Source`. Costs a HEAD, which registries count as less than a pull."""
        there = self.endpoint.repository(name)
        answer = await self._http.call("HEAD", self._manifest_url(there, reference), _pull(there), headers=_ACCEPTED)
        if answer.status == 404:
            raise self._unknown(there, reference)
        told = _told_digest(answer)
        if answer.status != 200 or told is None:
            return (await self._get(there, reference)).digest
        if isinstance(reference, Digest) and told != reference:
            raise ContentCorrupt(f"{self.endpoint.host} answers with {told} where {reference} was asked for")
        return told

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        """See `Source`. Raises `UpstreamMisbehaved` if it is larger than we read."""
        return await self._get(self.endpoint.repository(name), reference)

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncGenerator[OpenBlob, None]:
        """See `Source`. A connection that breaks is mended by asking for the rest."""
        there = self.endpoint.repository(name)
        download = BlobDownload(self._http, there, digest, _pull(there), start)
        try:
            await download.open()
            async with aclosing(download.blocks()) as blocks:
                yield OpenBlob(download.size, blocks)
        finally:
            await download.close()

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int:
        """The size of a blob in bytes, without fetching it. Raises `BlobUnknown`."""
        there = self.endpoint.repository(name)
        url = self._http.url(f"/v2/{there}/blobs/{digest}")
        answer = await self._http.call("HEAD", url, _pull(there))
        if answer.status == 404:
            raise self._no_blob(there, digest)
        size = answer.headers.get("Content-Length", "")
        if answer.status != 200 or not (size.isascii() and size.isdigit()):
            raise UpstreamMisbehaved(f"{self.endpoint.host} does not say how long blob {digest} is")
        return int(size)

    async def blob_part(self, name: RepositoryName, digest: Digest, start: int, length: int) -> bytes:
        """So many bytes of a blob from `start` on; none if the registry sends no parts. Raises `BlobUnknown`."""
        there = self.endpoint.repository(name)
        url, part = self._http.url(f"/v2/{there}/blobs/{digest}"), {"Range": f"bytes={start}-{start + length - 1}"}
        try:
            answer = await self._http.call("GET", url, _pull(there), headers=part, limit=length)
        except UpstreamMisbehaved:  # more than that, and nobody wants the rest
            return b""
        if answer.status == 404:
            raise self._no_blob(there, digest)
        return answer.body if answer.status == 206 else b""

    async def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        """See `Source`."""
        there = self.endpoint.repository(name)
        async for referrer in self._referrers.of(there, subject, _pull(there)):
            yield referrer

    async def has_manifest(self, name: RepositoryName, digest: Digest, subject: Digest | None = None) -> bool:
        """See `Target`."""
        there = self.endpoint.repository(name)
        is_there = await self._has(self._manifest_url(there, digest), _push(there), f"manifest {digest}")
        return is_there and (subject is None or await self._referrers.has(there, subject, digest, _pull(there)))

    async def has_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """See `Target`."""
        there = self.endpoint.repository(name)
        return await self._has(self._http.url(f"/v2/{there}/blobs/{digest}"), _push(there), f"blob {digest}")

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName) -> bool:
        """See `Target`."""
        there, other = self.endpoint.repository(name), self.endpoint.repository(source)
        try:
            return await self._uploads.mount(there, digest, other, (*_push(there), *_pull(other)))
        except UpstreamDenied:
            return False  # we may not read the other one; if this one is closed to us, too, the push says so

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        """See `Target`; the registry checks the digest. What breaks in the middle is not begun again here."""
        there = self.endpoint.repository(name)
        await self._uploads.push(there, digest, size, blocks, _push(there))

    async def put_manifest(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag] = ()) -> None:
        """See `Target`. What has a subject can be found as a referrer then, also where there is no API for that."""
        there = self.endpoint.repository(name)
        for reference in tags or (manifest.digest,):
            answer = await self._put(there, reference, manifest)
        if b'"subject"' in manifest.data and "OCI-Subject" not in answer.headers:
            await self._referrers.enter(there, manifest)

    async def delete_manifest(self, name: RepositoryName, digest: Digest) -> None:
        """See `Removable`. Raises `UpstreamRefused` if the registry does not allow it."""
        await self._delete(self.endpoint.repository(name), digest)

    async def delete_tag(self, name: RepositoryName, tag: Tag) -> None:
        """See `Removable`. Raises `UpstreamRefused` also where tags can only go with their manifest."""
        await self._delete(self.endpoint.repository(name), tag)

    async def _get(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        url = self._manifest_url(name, reference)
        answer = await self._http.call("GET", url, _pull(name), headers=_ACCEPTED, limit=self._max_manifest)
        if answer.status == 404:
            raise self._unknown(name, reference)
        if answer.status != 200:
            raise refused(answer, self.endpoint.host, f"manifest {reference} of {name}")
        told = _told_digest(answer)
        wanted = reference if isinstance(reference, Digest) else told
        digest = Digest.of(answer.body, wanted.algorithm if wanted else CANONICAL)
        if wanted is not None and digest != wanted:
            raise ContentCorrupt(
                f"{self.endpoint.host} sends bytes with the digest {digest} as manifest {reference} of {name},"
                f" not {wanted}"
            )
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type not in mediatypes.MANIFESTS | mediatypes.SCHEMA_1:
            media_type = own_words(answer.body).media_type or media_type
        return StoredManifest(digest, media_type, answer.body)

    async def _put(self, name: RepositoryName, reference: Reference, manifest: StoredManifest) -> Answer:
        answer = await self._http.call(
            "PUT",
            self._manifest_url(name, reference),
            _push(name),
            headers={"Content-Type": manifest.media_type},
            content=manifest.data,
            repeatable=True,
        )
        if answer.status != 201:
            raise refused(answer, self.endpoint.host, f"manifest {reference} for {name}")
        told = _told_digest(answer)
        if told is not None and told != manifest.digest and told.algorithm == manifest.digest.algorithm:
            raise UpstreamMisbehaved(f"{self.endpoint.host} has stored {manifest.digest} as {told}")
        return answer

    async def _delete(self, name: RepositoryName, reference: Reference) -> None:
        scope = (f"repository:{name}:delete",)
        answer = await self._http.call("DELETE", self._manifest_url(name, reference), scope)
        if answer.status == 404:
            raise self._unknown(name, reference)
        if answer.status not in (200, 202, 204):
            raise refused(answer, self.endpoint.host, f"to delete {reference} of {name}")

    async def _has(self, url: httpx.URL, scope: Scope, what: str) -> bool:
        answer = await self._http.call("HEAD", url, scope, headers=_ACCEPTED if "/manifests/" in url.path else None)
        if answer.status not in (200, 404):
            raise refused(answer, self.endpoint.host, f"to say whether it has {what}")
        return answer.status == 200

    def _manifest_url(self, name: RepositoryName, reference: Reference) -> httpx.URL:
        return self._http.url(f"/v2/{name}/manifests/{reference}")

    def _no_blob(self, name: RepositoryName, digest: Digest) -> BlobUnknown:
        return BlobUnknown(f"blob {digest} is not in repository {name} of {self.endpoint.host}")

    def _unknown(self, name: RepositoryName, reference: Reference) -> ManifestUnknown:
        return ManifestUnknown(
            f"manifest {reference} is not in repository {name} of {self.endpoint.host}", {"reference": str(reference)}
        )


def _told_digest(answer: Answer) -> Digest | None:
    """What the registry calls a manifest; None if it does not say, or in no words of ours."""
    try:
        return Digest.parse(answer.headers.get("Docker-Content-Digest", ""))
    except DigestInvalid:
        return None


def _pull(name: RepositoryName) -> Scope:
    return (f"repository:{name}:pull",)


def _push(name: RepositoryName) -> Scope:
    return (f"repository:{name}:pull,push",)
