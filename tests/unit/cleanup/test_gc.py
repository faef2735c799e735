"""What a cycle removes, and what it leaves alone."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from registry.cleanup.due import is_due
from registry.cleanup.gc import Collected, Collection, Options
from registry.cleanup.mark import DigestSet, references
from registry.content import keyspace, mediatypes, paging
from registry.content.digest import Digest
from registry.content.leases import Collector, CollectorBusy, collector_state, storage_time
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.base import StorageBackend
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import descriptor, encoded, image, index
from tests.unit.content.pouring import Poured

pytestmark = pytest.mark.anyio
_NOW = Options(grace=-1)
"""Whatever is older than a second from now: everything."""
_CONFIG, _LAYER, _OTHER = b"{}", b"a layer", b"another layer"
_APP = RepositoryName.parse("team/app")


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def registry(backend: MemoryBackend) -> Registry:
    return Registry(backend, Rules())


async def push(registry: Registry, name: RepositoryName, tag: str, *layers: bytes, **more: Any) -> Digest:
    """Push an image; return its digest."""
    for data in (_CONFIG, *layers):
        await registry.uploads.push(name, Digest.of(data), Poured(data))
    return (await registry.put_manifest(name, Tag(tag), encoded(image(_CONFIG, layers, **more)), None)).digest


async def collect(backend: StorageBackend, options: Options = _NOW) -> Collected:
    """One whole cycle."""
    work = Collection(backend, options, "a test")
    async for _ in work.run():
        pass
    return work.collected


async def keys(backend: StorageBackend, prefix: str = "") -> set[str]:
    """Everything that lies there."""
    found = {key async for key in paging.keys(backend, prefix)}
    return found - {keyspace.COLLECTOR, f"{keyspace.LAST_DONE}gc"}


async def blobs(backend: StorageBackend) -> set[Digest]:
    """The digests that have bytes."""
    return {Digest.parse(f"sha256:{key.split('/')[-2]}") for key in await keys(backend, keyspace.BLOBS)}


async def test_what_a_tag_needs_stays_and_the_rest_goes(backend: MemoryBackend, registry: Registry) -> None:
    kept = await push(registry, _APP, "latest", _LAYER)
    before = await keys(backend)
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))

    found = await collect(backend)

    assert await keys(backend) == before
    assert await blobs(backend) == {kept, Digest.of(_CONFIG), Digest.of(_LAYER)}
    assert (found.removed_blobs, found.removed_links, found.freed) == (1, 1, len(_OTHER))
    assert (found.repositories, found.manifests) == (1, 1)


async def test_within_the_grace_period_nothing_goes(backend: MemoryBackend, registry: Registry) -> None:
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))
    before = await keys(backend)

    assert (await collect(backend, Options(grace=60))).removed_blobs == 0
    assert await keys(backend) == before


async def test_a_dry_run_says_the_same_and_changes_nothing(backend: MemoryBackend, registry: Registry) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))
    before = await keys(backend)

    dry = await collect(backend, Options(grace=-1, dry_run=True))

    assert await keys(backend) == before
    wet = await collect(backend)
    assert (dry.removed_blobs, dry.removed_links, dry.freed) == (wet.removed_blobs, wet.removed_links, wet.freed)


async def test_a_link_that_only_another_repository_needs_goes_and_the_bytes_stay(
    backend: MemoryBackend, registry: Registry
) -> None:
    await push(registry, _APP, "latest", _LAYER)
    other = RepositoryName.parse("other")
    assert await registry.mount(other, Digest.of(_LAYER), _APP)

    found = await collect(backend)

    assert (found.removed_links, found.removed_blobs) == (1, 0)
    assert not await registry.blobs.has(other, Digest.of(_LAYER))
    assert await registry.blobs.has(_APP, Digest.of(_LAYER))


async def test_what_a_deleted_manifest_needed_goes_with_all_that_was_kept_of_it(
    backend: MemoryBackend, registry: Registry
) -> None:
    subject = descriptor(b"subject", mediatypes.OCI_MANIFEST)
    gone = await push(registry, _APP, "latest", _LAYER, subject=subject, mediaType=None)
    await registry.referrers(_APP, Digest.of(b"subject"), None, "", 10)
    await backend.put(keyspace.media_type(_APP, gone), b"x/y")
    await backend.delete(keyspace.revision_link(_APP, gone))
    await backend.delete_many(sorted(await keys(backend, keyspace.tags(_APP))))

    await collect(backend)

    assert await keys(backend) == set()


async def test_an_index_keeps_its_children_and_their_blobs(backend: MemoryBackend, registry: Registry) -> None:
    child = await push(registry, _APP, "child", _LAYER)
    data = encoded(image(_CONFIG, [_LAYER]))
    await registry.delete_tag(_APP, Tag("child"))
    document = index([descriptor(data, mediatypes.OCI_MANIFEST)])
    await registry.put_manifest(_APP, Tag("many"), encoded(document), None)

    await collect(backend)

    assert (await registry.get_manifest(_APP, child)).data == data
    assert await registry.blobs.has(_APP, Digest.of(_LAYER))


@pytest.mark.parametrize("damaged", [b"", b"{}", None])
async def test_where_a_manifest_cannot_be_read_the_repository_keeps_everything(
    backend: MemoryBackend, registry: Registry, damaged: bytes | None
) -> None:
    broken = await push(registry, _APP, "latest", _LAYER)
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))
    if damaged is None:
        await backend.delete(keyspace.blob(broken))
    else:
        await backend.put(keyspace.blob(broken), damaged)

    found = await collect(backend)

    assert found.removed_blobs == 0, "what was read wrongly once may be right"
    assert await registry.blobs.has(_APP, Digest.of(_LAYER))
    assert await registry.blobs.has(_APP, Digest.of(_OTHER))
    assert "team/app" in found.notes[0]


async def test_what_a_push_under_way_relies_on_stays(backend: MemoryBackend, registry: Registry) -> None:
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))
    await backend.put(f"{keyspace.INTENTS}one", str(Digest.of(_OTHER)).encode())

    assert (await collect(backend)).removed_blobs == 0
    await backend.delete(f"{keyspace.INTENTS}one")
    assert (await collect(backend)).removed_blobs == 1


async def test_the_turn_of_a_killed_fetch_goes_and_one_under_way_stays(backend: MemoryBackend) -> None:
    turn = keyspace.fetching(Digest.of(_OTHER))
    await backend.put(turn, b"upload 1")

    await collect(backend, Options(grace=0, upload_lifetime=60))
    assert turn in await keys(backend)

    await collect(backend, Options(grace=0, upload_lifetime=-1))
    assert turn not in await keys(backend)


async def test_what_a_tag_whose_link_is_broken_has_named_stays(backend: MemoryBackend, registry: Registry) -> None:
    digests = [await push(registry, _APP, "latest", layer) for layer in (_LAYER, _OTHER)]
    await backend.put(keyspace.tag_current(_APP, Tag("latest")), b"")

    found = await collect(backend, Options(grace=-1, tag_history=0))

    assert found.removed_history == 0
    assert {keyspace.tag_index(_APP, Tag("latest"), digest) for digest in digests} <= await keys(backend)


async def test_leftovers_go(backend: MemoryBackend, registry: Registry) -> None:
    for number in range(5):
        await push(registry, _APP, "latest", b"layer %d" % number)
    old = f"{keyspace.REPOSITORIES}team/app/_uploads/1/"
    await backend.put_many([(f"{old}data", b"half"), (f"{old}startedat", b"2020")])
    await registry.uploads.begin(_APP)
    await backend.put(f"{keyspace.OWN_REPOSITORIES}empty/_referrers_complete", b"")

    found = await collect(backend, Options(grace=-1, upload_lifetime=-1, tag_history=2))

    assert (found.removed_history, found.removed_sessions) == (2, 2)
    left = await keys(backend)
    assert len([key for key in left if "/index/" in key]) == 3
    assert not [key for key in left if "_uploads" in key or "empty" in key]
    assert (await registry.get_manifest(_APP, Tag("latest"))).data


async def test_a_cycle_in_which_nothing_goes_shows_all_the_time_that_it_is_alive(
    backend: MemoryBackend, registry: Registry
) -> None:
    """Whoever runs it keeps the lease whenever it yields; a large bucket takes longer than a lease lasts."""
    names = [RepositoryName.parse(f"team/{number}") for number in range(3)]
    for name in names:
        await push(registry, name, "latest", _LAYER)
        await backend.put(keyspace.referrers_complete(name), b"")

    stages = [found.stage async for found in Collection(backend, _NOW, "a test").run()]

    assert {f"removing {digest.encoded[:2]}/ff" for digest in await blobs(backend)} <= set(stages)
    assert stages.count("removing leftovers") >= 2 * len(names)


async def test_a_blob_in_the_wrong_place_condemns_nothing_where_no_writer_looks(
    backend: MemoryBackend, registry: Registry
) -> None:
    digest = Digest.of(_OTHER)
    await registry.uploads.push(_APP, digest, Poured(_OTHER))
    await backend.put(f"{keyspace.blobs('sha256', 'zz')}{digest.encoded}/data", _OTHER)

    found = await collect(backend, Options(grace=-1, dry_run=True))

    assert found.removed_blobs == 1


async def test_odd_names_are_not_overlooked(backend: MemoryBackend) -> None:
    data = encoded(image(_CONFIG, [_LAYER]))
    for content in (data, _CONFIG, _LAYER):
        await backend.put(keyspace.blob(Digest.of(content)), content)
    link = f"{keyspace.REPOSITORIES}Team/x..y/_manifests/revisions/sha256/{Digest.of(data).encoded}/link"
    await backend.put(link, str(Digest.of(data)).encode())

    assert (await collect(backend)).removed_blobs == 0


async def test_one_collects_at_a_time_and_a_dead_one_is_followed(backend: MemoryBackend, registry: Registry) -> None:
    await registry.uploads.push(_APP, Digest.of(_OTHER), Poured(_OTHER))
    dead = Collector(backend, "dead", 300)
    await dead.begin(await storage_time(backend))
    await dead.condemn("aa", ["sha256:aa"])
    assert await dead.claim("aa", 10) == {"sha256:aa"}

    with pytest.raises(CollectorBusy, match="by dead"):
        await collect(backend)
    await asyncio.sleep(0.3)  # the lease of the dead one runs out
    assert (await collect(backend, Options(grace=-1, lease=0.2))).removed_blobs == 1
    assert await keys(backend) == set()
    state = await collector_state(backend)
    assert (state.at_work, state.holder) == (False, "a test")


async def test_a_collection_is_due_after_an_interval_and_when_one_has_died(backend: MemoryBackend) -> None:
    assert not await is_due(backend, "gc", 0, 0), "the first one begins the count"
    assert await is_due(backend, "gc", 0, 300)
    assert not await is_due(backend, "gc", 60, 300)

    await Collector(backend, "dead", 300).begin(await storage_time(backend))
    assert not await is_due(backend, "gc", 0, 300)
    assert await is_due(backend, "gc", 60, 0)


_SOME = [str(Digest.of(bytes([number]))) for number in range(4)]


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"config": {"digest": _SOME[0]}, "layers": [{"digest": _SOME[1]}]}, _SOME[:2]),
        ({"manifests": [{"digest": _SOME[0]}], "annotations": {"base": _SOME[1]}}, _SOME[:1]),
        ({"blobs": [{"digest": _SOME[0]}], "subject": {"digest": _SOME[1]}}, _SOME[:1]),
        ({"config": {"digest": _SOME[0]}, "layers": [], "blobs": [{"digest": _SOME[1]}]}, _SOME[:2]),
        ({"schemaVersion": 1, "fsLayers": [{"blobSum": _SOME[0]}]}, _SOME[:1]),
        ({"layers": [{"digest": _SOME[0]}, {"digest": "sha384:ab"}]}, _SOME[:1]),
        ({"layers": [{"digest": _SOME[0]}, 7], "config": None}, _SOME[:1]),
        ({"something": {"new": [_SOME[0]]}}, _SOME[:1]),
        ([_SOME[0]], _SOME[:1]),
        ({"layers": []}, []),
        ({"artifactType": "a/b", "subject": {"digest": _SOME[0]}, "annotations": {"base": _SOME[1]}}, []),
        ({"manifests": [], "subject": {"digest": _SOME[0]}}, []),
        ({"manifests": [], "more": [{"digest": _SOME[0]}]}, _SOME[:1]),
    ],
)
def test_what_a_manifest_names_is_found_in_whatever_form(document: Mapping[str, object], found: list[str]) -> None:
    assert [str(digest) for digest in references(json.dumps(document).encode())] == found
    assert [str(digest) for digest in references(json.dumps(document).encode() + b"}")] != [] or not found


def test_a_set_of_digests_keeps_what_it_was_given() -> None:
    members = DigestSet()
    digests = [Digest.of(str(number).encode(), algorithm) for number in range(50) for algorithm in ("sha256", "sha512")]
    for digest in digests:
        members.add(digest)
    assert len(members) == 100
    assert all(digest in members for digest in digests)
    assert Digest.of(b"other") not in members
