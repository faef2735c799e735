"""Puts images into a registry of ours, as a push would."""

from registry.content.digest import Digest
from registry.content.local_place import LocalPlace
from registry.content.manifest_store import StoredManifest
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry
from tests.images import Image, Index, all_contents
from tests.unit.content.pouring import Poured


async def push(registry: Registry, name: str, value: Image | Index, *tags: str) -> None:
    """All that makes up an image or index, the manifest itself under the tags."""
    repository = RepositoryName(name)
    manifests = {value.manifest.digest, *(each.manifest.digest for each in getattr(value, "images", ()))}
    for content in all_contents(value):
        if content.digest in manifests:
            stored = StoredManifest(Digest.parse(content.digest), content.media_type, content.data)
            named = [Tag(tag) for tag in tags] if content is value.manifest else []
            await LocalPlace(registry).put_manifest(repository, stored, named)
        else:
            await registry.uploads.push(repository, Digest.parse(content.digest), Poured(content.data))
