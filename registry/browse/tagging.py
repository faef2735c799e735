"""Giving an image another name in the same place, without moving its layers: blobs are mounted, manifests put."""

from collections.abc import Sequence
from typing import Protocol

from registry.content import mediatypes
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.errors import ContentError, ManifestInvalid
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import Source, Target

_DEEPEST = 16
"""So deep indexes in indexes are followed."""


class Place(Source, Target, Protocol):
    """A place that can be read and written."""


class NotMounted(ContentError):
    """The place does not take a blob over from another of its repositories."""


async def retag(place: Place, name: RepositoryName, reference: Reference, target: RepositoryName, tag: Tag) -> Digest:
    """Make `tag` of `target` name what `reference` of `name` names now, and return its digest.

    The tag is moved last: stopped anywhere before, nothing shows. Raises `ManifestUnknown`, `TagImmutable`,
    `NotMounted` and what the place raises.
    """
    stored = await place.manifest(name, reference)
    if target != name:
        await _bring_needs(place, name, stored, target, 0)
    await place.put_manifest(target, stored, (tag,))
    return stored.digest


async def _bring_needs(
    place: Place, name: RepositoryName, stored: StoredManifest, target: RepositoryName, depth: int
) -> None:
    """Make all that a manifest needs part of another repository."""
    if depth > _DEEPEST:
        raise ManifestInvalid(f"{name}@{stored.digest} is an index in indexes without end")
    manifest = parse_manifest(stored.data, stored.media_type)
    children = [child for child in manifest.manifests if child.media_type in mediatypes.MANIFESTS]
    for child in children:
        found = await place.manifest(name, child.digest)
        await _bring_needs(place, name, found, target, depth + 1)
        await place.put_manifest(target, found)
    cached = [child for child in manifest.manifests if child not in children]  # build caches list blobs in an index
    await _mount(place, name, (*manifest.blobs, *cached), target)


async def _mount(place: Place, name: RepositoryName, blobs: Sequence[Descriptor], target: RepositoryName) -> None:
    for blob in blobs:
        if blob.foreign or await place.has_blob(target, blob.digest):
            continue
        if not await place.mount(target, blob.digest, name):
            raise NotMounted(
                f"blob {blob.digest} cannot be taken over from {name}: the registry does not mount it, or you may not"
                f" pull from {name}"
            )
