"""Brings what is in a bundle into a place: first all blobs, unseen, then the images, each when it is whole.

If any blob of the bundle turns out to be damaged, no image is made visible. An image that needs what neither the bundle
nor the place has is left out and named, and does not stop the others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, DigestInvalid, SizeInvalid
from registry.content.manifest_store import StoredManifest
from registry.content.names import RepositoryName, Tag
from registry.content.places import Source, Target
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.bundle_reader import Bundle, contents
from registry.mirror.copy import Copying, Options, each
from registry.mirror.errors import MirrorError, UpstreamDenied
from registry.mirror.layout_files import blob_name
from registry.mirror.progress import Report, Tally, Wanted

Mount = Callable[[RepositoryName, Digest], Awaitable[bool]]
"""Makes a blob that any repository has part of this one; False if none has it."""


class Unnamed(Exception):
    """The archive does not say how the repositories of its images are called."""


def wanted(bundle: Bundle, prefix: str) -> list[Wanted]:
    """All images of a bundle, each with all its tags, in repositories whose names begin with `prefix`.

    Raises `Unnamed`, `NameInvalid`.
    """
    tags: dict[tuple[RepositoryName, Digest], list[Tag]] = {}
    for image in bundle.layout.images:
        if image.name is None:
            raise Unnamed(f"the archive does not say in which repository {image.reference} belongs")
        found = tags.setdefault((image.name, image.descriptor.digest), [])
        if not isinstance(image.reference, Digest):
            found.append(image.reference)
    return [
        Wanted(name, each[0] if each else digest, RepositoryName.parse(f"{prefix}{name}"), tuple(each))
        for (name, digest), each in tags.items()
    ]


async def load(
    bundle: Bundle, images: Sequence[Wanted], into: tuple[Target, Mount], options: Options, report: Report
) -> Tally:
    """Load the images; the tally is that of their blobs, with the images that failed.

    Raises `ArchiveInvalid` with the entry's name if the bundle is damaged; no image is visible then that was not.
    """
    await asyncio.to_thread(deque, contents(bundle), 0)  # nothing is begun with a bundle whose manifests lie
    unseen = _Arriving(bundle, *into)
    tally = await Copying(bundle.layout, unseen, options, report).run(each(images))
    if unseen.damaged:
        raise ArchiveInvalid("; ".join(unseen.damaged))
    if options.dry_run:
        return tally
    failed = {failure.image for failure in tally.failed}
    shown = Copying(bundle.layout, _Arriving(bundle, *into, visible=True), options)
    after = await shown.run(each(image for image in images if image not in failed))
    tally.failed += after.failed
    tally.images_done = after.images_done
    tally.manifests_copied = after.manifests_copied
    return tally


class Elsewhere(Source, Target, Protocol):
    """A registry elsewhere that a bundle is loaded into."""


class MountFromAnywhere:
    """A `Mount` for blobs that a bundle leaves out, at a registry elsewhere: of its repositories one is looked for that
    has the blob. Where it is not to be `loaded`, that one has it is enough.
    """

    def __init__(self, registry: Elsewhere, bundle: Bundle, *, loaded: bool = True) -> None:
        self._registry = registry
        self._files = bundle.files
        self._loaded = loaded
        self._listing = asyncio.Lock()
        self._names: list[RepositoryName] | None = None

    async def __call__(self, name: RepositoryName, digest: Digest) -> bool:
        """See `Mount`."""
        if self._files.blob_size(digest) is not None:
            return False
        names = await self._repositories()
        for other in [*names]:
            if other != name and await self._has(other, digest):
                names.remove(other)
                names.insert(0, other)  # what shares one layer mostly shares more
                return not self._loaded or await self._registry.mount(name, digest, other)
        return False

    async def _repositories(self) -> list[RepositoryName]:
        async with self._listing:
            if self._names is None:
                self._names = []
                with suppress(MirrorError):  # then the bundle is made again, from what can be listed
                    self._names = [name async for name in self._registry.repositories()]
            return self._names

    async def _has(self, name: RepositoryName, digest: Digest) -> bool:
        try:
            return await self._registry.has_blob(name, digest)
        except UpstreamDenied:
            return False  # listed, and closed to us


class _Arriving:
    """The target, as loading sees it: blobs from anywhere in it will do; manifests are shown only if `visible`."""

    def __init__(self, bundle: Bundle, target: Target, mount: Mount, *, visible: bool = False) -> None:
        self.damaged: list[str] = []
        self._files = bundle.files
        self._target = target
        self._mount = mount
        self._visible = visible

    async def has_manifest(self, name: RepositoryName, digest: Digest, subject: Digest | None = None) -> bool:
        """See `Target`."""
        return await self._target.has_manifest(name, digest, subject)

    async def has_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """See `Target`. Raises `BlobUnknown` if it cannot come from anywhere."""
        if await self._target.has_blob(name, digest) or await self._mount(name, digest):
            return True
        if self._files.blob_size(digest) is None:
            raise BlobUnknown(
                f"blob {digest} is neither in the bundle nor in the registry: make the bundle again from an inventory "
                "of this registry as it is now"
            )
        return False

    async def mount(self, name: RepositoryName, digest: Digest, source: RepositoryName) -> bool:
        """See `Target`: `has_blob` has tried it."""
        return False

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        """See `Target`."""
        try:
            await self._target.put_blob(name, digest, size, blocks)
        except (DigestInvalid, SizeInvalid, ArchiveInvalid) as error:
            self.damaged.append(f"{blob_name(digest)} in the archive is damaged: {error}")
            raise

    async def put_manifest(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag] = ()) -> None:
        """See `Target`."""
        if self._visible:
            await self._target.put_manifest(name, manifest, tags)
