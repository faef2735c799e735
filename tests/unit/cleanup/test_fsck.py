"""What fsck says, what it repairs, and what it leaves alone."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from registry.cleanup.findings import Finding, Kind
from registry.cleanup.fsck import Checked, Fsck, Options
from registry.cleanup.scrub import Options as ScrubOptions
from registry.cleanup.scrub import Scrub
from registry.content import keyspace, mediatypes, paging
from registry.content.digest import Digest
from registry.content.leases import Collector, storage_time
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.base import Listing, StorageBackend
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.test_gc import collect, push
from tests.unit.content.documents import LAYER_TYPE, descriptor, encoded, image, index
from tests.unit.content.pouring import Poured

pytestmark = pytest.mark.anyio
_CONFIG, _LAYER, _OTHER = b"{}", b"a layer", b"another layer"
_APP = RepositoryName.parse("team/app")
_TAG = Tag("latest")
_CURRENT = keyspace.tag_current(_APP, _TAG)
_SUBJECT = descriptor(b"subject", mediatypes.OCI_MANIFEST)


@pytest.fixture(params=["memory", "filesystem"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    if request.param == "memory":
        return MemoryBackend()
    return FilesystemBackend(tmp_path, scratch=keyspace.SCRATCH)


@pytest.fixture
def registry(backend: StorageBackend) -> Registry:
    return Registry(backend, Rules())


async def check(backend: StorageBackend, *, repair: bool = False, grace: float = -60, **more: Any) -> Checked:
    """One whole check; everything is older than the grace period, unless told otherwise."""
    options = Options(repair=repair, grace=grace, **more)
    return await Fsck(backend, options, "a test", await storage_time(backend)).run()


async def contents(backend: StorageBackend) -> dict[str, bytes]:
    """Everything that lies there, but what the collector leaves."""
    found = [key async for key in paging.keys(backend, "")]
    ours = (keyspace.SCRATCH, keyspace.COLLECTOR)
    return {key: (await backend.get(key)).data for key in found if not key.startswith(ours)}


def kinds(findings: Sequence[Finding]) -> list[Kind]:
    return [finding.kind for finding in findings]


async def test_a_registry_that_is_whole_has_no_findings(backend: StorageBackend, registry: Registry) -> None:
    first = await push(registry, _APP, "latest", _LAYER)
    await push(registry, _APP, "latest", _LAYER, _OTHER)
    await push(registry, _APP, "referrer", _LAYER, subject=_SUBJECT)
    both = encoded(index([{"mediaType": mediatypes.OCI_MANIFEST, "digest": str(first), "size": 1}]))
    await registry.put_manifest(_APP, Tag("index"), both, None)
    await registry.referrers(_APP, Digest.of(b"subject"), None, "", 10)
    before = await contents(backend)

    found = await check(backend, repair=True)

    assert (found.left, found.repaired) == ([], [])
    assert (found.repositories, found.manifests) == (1, 4)
    assert await contents(backend) == before


@pytest.mark.parametrize("data", [b"", b"sha256:12", b"sha256:" + b"0" * 64, b"\xff\xfe"])
async def test_broken_links_are_written_again_when_the_bytes_are_right(
    backend: StorageBackend, registry: Registry, data: bytes
) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)
    layer = keyspace.layer_link(_APP, Digest.of(_LAYER))
    history = keyspace.tag_index(_APP, _TAG, digest)
    for key in (layer, history, keyspace.revision_link(_APP, digest)):
        await backend.put(key, data)

    looked = await check(backend)
    assert set(kinds(looked.left)) == {"broken link"}
    named = {finding.key: finding.images for finding in looked.left}
    assert named[layer] == named[keyspace.revision_link(_APP, digest)] == (f"team/app:latest@{digest}",)
    found = await check(backend, repair=True)

    assert (found.left, len(found.repaired)) == ([], 3)
    assert await contents(backend) == before


async def test_a_link_to_wrong_bytes_is_not_written(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await backend.put(keyspace.blob(Digest.of(_LAYER)), b"A layer")
    await backend.put(keyspace.layer_link(_APP, Digest.of(_LAYER)), b"")

    found = await check(backend, repair=True)

    assert (kinds(found.left), found.repaired) == (["broken link"], [])
    assert (await backend.get(keyspace.layer_link(_APP, Digest.of(_LAYER)))).data == b""


async def test_a_broken_tag_that_has_named_one_image_is_restored(backend: StorageBackend, registry: Registry) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)
    await backend.put(_CURRENT, b"")
    await backend.put(keyspace.revision_link(_APP, digest), b"")  # both are what one crash leaves

    found = await check(backend, repair=True)

    assert found.left == []
    assert set(kinds(found.repaired)) == {"broken link", "broken tag"}
    assert await contents(backend) == before


async def test_a_broken_tag_that_may_have_named_several_is_only_told(
    backend: StorageBackend, registry: Registry
) -> None:
    digests = [await push(registry, _APP, "latest", layer) for layer in (_LAYER, _OTHER)]
    await backend.put(_CURRENT, str(digests[1]).encode()[:-1])
    before = await contents(backend)

    found = await check(backend, repair=True)

    [finding] = found.left
    assert (finding.kind, finding.key, finding.images) == ("broken tag", _CURRENT, ("team/app:latest",))
    assert all(str(digest) in finding.advice for digest in digests)
    assert await contents(backend) == before


async def test_a_broken_tag_whose_other_images_are_gone_is_restored(
    backend: StorageBackend, registry: Registry
) -> None:
    gone, left = [await push(registry, _APP, "latest", layer) for layer in (_LAYER, _OTHER)]
    await registry.delete_manifest(_APP, gone)
    await backend.put(_CURRENT, b"")

    found = await check(backend, repair=True)

    assert (found.left, kinds(found.repaired)) == ([], ["broken tag"])
    assert (await backend.get(_CURRENT)).data == str(left).encode()


Damage = Callable[[StorageBackend, Digest], Awaitable[None]]


async def _lose_manifest_link(backend: StorageBackend, digest: Digest) -> None:
    await backend.delete(keyspace.revision_link(_APP, digest))


async def _lose_manifest(backend: StorageBackend, digest: Digest) -> None:
    await backend.delete(keyspace.blob(digest))


async def _damage_manifest(backend: StorageBackend, digest: Digest) -> None:
    await backend.put(keyspace.blob(digest), b"[")


async def _lose_layer(backend: StorageBackend, digest: Digest) -> None:
    await backend.delete(keyspace.blob(Digest.of(_LAYER)))


async def _lose_layer_link(backend: StorageBackend, digest: Digest) -> None:
    await backend.delete(keyspace.layer_link(_APP, Digest.of(_LAYER)))


async def _cut_layer(backend: StorageBackend, digest: Digest) -> None:
    await backend.put(keyspace.blob(Digest.of(_LAYER)), _LAYER[:-1])


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_lose_manifest_link, "tag without manifest"),
        (_lose_manifest, "manifest without bytes"),
        (_damage_manifest, "damaged manifest"),
        (_lose_layer, "missing blob"),
        (_lose_layer_link, "missing blob"),
        (_cut_layer, "wrong size"),
    ],
)
async def test_what_cannot_be_repaired_is_told_with_its_image_until_it_is_pushed_again(
    backend: StorageBackend, registry: Registry, damage: Damage, kind: Kind
) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    whole = await contents(backend)
    await damage(backend, digest)
    before = await contents(backend)

    found = await check(backend, repair=True)

    assert (kinds(found.left), found.repaired) == ([kind], [])
    assert found.left[0].images == (f"team/app:latest@{digest}",)
    assert await contents(backend) == before
    await push(registry, _APP, "latest", _LAYER)
    assert (await check(backend)).left == []
    assert await contents(backend) == whole


async def test_an_index_that_lacks_a_manifest_is_told_unless_indexes_may(
    backend: StorageBackend, registry: Registry
) -> None:
    child = await push(registry, _APP, "child", _LAYER)
    data = encoded(index([{"mediaType": mediatypes.OCI_MANIFEST, "digest": str(child), "size": 1}]))
    digest = (await registry.put_manifest(_APP, Tag("index"), data, None)).digest
    await registry.delete_manifest(_APP, child)

    [finding] = (await check(backend)).left

    assert (finding.kind, finding.images) == ("missing manifest", (f"team/app:index@{digest}",))
    assert (await check(backend, sparse=True)).left == []


@pytest.mark.parametrize("layer_type", [LAYER_TYPE, "application/vnd.in-toto+json"])
async def test_an_index_that_has_one_of_its_images_is_incomplete_and_not_wrong(
    backend: StorageBackend, registry: Registry, layer_type: str
) -> None:
    gone = await push(registry, _APP, "gone", _LAYER, _OTHER)
    manifest = encoded(image(_CONFIG, layers=[descriptor(_LAYER, layer_type)]))
    there = (await registry.put_manifest(_APP, Tag("there"), manifest, None)).digest
    children = [{"mediaType": mediatypes.OCI_MANIFEST, "digest": str(one), "size": 1} for one in (gone, there)]
    digest = (await registry.put_manifest(_APP, Tag("index"), encoded(index(children)), None)).digest
    await registry.delete_manifest(_APP, gone)

    [finding] = (await check(backend)).left

    is_image = layer_type == LAYER_TYPE
    assert (finding.kind, finding.is_wrong) == (("incomplete index", False) if is_image else ("missing manifest", True))
    assert finding.images == (f"team/app:index@{digest}",)
    assert str(gone) in finding.what


async def test_a_mirror_may_lack_what_nobody_has_asked_for(backend: StorageBackend, registry: Registry) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    await backend.delete(keyspace.layer_link(_APP, Digest.of(_LAYER)))
    await backend.delete(keyspace.blob(Digest.of(_LAYER)))
    data = encoded(index([{"mediaType": mediatypes.OCI_MANIFEST, "digest": str(Digest.of(b"child")), "size": 1}]))
    await Registry(backend, Rules(allow_sparse_indexes=True)).put_manifest(_APP, Tag("index"), data, None)

    assert (await check(backend, mirrored=["team"])).left == []
    assert set(kinds((await check(backend, mirrored=["tea", "team/app"])).left)) == {"missing blob", "missing manifest"}
    assert kinds((await check(backend, carried=["team"])).left) == ["missing blob"]
    await backend.delete(keyspace.blob(digest))
    assert kinds((await check(backend, mirrored=["team"])).left) == ["manifest without bytes"]


async def test_below_a_carried_prefix_of_a_mirror_nobody_fetches_a_layer(
    backend: StorageBackend, registry: Registry
) -> None:
    name = RepositoryName.parse("team/closed/app")
    await push(registry, name, "latest", _LAYER)
    await backend.delete(keyspace.layer_link(name, Digest.of(_LAYER)))
    await backend.delete(keyspace.blob(Digest.of(_LAYER)))

    assert (await check(backend, mirrored=["team"])).left == []
    assert kinds((await check(backend, mirrored=["team"], carried=["team/closed"])).left) == ["missing blob"]


async def test_a_build_cache_whose_index_lists_blobs_is_whole(backend: StorageBackend, registry: Registry) -> None:
    await registry.uploads.push(_APP, Digest.of(_LAYER), Poured(_LAYER))
    await registry.put_manifest(_APP, Tag("cache"), encoded(index([descriptor(_LAYER)])), None)

    assert (await check(backend)).left == []


async def test_a_link_without_bytes_that_nobody_needs_goes_unless_it_is_young(
    backend: StorageBackend, registry: Registry
) -> None:
    await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)
    key = keyspace.layer_link(_APP, Digest.of(_OTHER))
    await backend.put(key, str(Digest.of(_OTHER)).encode())

    assert (await check(backend, repair=True, grace=60)).left == []
    assert (await backend.get(key)).data
    found = await check(backend, repair=True)

    assert (found.left, kinds(found.repaired)) == ([], ["link without bytes"])
    assert await contents(backend) == before


async def test_while_a_collection_runs_nothing_is_removed(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await backend.put(keyspace.layer_link(_APP, Digest.of(_OTHER)), str(Digest.of(_OTHER)).encode())
    await Collector(backend, "a collector", 300).begin(await storage_time(backend))

    found = await check(backend, repair=True)

    assert kinds(found.left) == ["link without bytes"]
    assert "by a collector" in found.notes[0]


async def test_what_is_kept_of_manifests_that_are_gone_goes(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)
    gone = Digest.of(b"gone")
    await backend.put(keyspace.media_type("team/app", gone), b"x/y")
    await backend.put(keyspace.referrer("team/app", Digest.of(b"subject"), gone), b"{}")
    await backend.put(keyspace.media_type("nobody", gone), b"x/y")

    found = await check(backend, repair=True)

    assert (found.left, kinds(found.repaired)) == ([], ["stale entry"] * 3)
    assert await contents(backend) == before


@pytest.mark.parametrize("data", [None, b"", b"[]", b'{"digest": "sha256:1"}'])
async def test_the_list_of_referrers_is_built_again(
    backend: StorageBackend, registry: Registry, data: bytes | None
) -> None:
    digest = await push(registry, _APP, "referrer", _LAYER, subject=_SUBJECT)
    await registry.referrers(_APP, Digest.of(b"subject"), None, "", 10)
    before = await contents(backend)
    key = keyspace.referrer("team/app", Digest.of(b"subject"), digest)
    if data is None:
        await backend.delete(key)
    else:
        await backend.put(key, data)

    found = await check(backend, repair=True)

    assert (found.left, kinds(found.repaired)) == ([], ["missing entry" if data is None else "broken entry"])
    after = await contents(backend)
    assert json.loads(after.pop(key)) == json.loads(before.pop(key))
    assert after == before


async def test_a_media_type_that_is_none_goes(backend: StorageBackend, registry: Registry) -> None:
    digest = await push(registry, _APP, "latest", _LAYER)
    before = await contents(backend)
    await backend.put(keyspace.media_type("team/app", digest), b"\xff")

    found = await check(backend, repair=True)

    assert (found.left, kinds(found.repaired)) == ([], ["broken entry"])
    assert await contents(backend) == before


async def test_stray_files_are_told_and_stay(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    strays = [
        f"{keyspace.BLOBS}sha256/ab/cd/data",
        f"{keyspace.BLOBS}sha256/00/{'1' * 64}/data",
        f"{keyspace.repository('team/app')}_layers/sha256/link",
        f"{keyspace.repository('team/app')}_other/file",
        f"{keyspace.OWN_REPOSITORIES}team/app/_referrers/sha256/x",
    ]
    known = [
        f"{keyspace.repository('team/app')}_uploads/an-upload/data",
        f"{keyspace.repository('team/app')}_manifests/revisions/sha256/{'1' * 64}/signatures/sha256/{'1' * 64}/link",
    ]
    for key in (*strays, *known):
        await backend.put(key, b"x")
    before = await contents(backend)

    found = await check(backend, repair=True)

    assert (set(kinds(found.left)), found.repaired) == ({"stray file"}, [])
    assert sorted(finding.key for finding in found.left) == sorted(strays)
    assert await contents(backend) == before


async def test_a_stray_file_does_not_make_strays_of_the_blobs_that_begin_with_its_name(
    backend: StorageBackend, registry: Registry
) -> None:
    await push(registry, _APP, "latest", _LAYER)
    shard = Digest.of(_LAYER).encoded[:2]
    stray = f"{keyspace.blobs('sha256', shard)}{shard}/{'1' * 64}/data"  # as `cp -r` onto a directory that is there
    await backend.put(stray, b"x")

    assert [finding.key for finding in (await check(backend)).left] == [stray]


def _litter(root: Path) -> list[Path]:
    """Leave files in every directory that no key can name."""
    directories = [path for path in root.rglob("*") if path.is_dir() and keyspace.SCRATCH not in str(path)]
    files = [directory / name for directory in directories for name in (".DS_Store", "a\\b")]
    for file in files:
        file.write_bytes(b"x")
    return files


async def test_files_that_no_key_can_name_stop_neither_fsck_nor_scrub_nor_garbage_collection(tmp_path: Path) -> None:
    backend = FilesystemBackend(tmp_path, scratch=keyspace.SCRATCH)
    await push(Registry(backend, Rules()), _APP, "latest", _LAYER, subject=_SUBJECT)
    files = _litter(tmp_path)

    assert (await check(backend, repair=True)).left == []
    assert (await Scrub(backend, ScrubOptions(), "a test").run(0)).damaged == []
    assert (await collect(backend)).removed_blobs == 0
    assert all(file.exists() for file in files)


async def test_a_repository_that_no_client_can_reach_is_told(backend: StorageBackend) -> None:
    await backend.put(f"{keyspace.repository('Team/App')}_uploads/x/data", b"")

    [finding] = (await check(backend)).left

    assert (finding.kind, finding.repository) == ("stray file", "Team/App")


async def test_what_is_left_of_a_tag_is_told(backend: StorageBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await backend.delete(_CURRENT)

    assert kinds((await check(backend, repair=True)).left) == ["history without tag"]
    assert (await check(backend, grace=60)).left == []


async def test_an_image_that_is_pushed_during_the_first_look_is_no_finding() -> None:
    """The tag is seen, and then its manifest comes."""

    class Late(MemoryBackend):
        async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
            if "_manifests" in prefix and saved:
                await self.put(*saved.pop())
            return await super().list(prefix, after=after, limit=limit)

    backend = Late()
    saved: list[tuple[str, bytes]] = []
    digest = await push(Registry(backend, Rules()), _APP, "latest", _LAYER)
    key = keyspace.revision_link(_APP, digest)
    link = await backend.get(key)
    await backend.delete(key)
    saved.append((key, link.data))

    assert (await check(backend)).left == []
    assert saved == []


async def test_who_writes_a_link_at_the_moment_of_its_repair_wins() -> None:
    class Racing(MemoryBackend):
        async def put(
            self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None, durable: bool = True
        ) -> None:
            if key == _CURRENT and if_match is not None:
                await super().put(key, str(other).encode())
            await super().put(key, data, if_absent=if_absent, if_match=if_match, durable=durable)

    backend = Racing()
    registry = Registry(backend, Rules())
    await push(registry, _APP, "latest", _LAYER)
    other = await push(registry, _APP, "other", _OTHER)
    await backend.put(_CURRENT, b"")

    assert (await check(backend, repair=True)).left == []
    assert (await backend.get(_CURRENT)).data == str(other).encode()


async def test_foreign_layers_need_not_be_there(backend: StorageBackend, registry: Registry) -> None:
    await registry.uploads.push(_APP, Digest.of(_CONFIG), Poured(_CONFIG))
    foreign = descriptor(_LAYER, urls=["https://elsewhere.example/layer"])
    await registry.put_manifest(_APP, _TAG, encoded(image(_CONFIG, (), layers=[foreign])), None)

    assert (await check(backend)).left == []
