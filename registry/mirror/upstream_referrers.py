"""Referrers at a registry elsewhere: by its API, and where there is none by the tag schema, for reading and writing.

Source: distribution-spec, "Listing Referrers", "Referrers Tag Schema", "Pushing Manifests with Subject".
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx

from registry.content import mediatypes, strict_json
from registry.content.descriptors import parse_annotations, parse_descriptor
from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid, ManifestUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, Tag, referrers_tag
from registry.content.places import Referrer
from registry.mirror.errors import MirrorError, RateLimited, UpstreamMisbehaved, UpstreamRefused
from registry.mirror.upstream_auth import Scope
from registry.mirror.upstream_http import UpstreamHttp
from registry.mirror.upstream_pages import MOST_PAGE_BYTES, NotListed, pages

Get = Callable[[RepositoryName, Reference], Awaitable[StoredManifest]]
Put = Callable[[RepositoryName, Tag, StoredManifest], Awaitable[object]]


class _NoIndex(UpstreamMisbehaved):
    """Where an index of referrers should be there is something else."""


@dataclass(frozen=True, slots=True)
class UpstreamReferrers:
    """Referrers of one registry; `get` and `put` are how its manifests are read and written."""

    http: UpstreamHttp
    get: Get
    put: Put
    changing: asyncio.Lock

    async def of(self, name: RepositoryName, subject: Digest, scope: Scope) -> AsyncIterator[Referrer]:
        """What refers to a manifest, which need not be there."""
        try:
            async for page in pages(self.http, self._url(name, subject), scope, f"referrers of {subject}"):
                for entry in _entries(page, self.http.endpoint.host):
                    yield _referrer(entry, self.http.endpoint.host)
        except (NotListed, UpstreamRefused):
            try:
                entries = await self._tagged(name, subject)
            except _NoIndex:  # the tag is something else's: then there are no referrers
                return
            for entry in entries:
                yield _referrer(entry, self.http.endpoint.host)

    async def has(self, name: RepositoryName, subject: Digest, digest: Digest, scope: Scope) -> bool:
        """True if a manifest that is there can be found as a referrer of its subject: whoever pushed it may have been
        stopped before it was entered into the tag schema. A registry with the API has entered it itself.
        """
        try:
            answer = await self.http.call("GET", self._url(name, subject), scope, limit=MOST_PAGE_BYTES)
            if answer.status == 200:
                return True
        except RateLimited:
            raise
        except MirrorError:
            pass  # a registry that does not know the API may say so in any way
        return any(entry.get("digest") == str(digest) for entry in await self._tagged(name, subject))

    async def enter(self, name: RepositoryName, manifest: StoredManifest) -> None:
        """Add a manifest with a subject to the tag schema: its registry did not say that it has done so itself."""
        parsed = parse_manifest(manifest.data, manifest.media_type)
        if parsed.subject is None:
            return
        subject = parsed.subject.digest
        entry: dict[str, object] = {
            "mediaType": manifest.media_type,
            "digest": str(manifest.digest),
            "size": len(manifest.data),
        }
        if parsed.artifact_type:
            entry["artifactType"] = parsed.artifact_type
        if parsed.annotations:
            entry["annotations"] = dict(parsed.annotations)
        async with self.changing:
            entries = await self._tagged(name, subject)
            if any(known.get("digest") == entry["digest"] for known in entries):
                return
            document = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": [*entries, entry]}
            data = strict_json.dumps(document)
            index = StoredManifest(Digest.of(data), mediatypes.OCI_INDEX, data)
            await self.put(name, referrers_tag(subject), index)

    def _url(self, name: RepositoryName, subject: Digest) -> httpx.URL:
        return self.http.url(f"/v2/{name}/referrers/{subject}")

    async def _tagged(self, name: RepositoryName, subject: Digest) -> list[Mapping[str, object]]:
        try:
            index = await self.get(name, referrers_tag(subject))
        except ManifestUnknown:
            return []
        try:
            document = strict_json.loads(index.data)
        except strict_json.JSONInvalid:
            document = None
        return _entries(document, self.http.endpoint.host)


def _entries(document: object, host: str) -> list[Mapping[str, object]]:
    entries = document.get("manifests") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _NoIndex(f"{host} lists referrers in something that is no index")
    return [entry for entry in entries if isinstance(entry, dict)]


def _referrer(entry: Mapping[str, object], host: str) -> Referrer:
    try:
        descriptor = parse_descriptor(entry, "a referrer")
        annotations = parse_annotations(entry.get("annotations"), "annotations")
    except ManifestInvalid as error:
        raise UpstreamMisbehaved(f"{host} lists a referrer that cannot be read: {error.message}") from error
    artifact_type = entry.get("artifactType")
    return Referrer(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        artifact_type if isinstance(artifact_type, str) else None,
        annotations,
    )
