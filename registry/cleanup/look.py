"""One look at a repository: links, tags, manifests and what they need. Reads only, and believes nothing.

A look may fall into the middle of a push or a deletion: whoever looks looks twice before saying anything.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from registry.cleanup import hit, inventory
from registry.cleanup.findings import Collect, Finding, Kind, Repair, Write
from registry.cleanup.inventory import Image, Inventory
from registry.content import keyspace, walk
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.names import RepositoryName, is_tag
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import ObjectInfo, StorageBackend, StoredObject

_KNOWN = re.compile(
    r"_layers/sha(256|512)/[0-9a-f]+/link"
    r"|_manifests/revisions/sha(256|512)/[0-9a-f]+/(link|signatures/.+)"
    r"|_manifests/tags/[^/]+/(current|index/sha(256|512)/[0-9a-f]+)/link"
    r"|_uploads/.+"
)
_ATTESTATION = "application/vnd.in-toto+json"
"""The layers of what a build attests, which stands beside the images of an index."""
_PUSH = "push the image again, or fetch what is lost with `cargohold scrub --from`"
_BRING = "push the image again, or bring it with `cargohold sync`"
"""Where not even a link says that it was here."""


class Look:
    """A look at the repository `name`. What is younger than `since` (seconds since the epoch) may belong to a push that
    is under way. An index may lack manifests if `sparse`; a repository that is `mirrored` may lack anything.
    """

    def __init__(self, backend: StorageBackend, name: str, since: float, *, sparse: bool, mirrored: bool) -> None:
        self.findings: list[Finding] = []
        self._backend = backend
        self._name = name
        self._since = since
        self._sparse = sparse or mirrored
        self._mirrored = mirrored
        self._found = Inventory(name)
        self._called: Mapping[Digest, Sequence[str]] = {}
        self._whole: set[Digest] = set()
        """Manifests that can be pulled."""
        self._named: set[Digest] = set()

    async def run(self) -> Inventory:
        """Look; what was found is in `findings`."""
        self._found = await inventory.read(self._backend, self._name, whole=True)
        self._called = hit.called(self._found)
        for image in self._found.images.values():
            self._named.update(image.named)
        images = list(self._found.images.values())
        for image, whole in zip(images, await side_by_side(self._backend, self._manifest, images), strict=True):
            if whole:
                self._whole.add(image.digest)
        for image in images:
            await self._children(image)
        await self._blobs(images)
        await self._layers()
        tags = walk.children(self._backend, keyspace.tags(self._name))
        async for batch in batches(self._backend, tags, 64):
            await side_by_side(self._backend, self._tag, batch)
        await self._strays()
        return self._found

    async def _manifest(self, image: Image) -> bool:
        """True if a manifest is there, link and bytes."""
        key = keyspace.revision_link(self._name, image.digest)
        names = self._called[image.digest]
        if not image.size:
            self._add("manifest without bytes", key, f"manifest {image.digest} has no bytes", _PUSH, images=names)
            return False
        whole = await self._link(key, image.digest, lambda: names)
        if image.manifest is None:
            data = await self._get(keyspace.blob(image.digest))
            if data is not None and Digest.of(data.data, image.digest.algorithm) != image.digest:
                self._add(
                    "damaged manifest",
                    keyspace.blob(image.digest),
                    f"the bytes of manifest {image.digest} have another digest",
                    f"take them away with `cargohold scrub`, then {_PUSH}",
                    images=names,
                )
                return False
        return whole

    async def _children(self, image: Image) -> None:
        children = image.manifest.manifests if image.manifest and not self._sparse else ()
        missing = [
            child.digest
            for child in children
            if child.digest not in self._whole and None in await self._blob(child.digest)  # a build cache lists blobs
        ]
        if missing and any(self._is_image(child.digest) for child in children):
            self._add(
                "incomplete index",
                keyspace.revision_link(self._name, image.digest),
                f"index {image.digest} has {len(children) - len(missing)} of its {len(children)} manifests; not here: "
                + ", ".join(map(str, missing)),
                "nothing is wrong if only some platforms were brought; else bring the image again for all of them",
                images=self._called[image.digest],
            )
            return
        for digest in missing:
            self._add(
                "missing manifest",
                keyspace.revision_link(self._name, digest),
                f"index {image.digest} needs manifest {digest}, which is not there",
                _BRING,
                images=self._called[image.digest],
            )

    def _is_image(self, digest: Digest) -> bool:
        """True for a manifest that can be pulled and is more than what a build attests."""
        manifest = self._found.images[digest].manifest if digest in self._whole else None
        types = {blob.media_type for blob in manifest.blobs[1:]} if manifest is not None else {_ATTESTATION}
        return types != {_ATTESTATION}

    async def _blobs(self, images: Sequence[Image]) -> None:
        """Config and layers of all images: each link and each size is looked at once."""
        needed: dict[Digest, list[tuple[Image, Descriptor]]] = {}
        for image in images:
            for blob in image.manifest.blobs if image.manifest else ():
                if not blob.foreign:
                    needed.setdefault(blob.digest, []).append((image, blob))
        digests = list(needed)
        for digest, sizes in zip(digests, await side_by_side(self._backend, self._blob, digests), strict=True):
            for image, blob in needed[digest]:
                self._judge(image, blob, *sizes)

    async def _blob(self, digest: Digest) -> tuple[ObjectInfo | None, ObjectInfo | None]:
        """A blob's link and bytes."""
        link = await self._stat(keyspace.layer_link(RepositoryName(self._name), digest))
        return link, await self._stat(keyspace.blob(digest))

    def _judge(self, image: Image, blob: Descriptor, link: ObjectInfo | None, data: ObjectInfo | None) -> None:
        names = self._called[image.digest]
        subject = f"blob {blob.digest}, which manifest {image.digest} needs,"
        if self._mirrored and (data is None or link is None):
            return
        if data is None:
            advice = _BRING if link is None else _PUSH
            self._add("missing blob", keyspace.blob(blob.digest), f"{subject} has no bytes", advice, images=names)
        elif link is None:
            key = keyspace.layer_link(RepositoryName(self._name), blob.digest)
            self._add("missing blob", key, f"{subject} is not in this repository", _BRING, images=names)
        elif data.size != blob.size:
            self._add(
                "wrong size",
                keyspace.blob(blob.digest),
                f"{subject} has {data.size} bytes instead of {blob.size}",
                f"take it away with `cargohold scrub`, then {_PUSH}",
                images=names,
            )

    async def _layers(self) -> None:
        entries = walk.by_digest(self._backend, keyspace.layers(self._name), "/link")
        async for batch in batches(self._backend, entries, 64):
            await side_by_side(self._backend, self._layer, batch)

    async def _layer(self, entry: walk.Entry) -> None:
        digest = entry.digest
        if digest is None:
            return
        if await self._stat(keyspace.blob(digest)) is not None:
            await self._link(entry.key, digest, lambda: self._hit_by(digest))
            return
        link = await self._stat(entry.key)
        if link is not None and digest not in self._named and link.modified < self._since:
            self._add(
                "link without bytes",
                entry.key,
                f"blob {digest} has no bytes, and no manifest needs it",
                "nothing is lost; garbage collection removes the link",
                repair=Collect(entry.key, digest),
            )

    def _hit_by(self, digest: Digest) -> list[str]:
        needing = [one for one in self._found.images.values() if digest in one.named]
        return [line for image in needing for line in self._called[image.digest]]

    async def _link(
        self, key: str, digest: Digest, images: Callable[[], Sequence[str]], *, checked: bool = True
    ) -> bool:
        """True if a link says what it should; `checked` if the bytes have to be right before it is written again."""
        link = await self._get(key)
        if link is None:
            return False
        if link.data == str(digest).encode():
            return True
        state = "is empty" if not link.data else "does not say what its name says"
        self._add(
            "broken link",
            key,
            f"the link to {digest} {state}",
            "repair it with `cargohold fsck --repair`",
            images=images(),
            repair=Write(key, link.info.version, str(digest).encode(), digest if checked else None),
        )
        return False

    async def _tag(self, tag: str) -> None:
        key, index = keyspace.tag_current(self._name, tag), keyspace.tag_indexes(self._name, tag)
        history = [one async for one in walk.by_digest(self._backend, index, "/link")]
        current = await self._get(key)
        if current is None:
            await self._history_alone(tag, history)
            return
        for entry in history:
            if entry.digest is not None:
                await self._link(entry.key, entry.digest, list, checked=False)
        digest = walk.parsed(current.data.decode("ascii", "replace"))
        if digest is None:
            self._broken_tag(tag, key, current, [one.digest for one in history if one.digest in self._whole])
        elif digest not in self._found.images:
            self._add(
                "tag without manifest",
                key,
                f"tag {tag} names manifest {digest}, which is not in this repository",
                f"push the image again, or delete the tag with `cargohold rmi {self._name}:{tag}`",
                images=[f"{self._name}:{tag}@{digest}"],
            )
        elif not is_tag(tag):
            self._add("stray file", key, f"{tag!r} is no tag", "no client can reach it: remove it")

    def _broken_tag(self, tag: str, key: str, link: StoredObject, past: Sequence[Digest | None]) -> None:
        state = "is empty" if not link.data else "names no digest"
        if len(past) == 1:
            advice = f"it can only have named {past[0]}: repair it with `cargohold fsck --repair`"
            repair = Write(key, link.info.version, str(past[0]).encode(), past[0])
        else:
            known = ", ".join(map(str, past)) or "none that is left"
            advice = f"push the image again, or tag what it has named: {known}"
            repair = None
        self._add(
            "broken tag", key, f"the link of tag {tag} {state}", advice, images=[f"{self._name}:{tag}"], repair=repair
        )

    async def _history_alone(self, tag: str, history: Sequence[walk.Entry]) -> None:
        for entry in history:
            info = await self._stat(entry.key)
            if info is not None and info.modified < self._since:
                self._add(
                    "history without tag",
                    entry.key,
                    f"{tag} is no tag any more, but its history is left",
                    "nothing is lost; push the image again if the tag should be there",
                )

    async def _strays(self) -> None:
        async for key in self._keys():
            if not _KNOWN.fullmatch(key.removeprefix(keyspace.repository(self._name))):
                self._add("stray file", key, "no registry reads this file", "remove it if you know what it is")

    async def _keys(self) -> AsyncIterator[str]:
        prefix = keyspace.repository(self._name)
        async for child in walk.children(self._backend, prefix):
            if child.startswith("_"):
                async for key in walk.keys_at(self._backend, f"{prefix}{child}"):
                    yield key

    async def _get(self, key: str) -> StoredObject | None:
        return await walk.get_if_there(self._backend, key)

    async def _stat(self, key: str) -> ObjectInfo | None:
        return await walk.stat_if_there(self._backend, key)

    def _add(
        self, kind: Kind, key: str, what: str, advice: str, *, images: Sequence[str] = (), repair: Repair | None = None
    ) -> None:
        self.findings.append(Finding(kind, key, self._name, what, advice, tuple(images), repair))
