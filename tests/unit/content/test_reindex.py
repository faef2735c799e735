"""Reindexing: what is ours comes back from the manifests, what is stale goes, nothing else is touched."""

import asyncio
from collections.abc import Mapping

from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.content.reindex import Reindexed, reindex
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import descriptor, encoded, image, index
from tests.unit.content.stepping import SteppingBackend

_SUBJECT = descriptor(b"subject", mediatypes.OCI_MANIFEST)


async def _contents(backend: MemoryBackend) -> Mapping[str, bytes]:
    return {key: (await backend.get(key)).data for key in (await backend.list("", limit=10_000)).entries}


async def _push(registry: Registry, name: str, tag: str, **more: object) -> Digest:
    data = encoded({**index(), **more})
    return (await registry.put_manifest(RepositoryName.parse(name), Tag(tag), data, None)).digest


async def test_a_tree_without_ours_gets_the_same_index_again(backend: MemoryBackend, registry: Registry) -> None:
    for name in ("a", "a/b", "c"):
        await _push(registry, name, "plain")
        await _push(registry, name, "one", subject=_SUBJECT)
        await _push(registry, name, "two", subject=_SUBJECT, annotations={"ä": "ö"})
    [_ async for _ in reindex(backend)]
    before = await _contents(backend)
    await backend.delete_many([key for key in before if key.startswith("cargohold/")])

    found = [item async for item in reindex(backend)]

    assert found == [Reindexed(name, referrers=2, removed=0) for name in ("a", "a/b", "c")]
    assert await _contents(backend) == before


async def test_entries_of_manifests_that_are_gone_are_removed(
    backend: MemoryBackend, registry: Registry, name: RepositoryName
) -> None:
    staying = await _push(registry, name, "one", subject=_SUBJECT)
    going = await _push(registry, name, "two", subject=_SUBJECT, annotations={"a": "b"})
    await backend.delete(keyspace.revision_link(name, going))
    await backend.put(keyspace.all_referrers(name) + "stray", b"")

    assert [item async for item in reindex(backend, dry_run=True)] == [Reindexed(name, referrers=1, removed=2)]
    assert [item async for item in reindex(backend)] == [Reindexed(name, referrers=1, removed=2)]
    assert [item async for item in reindex(backend)] == [Reindexed(name, referrers=1, removed=0)]

    subject = Digest.parse(str(_SUBJECT["digest"]))
    assert (await backend.list(keyspace.all_referrers(name))).entries == (keyspace.referrer(name, subject, staying),)


async def test_a_referrer_that_is_pushed_at_this_moment_stays_listed(
    backend: MemoryBackend, name: RepositoryName
) -> None:
    """Its entry lies there before the manifest does, and looked stale."""
    stepping = SteppingBackend(backend)
    registry = Registry(stepping, Rules())
    await _push(registry, name, "other")
    data = encoded(index(subject=_SUBJECT))
    digest, subject = Digest.of(data), Digest.parse(str(_SUBJECT["digest"]))
    await backend.put(keyspace.referrer(name, subject, digest), b"{}")
    stop = stepping.stop_before("delete", "_referrers/")

    async def run() -> None:
        async for _ in reindex(stepping):
            pass

    work = asyncio.create_task(run())
    await stop.reached.wait()
    await registry.put_manifest(name, Tag("new"), data, None)
    stop.go_on.set()
    await work

    page = await registry.referrers(name, subject, None, "", 10)
    assert [entry["digest"] for entry in page.descriptors] == [str(digest)]


async def test_a_dry_run_changes_nothing(backend: MemoryBackend, registry: Registry) -> None:
    await _push(registry, "a", "one", subject=_SUBJECT)
    keys = (await backend.list("cargohold/")).entries
    await backend.delete_many(keys)
    before = await _contents(backend)

    assert [item async for item in reindex(backend, dry_run=True)] == [Reindexed("a", referrers=1, removed=0)]

    assert await _contents(backend) == before


async def test_an_empty_storage_has_nothing_to_rebuild(backend: MemoryBackend) -> None:
    assert [item async for item in reindex(backend)] == []
    assert await _contents(backend) == {}


async def test_it_touches_nothing_of_distributions(backend: MemoryBackend, registry: Registry) -> None:
    await _push(registry, "a", "one", subject=_SUBJECT)
    await registry.blobs.link(RepositoryName("a"), Digest.of(b""))
    data = encoded(image())
    await backend.put(keyspace.blob(Digest.of(data)), data)
    before = {key: data for key, data in (await _contents(backend)).items() if key.startswith("docker/")}

    [_ async for _ in reindex(backend)]

    after = {key: data for key, data in (await _contents(backend)).items() if key.startswith("docker/")}
    assert after == before
