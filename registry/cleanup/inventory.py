"""What a repository has: every manifest with its tags, its time, and what it names; and what needs what. Reads only.

A repository of 100,000 manifests has to fit into memory, so of a manifest only what it names is kept.
"""

import re
import sys
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from registry.cleanup.mark import references
from registry.content import keyspace, push_times, walk
from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid
from registry.content.image_config import LARGEST, parse_image_config
from registry.content.manifest_store import media_type_of
from registry.content.manifests import Manifest, own_words, parse_manifest
from registry.content.names import is_tag, referrers_tag
from registry.content.side_by_side import batches, side_by_side
from storage_backends.base import StorageBackend

_BATCH = 64
_ATTACHED = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{64})(\..+)?", re.ASCII)
"""A tag that belongs to a manifest: cosign's `sha256-….sig`, and the referrers tag schema of the distribution-spec."""
_ALGORITHMS = {32: "sha256", 64: "sha512"}
Step = Callable[[], Awaitable[None]]
Label = tuple[str, str]
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest of a repository; `size` is that of its own bytes. `pushed` is when it was pushed, here or where it was
    copied from; `arrived` is when it was last pushed or copied here, or pushed elsewhere: what is younger than a grace
    period stays. Both in seconds since the epoch. `packed` has the digests that it names, and is None if it cannot be
    read.
    """

    repository: str
    digest: Digest
    size: int
    pushed: float
    arrived: float
    tags: tuple[str, ...] = ()
    packed: bytes | None = None
    media_type: str = ""
    subject: Digest | None = None
    artifact_type: str | None = None
    manifest: Manifest | None = None
    """What it says, if that was asked for and can be understood."""

    @property
    def named(self) -> Iterator[Digest]:
        """Everything that it names: config and layers, or other manifests."""
        packed, at = self.packed or b"", 0
        while at < len(packed):
            end = at + 1 + packed[at]
            yield Digest(_ALGORITHMS[packed[at]], packed[at + 1 : end].hex())
            at = end


class Inventory:
    """All images of one repository, by digest. `attached` are those that refer to a manifest which is not here, but
    elsewhere, as signatures do that are kept in a repository of their own (cosign's `COSIGN_REPOSITORY`).
    """

    def __init__(
        self, name: str, images: Mapping[Digest, Image] = MappingProxyType({}), attached: Collection[Digest] = ()
    ) -> None:
        self.name = name
        self.images = images
        self.attached = frozenset(attached)

    @cached_property
    def unreadable(self) -> Digest | None:
        """A manifest that cannot be read, and so may need any other."""
        return next((digest for digest, image in self.images.items() if image.packed is None), None)

    @cached_property
    def children(self) -> Mapping[Digest, frozenset[Digest]]:
        """What an index names, and is here."""
        found = {digest: frozenset(self.images.keys() & image.named) for digest, image in self.images.items()}
        return {digest: children for digest, children in found.items() if children}

    @cached_property
    def referrers(self) -> Mapping[Digest, frozenset[Digest]]:
        """What refers to a manifest that is here: by its subject, or by a tag that belongs to that manifest."""
        schema: dict[str, Digest] = {referrers_tag(digest): digest for digest in self.images}
        found: dict[Digest, set[Digest]] = defaultdict(set)
        for digest, image in self.images.items():
            if image.subject is not None and image.subject in self.images:
                found[image.subject].add(digest)
            for tag in image.tags:
                holder = schema.get(attached_to(tag))
                if holder is not None:
                    found[holder].add(digest)
        return {digest: frozenset(referrers) for digest, referrers in found.items()}

    def own_tags(self, image: Image) -> tuple[str, ...]:
        """Its tags without those that belong to another manifest here, such as a signature's."""
        return tuple(tag for tag in image.tags if not self._is_attached(tag))

    @cached_property
    def roots(self) -> frozenset[Digest]:
        """The images that stand for themselves: they have tags of their own, or nothing here has them below it."""
        below = set[Digest]().union(*self.children.values(), *self.referrers.values())
        found = {digest for digest, image in self.images.items() if digest not in below or self.own_tags(image)}
        # what has itself below it through others, as an index whose subject is one of its children
        return frozenset(found | (self.images.keys() - self.below(found)))

    def held(self) -> set[Digest]:
        """What is no dangling image: what has a tag of its own or is attached to what lies elsewhere, and whatever that
        needs.
        """
        held = (digest for digest, image in self.images.items() if digest in self.attached or self.own_tags(image))
        return self.needed_by(held)

    def below(self, digests: Iterable[Digest]) -> set[Digest]:
        """These, what they name, and what refers to any of them."""
        return self._closure(digests, upwards=False)

    def parts(self, digest: Digest) -> set[Digest]:
        """A manifest and, of an index, what it holds."""
        found: set[Digest] = set()
        waiting = [digest]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.children.get(one, ())
        return found

    def needed_by(self, digests: Iterable[Digest]) -> set[Digest]:
        """These and whatever they need: what they name, what refers to any of them, and what any of them refers to."""
        return self._closure(digests, upwards=True)

    def going(self, chosen: set[Digest], may_go: set[Digest]) -> set[Digest]:
        """What goes if these roots do: with all that is below them and may go, but nothing that the others need."""
        going = (self.below(chosen) & may_go) - (self.roots - chosen)
        return going - self.needed_by(self.images.keys() - going)

    def _closure(self, digests: Iterable[Digest], *, upwards: bool) -> set[Digest]:
        found: set[Digest] = set()
        waiting = list(digests)
        while waiting:
            digest = waiting.pop()
            image = self.images.get(digest)
            if image is None or digest in found:
                continue
            found.add(digest)
            waiting += self.children.get(digest, ())
            waiting += self.referrers.get(digest, ())
            if upwards and image.subject is not None:
                waiting.append(image.subject)
        return found

    def _is_attached(self, tag: str) -> bool:
        return attached_to(tag) in self._schema

    @cached_property
    def _schema(self) -> frozenset[str]:
        return frozenset(referrers_tag(digest) for digest in self.referrers)


def attached_to(tag: str) -> str:
    """The manifest that a tag belongs to, in the form of `referrers_tag`; empty if it belongs to none."""
    match = _ATTACHED.fullmatch(tag)
    return match[1] if match else ""


async def _go_on() -> None:
    """No step."""


async def read(backend: StorageBackend, name: str, step: Step = _go_on, *, whole: bool = False) -> Inventory:
    """The inventory of a repository; an empty one if there is none. Calls `step` now and then. With `whole` all that
    each manifest says is kept.
    """
    tags: dict[Digest, list[str]] = defaultdict(list)
    async for tag, digest in _tags(backend, name, step):
        tags[digest].append(tag)
    copied: set[Digest | None] = set()
    async for batch in batches(backend, walk.by_digest(backend, keyspace.pushes(name), ""), _BATCH):
        copied |= {entry.digest for entry in batch}
        await step()

    async def image(entry: walk.Entry) -> Image | None:
        if entry.digest is None:
            return None
        link = await walk.stat_if_there(backend, entry.key)
        if link is None:
            return None  # deleted meanwhile, or what a deletion has left of it
        is_copied = entry.digest in copied
        pushed = await push_times.pushed(backend, name, entry.digest, link) if is_copied else link.modified
        times = pushed, max(pushed, link.modified)
        found = await _image(backend, name, entry.digest, times, tuple(tags.get(entry.digest, ())))
        return found if whole else replace(found, manifest=None)

    images: dict[Digest, Image] = {}
    entries = walk.by_digest(backend, keyspace.revisions(name), "/link")
    async for batch in batches(backend, entries, _BATCH):
        images |= {found.digest: found for found in await side_by_side(backend, image, batch) if found is not None}
        await step()
    return Inventory(name, images, await _attached_elsewhere(backend, images))


async def _attached_elsewhere(backend: StorageBackend, images: Mapping[Digest, Image]) -> list[Digest]:
    """What refers to manifests of which none is here, as long as the bytes of one lie anywhere, be it for another
    repository or in quarantine.
    """

    async def is_anywhere(digest: Digest) -> bool:
        keys = keyspace.blob(digest), keyspace.quarantined(digest)
        return any([await walk.is_there(backend, key) for key in keys])

    referring = {digest: subjects(image) for digest, image in images.items()}
    strangers = {digest: named for digest, named in referring.items() if named and not named & images.keys()}
    wanted = list(set[Digest]().union(*strangers.values()))
    found = await side_by_side(backend, is_anywhere, wanted)
    there = {digest for digest, is_there in zip(wanted, found, strict=True) if is_there}
    return [digest for digest, named in strangers.items() if named & there]


def subjects(image: Image) -> set[Digest]:
    """What an image refers to, by its own words and by its tags; nothing if it has a tag of its own."""
    named = {attached_to(tag) for tag in image.tags}
    if "" in named:
        return set()
    found = {Digest.parse(one.replace("-", ":")) for one in named}
    return found if image.subject is None else {*found, image.subject}


async def in_steps(
    backend: StorageBackend, work: Callable[[A], Coroutine[None, None, B]], items: Sequence[A], step: Step
) -> list[B]:
    """What `work` gives for each item, in their order, with a `step` now and then."""
    found: list[B] = []
    size = max(_BATCH, backend.concurrency)
    for start in range(0, len(items), size):
        found += await side_by_side(backend, work, items[start : start + size])
        await step()
    return found


async def labels(backend: StorageBackend, found: Inventory, image: Image) -> frozenset[Label] | None:
    """The labels of an image's config and the annotations of its manifest; of an index also those of its children. None
    if nobody knows, for a config is missing or damaged.
    """
    gathered: set[Label] = set()
    for digest in found.parts(image.digest):
        own = await _own_labels(backend, digest)
        if own is None:
            return None
        gathered |= own
    return frozenset(gathered)


async def _own_labels(backend: StorageBackend, digest: Digest) -> set[Label] | None:
    data = await _bytes(backend, keyspace.blob(digest))
    manifest = _parsed(data, own_words(data).media_type) if data is not None else None
    if manifest is None:
        return set()
    said = await _labels_of_config(backend, manifest.config.digest) if manifest.config is not None else {}
    return {*manifest.annotations.items(), *said.items()} if said is not None else None


async def _labels_of_config(backend: StorageBackend, digest: Digest) -> Mapping[str, str] | None:
    """None if it is not there, or damaged. One of an artifact may be anything, and says nothing then."""
    key = keyspace.blob(digest)
    there = await walk.stat_if_there(backend, key)
    if there is not None and there.size > LARGEST:
        return {}
    data = await _bytes(backend, key)
    if data is None or Digest.of(data, digest.algorithm) != digest:
        return None
    config = parse_image_config(data)
    return config.labels if config is not None else {}


async def _tags(backend: StorageBackend, name: str, step: Step) -> AsyncIterator[tuple[str, Digest]]:
    async def named(tag: str) -> tuple[str, Digest | None]:
        link = await walk.get_if_there(backend, keyspace.tag_current(name, tag))
        return tag, walk.parsed(link.data.decode("ascii", "replace")) if link is not None else None

    names = walk.children(backend, keyspace.tags(name))
    async for batch in batches(backend, names, _BATCH):
        for tag, digest in await side_by_side(backend, named, [tag for tag in batch if is_tag(tag)]):
            if digest is not None:
                yield tag, digest
        await step()


async def _image(
    backend: StorageBackend, name: str, digest: Digest, times: tuple[float, float], tags: tuple[str, ...]
) -> Image:
    data = await _bytes(backend, keyspace.blob(digest))
    if data is None or Digest.of(data, digest.algorithm) != digest:
        return Image(name, digest, len(data or b""), *times, tags)
    packed = b"".join(_packed(named) for named in references(data))
    media_type = sys.intern(await media_type_of(backend, name, digest, own_words(data)))
    manifest = _parsed(data, media_type)
    if manifest is None:
        return Image(name, digest, len(data), *times, tags, packed, media_type)
    artifact_type = sys.intern(manifest.artifact_type) if manifest.artifact_type else None
    subject = manifest.subject.digest if manifest.subject else None
    return Image(name, digest, len(data), *times, tags, packed, media_type, subject, artifact_type, manifest)


def _packed(digest: Digest) -> bytes:
    raw = bytes.fromhex(digest.encoded)
    return bytes([len(raw)]) + raw


async def _bytes(backend: StorageBackend, key: str) -> bytes | None:
    found = await walk.get_if_there(backend, key)
    return found.data if found is not None else None


def _parsed(data: bytes, media_type: str | None) -> Manifest | None:
    try:
        return parse_manifest(data, media_type)
    except ManifestInvalid:
        return None  # of a kind that has neither subject nor annotations, as far as we know
