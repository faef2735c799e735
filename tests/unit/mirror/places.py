"""A place that holds images in dictionaries, and keeps the contract of `content.places`, reading, writing, removing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, DigestInvalid, ManifestUnknown, ReferencesUnknown, SizeInvalid
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.mediatypes import FOREIGN_LAYERS
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob, Referrer
from tests.images import Content, Image, Index, all_contents


@dataclass
class Held:
    """One repository."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, StoredManifest] = field(default_factory=dict)
    tags: dict[Tag, Digest] = field(default_factory=dict)


@dataclass
class MemoryPlace:
    """Source and target; `calls` tells what was asked of it to change, in order."""

    held: dict[RepositoryName, Held] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    can_mount: bool = True
    sparse: bool = True
    block: int = 1000

    def add(self, name: str, value: Image | Index, *tags: str) -> Digest:
        """Put an image into a repository, as a push would."""
        held = self.held.setdefault(RepositoryName.parse(name), Held())
        values = [value, *(value.images if isinstance(value, Index) else ())]
        manifests = {each.manifest.digest for each in values}
        for content in all_contents(value):
            digest = Digest.parse(content.digest)
            if content.digest in manifests:
                held.manifests[digest] = StoredManifest(digest, content.media_type, content.data)
            else:
                held.blobs[digest] = content.data
        digest = Digest.parse(value.manifest.digest)
        held.tags.update(dict.fromkeys(map(Tag.parse, tags), digest))
        return digest

    def at(self, name: str) -> Held:
        return self.held[RepositoryName.parse(name)]

    async def repositories(self) -> AsyncIterator[RepositoryName]:
        for name in self.held:
            yield name

    async def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        for tag in self.held[name].tags:
            yield tag

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        return (await self.manifest(name, reference)).digest

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        held = self.held.get(name, Held())
        digest = reference if isinstance(reference, Digest) else held.tags.get(reference)
        if digest is None or digest not in held.manifests:
            raise ManifestUnknown(f"{reference} is not in {name}")
        return held.manifests[digest]

    @asynccontextmanager
    async def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> AsyncIterator[OpenBlob]:
        if digest not in self.held[name].blobs:
            raise BlobUnknown(f"{digest} is not in {name}")
        data = self.held[name].blobs[digest]

        async def blocks() -> AsyncIterator[bytes]:
            for place in range(start, len(data), self.block):
                yield data[place : place + self.block]

        yield OpenBlob(len(data), blocks())

    async def referrers(self, name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        for stored in list(self.held[name].manifests.values()):
            manifest = parse_manifest(stored.data, stored.media_type)
            if manifest.subject is not None and manifest.subject.digest == subject:
                yield Referrer(stored.media_type, stored.digest, len(stored.data), manifest.artifact_type)

    async def has_manifest(self, name: RepositoryName, digest: Digest, subject: Digest | None = None) -> bool:
        return name in self.held and digest in self.held[name].manifests

    async def has_blob(self, name: RepositoryName, digest: Digest) -> bool:
        return name in self.held and digest in self.held[name].blobs

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName) -> bool:
        if not self.can_mount or not await self.has_blob(source, digest):
            return False
        self.calls.append(f"mount {digest}")
        self.held.setdefault(name, Held()).blobs[digest] = self.held[source].blobs[digest]
        return True

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        data = b"".join([block async for block in blocks])
        if len(data) != size:
            raise SizeInvalid(f"{len(data)} bytes, not {size}")
        if Digest.of(data, digest.algorithm) != digest:
            raise DigestInvalid(f"the bytes of {digest} have another digest")
        self.calls.append(f"blob {digest}")
        self.held.setdefault(name, Held()).blobs[digest] = data

    async def put_manifest(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag] = ()) -> None:
        held = self.held.setdefault(name, Held())
        parsed = parse_manifest(manifest.data, manifest.media_type)
        missing = [blob for blob in parsed.blobs if blob.digest not in held.blobs and not is_foreign(blob)]
        missing += [each for each in parsed.manifests if not self.sparse and each.digest not in held.manifests]
        if missing:
            raise ReferencesUnknown([str(each.digest) for each in missing])
        self.calls.append(f"manifest {manifest.digest}{''.join(f' {tag}' for tag in tags)}")
        held.manifests[manifest.digest] = manifest
        held.tags.update(dict.fromkeys(tags, manifest.digest))

    async def delete_manifest(self, name: RepositoryName, digest: Digest) -> None:
        held = self.held[name]
        if held.manifests.pop(digest, None) is None:
            raise ManifestUnknown(f"{digest} is not in {name}")
        self.calls.append(f"delete {digest}")
        held.tags = {tag: named for tag, named in held.tags.items() if named != digest}

    async def delete_tag(self, name: RepositoryName, tag: Tag) -> None:
        if self.held[name].tags.pop(tag, None) is None:
            raise ManifestUnknown(f"{tag} is not in {name}")
        self.calls.append(f"untag {tag}")


def is_foreign(blob: Descriptor) -> bool:
    return blob.media_type in FOREIGN_LAYERS


def digests(*contents: Content) -> set[Digest]:
    return {Digest.parse(content.digest) for content in contents}
