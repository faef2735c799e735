import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator

import pytest

from registry.content.digest import Digest
from registry.content.errors import BlobUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.names import RepositoryName, Tag, parse_reference
from registry.mirror.copy import Copying, Options
from registry.mirror.errors import RateLimited, UpstreamUnavailable
from registry.mirror.platforms import Platform
from registry.mirror.progress import BlobDone, Event, Moved, Tally, Wanted
from tests.images import OCI_INDEX, Content, Image, artifact, index, random_image, random_layer
from tests.images import image as image_of
from tests.unit.mirror.places import Held, MemoryPlace, digests

AMD, ARM = random_image(1), random_image(2, architecture="arm64")
MULTI = index([AMD, ARM])


def wanted(source: str, reference: str, *tags: str, target: str = "copy") -> Wanted:
    names = RepositoryName.parse(source), parse_reference(reference), RepositoryName.parse(target)
    return Wanted(*names, tuple(map(Tag.parse, tags)))


def copy(source: MemoryPlace, target: MemoryPlace, *images: Wanted, options: Options | None = None) -> Tally:
    async def each() -> AsyncIterator[Wanted]:
        for one in images:
            yield one

    return asyncio.run(Copying(source, target, options or Options()).run(each()))


def source_with(value: Image, *tags: str) -> MemoryPlace:
    place = MemoryPlace()
    place.add("team/app", value, *tags)
    return place


def test_an_image_arrives_byte_for_byte_with_its_tags() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()

    tally = copy(source, target, wanted("team/app", "1", "1", "latest"))

    assert target.at("copy").manifests == source.at("team/app").manifests
    assert target.at("copy").blobs == source.at("team/app").blobs
    assert set(target.at("copy").tags) == {"1", "latest"}
    assert (tally.images_done, tally.failed, tally.blobs_copied) == (1, [], 3)


def test_tags_come_last_and_a_manifest_after_all_that_it_needs() -> None:
    source, target = MemoryPlace(), MemoryPlace(sparse=False)
    top = source.add("team/app", MULTI, "1")

    copy(source, target, wanted("team/app", "1", "1"))

    assert target.calls[-2:] == [f"manifest {top}", f"manifest {top} 1"]
    assert not target.calls[0].startswith("manifest")


def test_what_is_there_is_not_copied_again() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    copy(source, target, wanted("team/app", "1", "1"))
    target.calls.clear()

    tally = copy(source, target, wanted("team/app", "1", "1"))

    assert target.calls == [f"manifest {AMD.manifest.digest} 1"]
    assert (tally.blobs_done, tally.blobs_copied, tally.size_copied) == (3, 0, 0)


def test_a_blob_that_a_manifest_at_the_target_lacks_is_brought() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    copy(source, target, wanted("team/app", "1", "1"))
    del target.at("copy").blobs[Digest.parse(AMD.layers[0].digest)]

    copy(source, target, wanted("team/app", "1", "1"))

    assert target.at("copy").blobs == source.at("team/app").blobs


@pytest.mark.parametrize(("can_mount", "calls"), [(True, 3), (False, 0)])
def test_a_blob_that_another_repository_of_the_target_has_is_mounted_where_that_can_be_done(
    can_mount: bool, calls: int
) -> None:
    source, target = source_with(AMD, "1"), MemoryPlace(can_mount=can_mount)
    images = [wanted("team/app", "1", "1"), wanted("team/app", "1", "1", target="second")]

    tally = copy(source, target, *images, options=Options(jobs=1))

    assert target.at("second").blobs == source.at("team/app").blobs
    assert len([call for call in target.calls if call.startswith("mount")]) == tally.blobs_mounted == calls


def test_images_that_share_a_layer_bring_it_once_however_many_are_on_their_way() -> None:
    shared = random_layer(5000, 7)
    source, target = MemoryPlace(block=100), MemoryPlace()
    for number in range(6):
        source.add("team/app", image_of([shared, random_layer(50, number)]), f"t{number}")

    tally = copy(source, target, *(wanted("team/app", f"t{n}", f"t{n}") for n in range(6)), options=Options(jobs=6))

    assert tally.failed == []
    assert target.calls.count(f"blob {shared.digest}") == 1


def test_of_an_index_only_the_chosen_platforms_are_copied_and_the_index_as_it_is() -> None:
    source, target = MemoryPlace(), MemoryPlace()
    top = source.add("team/app", MULTI, "1")

    copy(source, target, wanted("team/app", "1", "1"), options=Options(platforms=(Platform.parse("linux/arm64"),)))

    assert set(target.at("copy").manifests) == digests(MULTI.manifest, ARM.manifest)
    assert target.at("copy").manifests[top].data == MULTI.manifest.data
    assert set(target.at("copy").blobs) == digests(*ARM.blobs)


def test_an_index_without_a_wanted_platform_fails_and_says_what_it_has() -> None:
    source, target = MemoryPlace(), MemoryPlace()
    source.add("team/app", MULTI, "1")

    tally = copy(source, target, wanted("team/app", "1"), options=Options(platforms=(Platform.parse("linux/s390x"),)))

    assert "no image for linux/s390x; it has linux/amd64, linux/arm64" in tally.failed[0].reason


def test_what_refers_to_an_image_comes_along_and_what_refers_to_that() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    sbom = artifact(b"sbom", "text/sbom", subject=AMD.manifest)
    signature = artifact(b"signed", "text/signature", subject=sbom.manifest)
    source.add("team/app", sbom)
    source.add("team/app", signature)

    copy(source, target, wanted("team/app", "1", "1"))

    assert set(target.at("copy").manifests) == digests(AMD.manifest, sbom.manifest, signature.manifest)


def test_signatures_under_cosigns_tags_come_along_with_their_tags() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    tag = AMD.manifest.digest.replace(":", "-") + ".sig"
    source.add("team/app", artifact(b"signed", "text/signature"), tag)

    copy(source, target, wanted("team/app", "1", "1"))

    assert set(target.at("copy").tags) == {"1", tag}


def test_referrers_stay_behind_when_they_are_not_wanted() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    source.add("team/app", artifact(b"sbom", "text/sbom", subject=AMD.manifest))

    copy(source, target, wanted("team/app", "1", "1"), options=Options(referrers=False))

    assert set(target.at("copy").manifests) == digests(AMD.manifest)


def test_one_image_that_fails_does_not_stop_the_rest_and_gets_no_tag() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    source.add("team/app", ARM, "2")
    source.at("team/app").blobs[Digest.parse(AMD.layers[0].digest)] = bytes(len(AMD.layers[0].data))

    tally = copy(source, target, *(wanted("team/app", tag, tag) for tag in ("1", "gone", "2")))

    assert set(target.at("copy").tags) == {"2"}
    reasons = {str(failed.image): failed.reason for failed in tally.failed}
    assert reasons["team/app:gone"] == "gone is not in team/app"
    assert "have another digest" in reasons["team/app:1"]


def test_a_blob_of_another_size_than_its_manifest_says_is_refused() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    source.at("team/app").blobs[Digest.parse(AMD.layers[0].digest)] += b"more"

    tally = copy(source, target, wanted("team/app", "1", "1"))

    assert "its manifest says" in tally.failed[0].reason


def test_a_manifest_with_other_bytes_than_its_digest_says_is_refused() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    digest = Digest.parse(AMD.manifest.digest)
    source.at("team/app").manifests[digest] = StoredManifest(digest, AMD.manifest.media_type, ARM.manifest.data)

    tally = copy(source, target, wanted("team/app", "1", "1"))

    assert "gave a manifest with the digest" in tally.failed[0].reason
    assert target.held == {}


def test_a_foreign_layer_that_the_source_does_not_have_is_left_out() -> None:
    media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    source = source_with(dataclasses.replace(image_of([random_layer(100, 1, media_type)]), layers=()), "2")

    tally = copy(source, target := MemoryPlace(), wanted("team/app", "2", "2"))

    assert tally.failed == []
    assert set(target.at("copy").tags) == {"2"}


def test_a_dry_run_changes_nothing_and_counts_each_blob_once() -> None:
    source, target = source_with(AMD, "1"), MemoryPlace()
    source.add("team/app", MULTI, "2")

    tally = copy(source, target, *(wanted("team/app", tag, tag) for tag in "12"), options=Options(dry_run=True))

    assert target.held == {}
    assert tally.size_copied == sum(len(blob.data) for blob in {b.digest: b for b in (*AMD.blobs, *ARM.blobs)}.values())


def test_the_events_add_up_to_the_tally() -> None:
    source, events = source_with(AMD, "1"), list[Event]()

    async def images() -> AsyncIterator[Wanted]:
        yield wanted("team/app", "1", "1")

    tally = asyncio.run(Copying(source, MemoryPlace(), Options(), events.append).run(images()))

    size = sum(len(blob.data) for blob in AMD.blobs)
    assert sum(event.size for event in events if isinstance(event, Moved)) == size == tally.size_moved
    assert sum(event.size for event in events if isinstance(event, BlobDone)) == size == tally.size_done == tally.size


def test_an_index_that_names_itself_through_others_without_end_is_refused() -> None:
    source = MemoryPlace()
    value: Content = AMD.manifest
    held = source.held.setdefault(RepositoryName.parse("team/app"), Held())
    source.add("team/app", AMD)
    for _ in range(20):
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [value.descriptor]}
        value = Content(OCI_INDEX, json.dumps(document).encode())
        digest = Digest.parse(value.digest)
        held.manifests[digest] = StoredManifest(digest, OCI_INDEX, value.data)

    tally = copy(source, MemoryPlace(), wanted("team/app", value.digest))

    assert "without end" in tally.failed[0].reason


def test_no_more_blobs_are_open_at_a_time_than_there_are_jobs() -> None:
    class Watching(MemoryPlace):
        open_now = most = 0

        async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
            self.open_now += 1
            self.most = max(self.most, self.open_now)
            await asyncio.sleep(0)
            await super().put_blob(name, digest, size, blocks)
            self.open_now -= 1

    source, target = MemoryPlace(), Watching()
    for number in range(8):
        source.add("team/app", random_image(number, layers=4, layer_size=10), f"t{number}")

    copy(source, target, *(wanted("team/app", f"t{n}") for n in range(8)), options=Options(jobs=3))

    assert target.most == 3


def test_what_reading_the_list_of_images_raises_ends_the_copy() -> None:
    async def images() -> AsyncIterator[Wanted]:
        yield wanted("team/app", "1", "1")
        raise BlobUnknown("the list ends here")

    with pytest.raises(BlobUnknown, match="the list ends here"):
        asyncio.run(Copying(source_with(AMD, "1"), MemoryPlace(), Options()).run(images()))


def test_an_image_of_sha512_is_copied_although_it_has_no_cosign_tags() -> None:
    source, target = source_with(AMD), MemoryPlace()
    stored = source.at("team/app").manifests[Digest.parse(AMD.manifest.digest)]
    digest = Digest.of(stored.data, "sha512")
    source.at("team/app").manifests[digest] = StoredManifest(digest, stored.media_type, stored.data)

    tally = copy(source, target, wanted("team/app", str(digest), "1"))

    assert (tally.images_done, tally.failed) == (1, [])


@dataclasses.dataclass
class Breaking(MemoryPlace):
    """A target to which the way breaks so many times, in the middle of a blob."""

    error: type[UpstreamUnavailable] = UpstreamUnavailable
    breaks: int = 0

    async def put_blob(self, name: RepositoryName, digest: Digest, size: int, blocks: AsyncIterator[bytes]) -> None:
        if self.breaks:
            self.breaks -= 1
            await anext(blocks)
            raise self.error("cut")
        await super().put_blob(name, digest, size, blocks)


@pytest.mark.parametrize(
    ("error", "breaks", "done"),
    [(UpstreamUnavailable, 2, 1), (UpstreamUnavailable, 3, 0), (RateLimited, 1, 0)],
)
def test_a_blob_is_sent_again_when_the_way_to_the_target_breaks(
    error: type[UpstreamUnavailable], breaks: int, done: int
) -> None:
    source, target = source_with(random_image(9, layers=1), "1"), Breaking(error=error, breaks=breaks)

    tally = copy(source, target, wanted("team/app", "1", "1"), options=Options(jobs=1))

    assert (tally.images_done, len(tally.failed)) == (done, 1 - done)
