"""Repositories that mirror others: what is asked for is answered from here if it is here, and fetched if not.

A digest is answered from here for good. A tag is answered from here for `tag_seconds`; after that the upstream is asked
what it names now, and if it cannot say so, what it named before is served with a warning. Knows the rules of mirroring;
how blobs come in is `blob_fetching`'s, what else belongs to an image `companions`'.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace

from registry.content import image_config
from registry.content.digest import Digest
from registry.content.errors import (
    BlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameUnknown,
    NotMirrored,
    PlaceCorrupt,
    PlaceMisbehaved,
    PlaceRateLimited,
    PlaceRefused,
    PlaceUnavailable,
    TagImmutable,
)
from registry.content.image_config import parse_image_config
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import parse_manifest
from registry.content.names import Reference, RepositoryName, Tag, subject_of
from registry.content.paging import Page
from registry.content.referrer_index import ReferrersPage
from registry.content.repository import Registry
from registry.content.side_by_side import in_batches
from registry.mirror.blob_fetching import BlobFetching
from registry.mirror.companions import Companions
from registry.mirror.memory import Memory
from registry.mirror.mirrored_place import MirroredPlace
from registry.mirror.platforms import Platform, platform_of
from registry.mirror.shared_work import SharedWork
from registry.mirror.tag_list import TagList
from storage_backends.sendable import blocks_of

_TROUBLE = (PlaceUnavailable, PlaceRefused, TimeoutError)
_MOST_MOVES = 3
"""So often a tag may be another one when its manifest has come, until what has come is taken for what it names."""
_MOST_REFERRERS = 1000
_REFERRERS_AT_ONCE = 8
_MOST_LIST_BYTES = 64 * 1024 * 1024
"""What the lists of tags take that are remembered."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MirrorRules:
    """How upstreams are asked; times in seconds. A tag that is here is answered without asking for `tag_seconds`, one
    that is nowhere is remembered as such for `unknown_seconds`, and while something is here the upstream has
    `patience` to answer. Of images only those for `platforms` are mirrored, if any are named.
    """

    tag_seconds: float = 300.0
    unknown_seconds: float = 30.0
    patience: float = 5.0
    platforms: tuple[Platform, ...] = ()
    companions: bool = True


class PullThrough:
    """All repositories that mirror others, in `local`."""

    def __init__(self, local: Registry, blobs: BlobFetching, rules: MirrorRules) -> None:
        self._local = local
        self._blobs = blobs
        self._rules = rules
        self._work: SharedWork[None] = SharedWork()
        self._listing: SharedWork[TagList] = SharedWork()
        self._finding: SharedWork[bool] = SharedWork()
        self._unknown: Memory[str] = Memory(rules.unknown_seconds)
        self._tags: Memory[TagList] = Memory(rules.tag_seconds, _MOST_LIST_BYTES, lambda known: known.size)
        self._referrers: Memory[bool] = Memory(rules.tag_seconds)
        self._companions = Companions(local, blobs, self._fetch_missing)

    async def get_manifest(
        self, place: MirroredPlace, name: RepositoryName, reference: Reference, *, is_pull: bool = True
    ) -> StoredManifest:
        """A manifest by tag or digest. Raises `ManifestUnknown`, and what `MirroredPlace` raises."""
        warning = None
        if isinstance(reference, Tag):
            warning = await self._look_again(place, name, reference)
        try:
            stored = await self._local.get_manifest(name, reference, is_pull=is_pull)
        except ManifestUnknown:
            await self._fetch_missing(place, name, reference)
            stored = await self._local.get_manifest(name, reference, is_pull=is_pull)
        else:
            place.state.count("manifests served from here")
        return replace(stored, warning=warning) if warning else stored

    async def tags(self, place: MirroredPlace, name: RepositoryName, after: str, limit: int) -> Page:
        """A page of the tags that the upstream has; of those that are here, if it does not answer."""
        known = self._tags.get(name)
        if known is None:
            try:
                known = await self._listing.once(name, lambda: self._list_tags(place, name))
            except _TROUBLE as error:
                page = await self._own_tags(name, after, limit, error)
                return replace(page, warning=f"{place.route.host} does not answer: these are the tags that are cached")
        return known.page(after, limit)

    async def referrers(
        self,
        place: MirroredPlace,
        name: RepositoryName,
        subject: Digest,
        own_page: Callable[[], Awaitable[ReferrersPage]],
    ) -> ReferrersPage:
        """What `own_page` gives when all that refers to a manifest is here; if the upstream does not answer, what it
        gives now, unless that is nothing and may not be all that came along with the image.
        """
        failure: Exception | None = None
        are_more = self._referrers.get((name, subject))
        if are_more is None:
            try:
                are_more = await self._finding.once(
                    (name, subject), lambda: self._fetch_referrers(place, name, subject)
                )
            except _TROUBLE as error:
                failure = error
        page = await own_page()
        if failure is not None:
            if not page.descriptors and not await self._came_along(failure, name, subject):
                raise failure
            return replace(page, warning=f"{place.route.host} does not answer: these are the referrers that are cached")
        if are_more:
            warning = f"{place.route.host} has more than {_MOST_REFERRERS} referrers of this: not all are fetched"
            return replace(page, warning=warning)
        return page

    async def _look_again(self, place: MirroredPlace, name: RepositoryName, tag: Tag) -> str | None:
        """See to it that a tag is what it is over there; if that cannot be known now, why."""
        age = await self._local.tag_age(name, tag)
        if age is not None and abs(age) < self._rules.tag_seconds:
            return None
        if age is None:
            await self._fetch_missing_tag(place, name, tag)
            return None
        trouble = place.state.trouble
        if not trouble:
            try:
                async with asyncio.timeout(self._rules.patience):
                    await self._fetch_missing(place, name, tag)
            except _TROUBLE as error:
                if isinstance(error, TimeoutError):
                    place.state.failed(error)
                trouble = f"{place.route.host} cannot say now what {tag} is"
            else:
                return None
        place.state.count("stale answers")
        return f"{trouble}: this is what it was {age:.0f} s ago"

    async def _fetch_missing_tag(self, place: MirroredPlace, name: RepositoryName, tag: Tag) -> None:
        """As `_fetch_missing`; what has not come along with an image that is here is not there."""
        try:
            await self._fetch_missing(place, name, tag)
        except PlaceUnavailable as error:
            subject = subject_of(tag)
            if subject is None or not await self._came_along(error, name, subject):
                raise
            message = f"{tag} is not cached, and {place.route.host} cannot be asked now"
            raise ManifestUnknown(message, {"reference": str(tag)}) from error

    async def _came_along(self, error: Exception, name: RepositoryName, subject: Digest) -> bool:
        """True if what belongs to an image is to be taken from here: it is here, and the upstream is out of reach. One
        that only wants to be left in peace for a while says when it can be asked.
        """
        if not isinstance(error, PlaceUnavailable) or isinstance(error, PlaceRateLimited | PlaceCorrupt):
            return False
        try:
            await self._local.resolve(name, subject)
        except ManifestUnknown:
            return False
        return True

    async def _fetch_missing(self, place: MirroredPlace, name: RepositoryName, reference: Reference) -> None:
        """Bring a manifest here, or a tag and what it names now. Raises `ManifestUnknown`."""
        if (reason := self._unknown.get((name, reference))) is not None:
            raise ManifestUnknown(reason, {"reference": str(reference)})
        try:
            await self._work.once((name, reference), lambda: self._fetch(place, name, reference))
        except (ManifestUnknown, NameUnknown) as error:
            self._unknown.keep((name, reference), error.message)
            raise ManifestUnknown(error.message, error.detail) from error

    async def _fetch(self, place: MirroredPlace, name: RepositoryName, reference: Reference) -> None:
        if isinstance(reference, Digest):
            await self._bring(place, name, reference)
            return
        digest = await place.resolve(name, reference)
        for _ in range(_MOST_MOVES):
            stored, is_new = await self._bring(place, name, digest)
            # while it came, another process may have seen the tag move, and moved it here
            if not is_new or (now := await self._names_now(place, name, reference, digest)) == digest:
                break
            digest = now
        try:
            await self._put(place, name, stored, reference)
        except TagImmutable:
            place.state.count("immutable tags left alone")

    async def _names_now(self, place: MirroredPlace, name: RepositoryName, tag: Tag, seen: Digest) -> Digest:
        """What a tag names now; what it was seen to name, if the upstream cannot say any more."""
        try:
            return await place.resolve(name, tag)
        except _TROUBLE:
            return seen

    async def _bring(self, place: MirroredPlace, name: RepositoryName, digest: Digest) -> tuple[StoredManifest, bool]:
        """A manifest that is here from now on, and whether it was not before."""
        try:
            return await self._local.get_manifest(name, digest, is_pull=False), False
        except ManifestUnknown:
            stored = await place.manifest(name, digest)
        await self._check_platform(place, name, stored)
        await self._put(place, name, stored)
        if self._rules.companions:
            self._companions.fetch_later(place, name, digest)
        return stored, True

    async def _put(self, place: MirroredPlace, name: RepositoryName, stored: StoredManifest, *tags: Tag) -> None:
        try:
            await self._local.put_manifest(name, stored.digest, stored.data, stored.media_type, tags, sparse=True)
        except ManifestInvalid as error:
            what = tags[0] if tags else stored.digest
            raise PlaceCorrupt(f"what {place.route.host} has as {what} cannot be kept: {error.message}") from error

    async def _check_platform(self, place: MirroredPlace, name: RepositoryName, stored: StoredManifest) -> None:
        """Raise `NotMirrored` if the manifest is an image for a platform that nobody wants here."""
        if not self._rules.platforms:
            return
        config = parse_manifest(stored.data, stored.media_type).config
        if config is None or config.media_type not in image_config.MEDIA_TYPES or config.size > image_config.LARGEST:
            return
        await self._blobs.fetch(place, name, config.digest)
        with closing(await self._local.blobs.open(name, config.digest)) as opened:
            if opened.size != config.size:  # it may be anything, and of any size
                raise PlaceCorrupt(f"{place.route.host} has a config of {opened.size} bytes, not of {config.size}")
            data = b"".join([block async for block in blocks_of(opened)])
        parsed = parse_image_config(data)
        platform = platform_of(parsed) if parsed is not None else None
        if platform is not None and not any(wanted.covers(platform) for wanted in self._rules.platforms):
            raise NotMirrored(
                f"{name}@{stored.digest} is an image for {platform}; only those for"
                f" {', '.join(map(str, self._rules.platforms))} are mirrored here",
                {"platform": str(platform)},
            )

    async def _fetch_referrers(self, place: MirroredPlace, name: RepositoryName, subject: Digest) -> bool:
        """Bring what refers to a manifest here; true if there is more of it than that."""
        found = await place.referrers(name, subject, _MOST_REFERRERS + 1)
        wanted, are_more = found[:_MOST_REFERRERS], len(found) > _MOST_REFERRERS
        await in_batches(_REFERRERS_AT_ONCE, lambda each: self._fetch_referrer(place, name, each.digest), wanted)
        self._referrers.keep((name, subject), are_more)
        return are_more

    async def _fetch_referrer(self, place: MirroredPlace, name: RepositoryName, digest: Digest) -> None:
        try:
            await self._fetch_missing(place, name, digest)
        except ManifestUnknown:
            pass  # listed, and gone
        except (BlobUnknown, ManifestInvalid, NotMirrored, PlaceCorrupt, PlaceMisbehaved) as error:
            _log.info("the referrer %s@%s cannot be fetched: %s", name, digest, error)  # which hides no other

    async def _list_tags(self, place: MirroredPlace, name: RepositoryName) -> TagList:
        known = TagList(await place.tags(name))
        self._tags.keep(name, known)
        return known

    async def _own_tags(self, name: RepositoryName, after: str, limit: int, error: Exception) -> Page:
        try:
            return await self._local.tags(name, after, limit)
        except NameUnknown:
            raise error from None
