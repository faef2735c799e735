"""What prune takes, what it leaves, and whether it tells the truth about the space."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from registry.browse.dangling import dangling
from registry.cleanup.filters import parse_filters
from registry.cleanup.image_removal import ImageRemoval, Options
from registry.cleanup.prune import Prune
from registry.cleanup.restore import Restorer, choose
from registry.content import keyspace, leases, mediatypes, paging
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.immutable_tags import Covers, nothing
from registry.content.leases import Collector, CollectorBusy, collector_state, storage_time
from registry.content.names import Tag
from registry.content.pull_times import PullTimes
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import Clock
from tests.unit.cleanup.pushing import (
    APP,
    OTHER,
    collect,
    gone,
    manifests,
    named_manifest,
    push,
    push_document,
    push_index,
    remove,
    tags,
)
from tests.unit.content.documents import descriptor, image

pytestmark = pytest.mark.anyio


def prune(
    backend: MemoryBackend, *filters: str, clock: Clock | None = None, immutable: Covers = nothing, **more: Any
) -> Prune:
    """The images that these filters name; without grace."""
    parsed = parse_filters(filters, clock.time) if clock else parse_filters(filters)
    return Prune(backend, parsed, immutable, **{"grace": -1, "every": clock is not None, **more})


async def pull(registry: Registry, reference: Tag | Digest) -> None:
    """Somebody pulls, and it is written down."""
    await registry.get_manifest(APP, reference)
    await registry.pulls.write()


async def test_a_manifest_goes_when_no_tag_index_or_referrer_needs_it(
    backend: MemoryBackend, registry: Registry
) -> None:
    tagged = await push(registry, "latest", b"one")
    child = await push(registry, None, b"two")
    platforms = await push_index(registry, "many", child)
    subject = await push(registry, None, b"three")
    referrer = await push(registry, "sbom", b"four", subject=named_manifest(subject))
    signature = await push(registry, None, b"five", subject=named_manifest(tagged))
    dangling = await push(registry, None, b"six")
    old = await push(registry, "moved", b"seven")
    new = await push(registry, "moved", b"eight")

    removed = await remove(backend, prune(backend))

    assert gone(removed) == {dangling, old}
    assert await manifests(backend) == {tagged, child, platforms, subject, referrer, signature, new}
    assert await tags(backend) == {"latest", "many", "sbom", "moved"}


async def test_a_signature_in_a_repository_of_its_own_dangles_when_what_it_signs_is_nowhere(
    backend: MemoryBackend, registry: Registry
) -> None:
    signed = await push(registry, "latest", b"one")
    signature = await push(registry, None, b"two", name=OTHER, subject=named_manifest(signed))
    note = await push(registry, None, b"three", name=OTHER, subject=named_manifest(signature))

    assert gone(await remove(backend, prune(backend))) == set()
    assert await dangling(backend, OTHER) == []

    await registry.delete_manifest(APP, signed)
    await collect(backend)
    assert await dangling(backend, OTHER) == [signature]
    assert gone(await remove(backend, prune(backend))) == {signature, note}


async def test_a_dangling_index_goes_with_its_platforms_and_what_refers_to_them(
    backend: MemoryBackend, registry: Registry
) -> None:
    shared = await push(registry, None, b"shared")
    await push_index(registry, "kept", shared)
    own = await push(registry, None, b"own")
    dangling = await push_index(registry, None, own, shared)
    sbom = await push(registry, None, b"sbom", subject=named_manifest(own))
    signature = await push(registry, f"sha256-{dangling.encoded}.sig", b"signature")
    await registry.referrers(APP, own, None, "", 10)

    removed = await remove(backend, prune(backend))

    assert gone(removed) == {own, dangling, sbom, signature}
    assert await tags(backend) == {"kept"}
    assert [key async for key in paging.keys(backend, keyspace.all_referrers(APP))] == []


async def test_signatures_by_tag_stay_with_their_image_and_when_it_is_elsewhere(
    backend: MemoryBackend, registry: Registry
) -> None:
    kept = await push(registry, "latest", b"one")
    signature = await push(registry, f"sha256-{kept.encoded}.sig", b"signature")
    orphan = await push(registry, f"sha256-{'0' * 64}.sig", b"orphan")

    assert not gone(await remove(backend, prune(backend)))
    assert await manifests(backend) == {kept, signature, orphan}


async def test_what_is_young_or_was_just_pulled_stays(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    old = await push(registry, None, b"old")
    pinned = await push(registry, None, b"pinned")
    clock.pass_days(1)
    young = await push(registry, None, b"young")
    await pull(registry, pinned)

    removed = await remove(backend, prune(backend, grace=3600))

    assert gone(removed) == {old}
    assert await manifests(backend) == {young, pinned}


async def test_all_takes_what_nobody_has_pushed_or_pulled_since(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await registry.pulls.write()
    unused = await push(registry, "unused", b"one")
    await push(registry, "pulled", b"two")
    child = await push(registry, None, b"three")
    await push_index(registry, "many", child)
    clock.pass_days(20)
    await pull(registry, Tag("pulled"))
    await pull(registry, child)
    await push(registry, "pushed", b"four")
    clock.pass_days(5)

    removed = await remove(backend, prune(backend, "until=10d", clock=clock))

    assert gone(removed) == {unused}
    assert await tags(backend) == {"pulled", "many", "pushed"}


async def test_for_want_of_a_record_nothing_goes(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    await push(registry, "old", b"one")
    clock.pass_days(100)
    assert not gone(await remove(backend, prune(backend, "until=10d", clock=clock)))

    await registry.pulls.write()
    clock.pass_days(5)
    assert not gone(await remove(backend, prune(backend, "until=10d", clock=clock)))
    clock.pass_days(6)
    assert gone(await remove(backend, prune(backend, "until=10d", clock=clock)))


async def test_a_pull_that_is_not_written_yet_keeps_its_image_however_late_until_is(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await registry.pulls.write()
    await push(registry, "hot", b"one")
    clock.pass_days(1)
    await pull(registry, Tag("hot"))
    clock.now += 200  # pulled again and again, and not written down again yet

    assert not gone(await remove(backend, prune(backend, "until=0s", clock=clock)))


async def test_an_image_that_is_pulled_after_it_was_chosen_stays_with_all_that_it_holds(
    backend: MemoryBackend, registry: Registry
) -> None:
    child = await push(registry, None, b"one")
    dangling = await push_index(registry, None, child)
    other = await push(registry, None, b"two")
    chooser = prune(backend)
    work = ImageRemoval(backend, chooser, Options(grace=-1), "a test")

    async for where in work.run():
        if where.startswith("removing"):
            await pull(registry, dangling)

    assert gone(work.removed) == {other}
    assert await manifests(backend) == {child, dangling}
    assert work.removed.freed == (await collect(backend)).freed


async def test_immutable_tags_and_what_they_need_are_never_taken(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await registry.pulls.write()
    child = await push(registry, None, b"one")
    release = await push_index(registry, "v1", child)
    await registry.put_manifest(APP, Tag("nightly"), (await registry.get_manifest(APP, Tag("v1"))).data, None)
    nightly = await push(registry, "nightly2", b"two")
    clock.pass_days(100)

    removed = await remove(
        backend, prune(backend, "until=10d", clock=clock, immutable=lambda _: lambda tag: tag == "v1")
    )

    assert gone(removed) == {nightly}
    assert await manifests(backend) == {child, release}
    assert await tags(backend) == {"v1", "nightly"}


async def test_filters_choose_images_and_take_the_platforms_along(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await registry.pulls.write()
    child = await push(registry, None, b"one")
    pull_request = await push_index(registry, "pr-1", child)
    await push(registry, "v1", b"two")
    await push(registry, "pr-2", b"three", name=OTHER)
    both = await push(registry, "pr-3", b"four")
    await push(registry, "stable", b"four")
    clock.pass_days(10)

    removed = await remove(backend, prune(backend, "until=1d", "repository=team/*", "tag=/^pr-[0-9]+$/", clock=clock))

    assert gone(removed) == {child, pull_request}
    assert both in await manifests(backend)


def config(**labels: str) -> bytes:
    return json.dumps({"config": {"Labels": labels}}).encode()


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["label=keep"], {"none", "annotated"}),
        (["label=keep=no"], {"none", "annotated", "many", "yes"}),
        (["label!=keep"], {"yes", "no", "many"}),
        (["label!=keep=yes"], {"yes", "many"}),
        (["label=note=x"], {"none", "yes", "no", "many"}),
    ],
)
async def test_labels_are_those_of_the_config_the_annotations_and_the_platforms(
    backend: MemoryBackend, registry: Registry, clock: Clock, filters: list[str], left: set[str]
) -> None:
    await registry.pulls.write()
    await push(registry, "none", b"one")
    await push(registry, "no", b"two", config=config(keep="no"))
    await push(registry, "yes", b"three", config=config(keep="yes"))
    await push(registry, "annotated", b"four", annotations={"note": "x"})
    await push_index(registry, "many", await push(registry, None, b"five", config=config(keep="yes")))
    clock.pass_days(10)

    await remove(backend, prune(backend, "until=1d", *filters, clock=clock))

    assert await tags(backend) == left


async def test_labels_of_a_large_config_count(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    await registry.pulls.write()
    await push(registry, "large", b"one", config=config(keep="yes", padding="x" * 5_000_000))
    clock.pass_days(10)

    await remove(backend, prune(backend, "until=1d", "label!=keep", clock=clock))

    assert await tags(backend) == {"large"}


async def test_a_config_that_goes_too_deep_stops_no_run(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    """Whoever may push could else keep everybody's images from going, for good."""
    await registry.pulls.write()
    await push(registry, "deep", b"one", config=100_000 * b"[")
    await push(registry, "old", b"two", config=config(stage="test"))
    clock.pass_days(10)

    await remove(backend, prune(backend, "until=1d", "label=stage", clock=clock))

    assert await tags(backend) == {"deep"}


async def test_the_space_that_is_stated_is_what_garbage_collection_frees(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    """Layers shared in a repository, across repositories, and held by a link that is still fresh."""
    await push(registry, None, b"in two that go", b"in one that goes")
    await push(registry, None, b"in two that go", b"in one that stays")
    await push(registry, "kept", b"in one that stays")
    await push(registry, None, b"in two repositories", b"mounted a moment ago", b"pushed a moment ago")
    await push(registry, None, b"in two repositories", name=OTHER)
    await push(registry, "kept", b"elsewhere", name=OTHER)
    await push(registry, None, b"elsewhere")
    clock.pass_days(1)
    assert await registry.mount(OTHER, Digest.of(b"mounted a moment ago"), APP)
    await backend.put(keyspace.blob(Digest.of(b"pushed a moment ago")), b"pushed a moment ago")

    dry = await remove(backend, prune(backend, grace=3600), grace=3600, dry_run=True)
    removed = await remove(backend, prune(backend, grace=3600), grace=3600, for_good=True)
    collected = await collect(backend, grace=3600)

    assert len(removed.going) == 5
    assert (dry.freed, dry.going) == (removed.freed, sorted(removed.going, key=dry.going.index))
    assert removed.freed == collected.freed > 0
    assert await manifests(backend, OTHER)


async def test_what_went_can_be_restored_and_its_space_is_free_when_that_time_is_over(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await push(registry, None, b"deleted by somebody else, too", b"one")
    await push(registry, "kept", b"two")
    child = await push(registry, None, b"deleted by somebody else, too", b"three")
    dangling = await push_index(registry, None, child)
    deleted = await push(registry, "old", b"deleted by somebody else, too")
    clock.pass_days(1)
    await registry.delete_manifest(APP, deleted)

    removed = await remove(backend, prune(backend, grace=3600), grace=3600)

    assert (await collect(backend, grace=3600)).freed == 0
    restorer = Restorer(backend, Rules(), nothing)
    known = await restorer.of(APP)
    chosen = choose(known, dangling)
    assert {restored.item.digest async for restored in restorer.restore(chosen, known)} == {child, dangling}
    assert {child, dangling} <= await manifests(backend)
    clock.pass_days(1)
    again = await remove(backend, prune(backend, grace=3600), grace=3600, for_good=True)
    assert gone(again) == {child, dangling}
    shared = len(b"deleted by somebody else, too")
    assert (await collect(backend, grace=3600)).freed >= removed.freed + shared


@pytest.mark.parametrize("damaged", [b"", b"{}", None])
async def test_a_repository_whose_manifests_cannot_all_be_read_is_left_alone(
    backend: MemoryBackend, registry: Registry, damaged: bytes | None
) -> None:
    broken = await push(registry, "latest", b"one")
    dangling = await push(registry, None, b"two")
    elsewhere = await push(registry, None, b"two", b"three", name=OTHER)
    if damaged is None:
        await backend.delete(keyspace.blob(broken))
    else:
        await backend.put(keyspace.blob(broken), damaged)

    removed = await remove(backend, prune(backend))

    assert gone(removed) == {elsewhere}
    assert await manifests(backend) == {broken, dangling}
    assert "team/app is left alone" in removed.notes[0]
    assert removed.freed == (await collect(backend)).freed


async def test_manifests_of_old_kinds_do_not_stop_a_run(backend: MemoryBackend, registry: Registry) -> None:
    layer, old = (
        b"layer",
        json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": str(Digest.of(b"layer"))}]}).encode(),
    )
    for data in (layer, old):
        await backend.put(keyspace.blob(Digest.of(data)), data)
    await backend.put(keyspace.revision_link(APP, Digest.of(old)), str(Digest.of(old)).encode())
    await backend.put(keyspace.tag_current(APP, Tag("old")), str(Digest.of(old)).encode())
    dangling = await push(registry, None, layer)

    removed = await remove(backend, prune(backend))

    assert gone(removed) == {dangling}
    assert removed.freed == (await collect(backend)).freed
    assert (await backend.get(keyspace.blob(Digest.of(layer)))).data == layer


async def test_an_index_whose_subject_is_one_of_its_platforms_goes_whole(
    backend: MemoryBackend, registry: Registry
) -> None:
    child = await push(registry, None, b"one")
    odd = await push_index(registry, None, child, subject=named_manifest(child))

    assert gone(await remove(backend, prune(backend))) == {child, odd}


async def test_a_manifest_that_cannot_be_pulled_any_more_says_so(backend: MemoryBackend, registry: Registry) -> None:
    dangling = await push(registry, None, b"one")
    await remove(backend, prune(backend))
    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(APP, dangling)
    assert gone(await remove(backend, prune(backend))) == set()


async def test_what_comes_after_its_end_leaves_the_next_collector_alone(
    backend: MemoryBackend, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push(registry, None, b"one")
    work = ImageRemoval(backend, prune(backend), Options(grace=-1), "a test")
    following = Collector(backend, "the next one", 300)

    async for where in work.run():
        if where == "adding up":
            await following.begin(await storage_time(backend))
            an_hour_later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
            monkeypatch.setattr(leases, "time", an_hour_later)

    assert work.removed.freed
    assert (await collector_state(backend)).holder == "the next one"


async def test_two_at_once_are_told_apart_and_a_dry_run_asks_nobody(backend: MemoryBackend, registry: Registry) -> None:
    dangling = await push(registry, None, b"one")
    await Collector(backend, "another one", 300).begin(await storage_time(backend))

    with pytest.raises(CollectorBusy, match="by another one"):
        await remove(backend, prune(backend))
    assert gone(await remove(backend, prune(backend), dry_run=True)) == {dangling}
    assert await manifests(backend) == {dangling}


async def test_an_artifact_that_names_a_manifest_as_its_blob_needs_it(
    backend: MemoryBackend, registry: Registry
) -> None:
    named = await push(registry, None, b"one")
    await registry.blobs.link(APP, named)
    document = image(b"{}", [], layers=[descriptor() | {"digest": str(named), "mediaType": mediatypes.OCI_MANIFEST}])
    artifact = await push_document(registry, "artifact", document)

    assert not gone(await remove(backend, prune(backend)))
    assert await manifests(backend) == {named, artifact}


async def test_times_of_pulls_are_written_once_in_a_while_and_lost_ones_count_as_pulled(
    backend: MemoryBackend, clock: Clock
) -> None:
    now = [0.0]
    pulls = PullTimes(backend, lambda: now[0])
    digest = Digest.of(b"one")
    assert await pulls.since() is None
    for _ in range(100):
        pulls.note(APP, digest)
    assert await pulls.write() == 1
    first, began = await pulls.last(APP, digest), await pulls.since()
    assert began is not None
    pulls.note(APP, digest)
    assert await pulls.write() == 0, "it was written a moment ago"
    now[0] = 301
    pulls.note(APP, digest)
    assert await pulls.write() == 1
    assert await pulls.last(APP, digest) > first
    assert await PullTimes(backend).since() == began

    for number in range(65_537):
        pulls.note(APP, Digest("sha256", f"{number:064x}"))
    clock.pass_days(1)
    pulls._noted.clear()  # it is only about the one that found no room
    await pulls.write()
    since = await pulls.since()
    assert since is not None
    assert since > began
