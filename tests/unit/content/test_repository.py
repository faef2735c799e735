"""The rules of a push and a pull."""

import pytest

from registry.content import keyspace, mediatypes
from registry.content.digest import Digest
from registry.content.errors import (
    BlobUnknown,
    ContentError,
    DigestInvalid,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
    ReferencesUnknown,
)
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.base import ObjectInfo
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import Document, descriptor, encoded, image, index
from tests.unit.content.pouring import Poured

_OTHER = RepositoryName.parse("other")
_LATEST = Tag("latest")
_IMAGE = image(b"{}", [b"layer"])
_FOREIGN_TYPE = sorted(mediatypes.FOREIGN_LAYERS)[0]


class _Counting(MemoryBackend):
    stats = 0

    async def stat(self, key: str) -> ObjectInfo:
        self.stats += 1
        return await super().stat(key)


async def _push_blobs(registry: Registry, name: RepositoryName, *blobs: bytes) -> None:
    for blob in blobs:
        await registry.uploads.push(name, Digest.of(blob), Poured(blob))


async def _push_image(registry: Registry, name: RepositoryName, tag: Tag = _LATEST) -> Digest:
    await _push_blobs(registry, name, b"{}", b"layer")
    return (await registry.put_manifest(name, tag, encoded(_IMAGE), None)).digest


async def test_an_image_pushed_by_tag_is_pulled_by_tag_and_by_digest(registry: Registry, name: RepositoryName) -> None:
    await _push_blobs(registry, name, b"{}", b"layer")
    data = encoded(_IMAGE)

    pushed = await registry.put_manifest(name, _LATEST, data, mediatypes.OCI_MANIFEST)

    assert (pushed.digest, pushed.tags, pushed.subject) == (Digest.of(data), (_LATEST,), None)
    for reference in (_LATEST, pushed.digest):
        stored = await registry.get_manifest(name, reference)
        assert (stored.data, stored.media_type) == (data, mediatypes.OCI_MANIFEST)
    assert (await registry.tags(name, "", 10)).names == ("latest",)
    assert (await registry.repositories("", 10)).names == (name,)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_push_by_digest_moves_the_tags_that_it_names_and_no_others(
    registry: Registry, name: RepositoryName, algorithm: str
) -> None:
    data = encoded(index())
    digest = Digest.of(data, algorithm)

    assert (await registry.put_manifest(name, digest, data, None)).tags == ()
    pushed = await registry.put_manifest(name, digest, data, None, [Tag("b"), Tag("a"), Tag("b")])

    assert (pushed.digest, pushed.tags) == (digest, ("b", "a"))
    assert (await registry.tags(name, "", 10)).names == ("a", "b")
    for reference in (digest, Tag("a"), Tag("b")):
        assert (await registry.get_manifest(name, reference)).digest == digest


async def test_bytes_that_have_another_digest_are_refused(
    backend: MemoryBackend, registry: Registry, name: RepositoryName
) -> None:
    for wrong in (Digest.of(b"other"), Digest.of(b"other", "sha512")):
        with pytest.raises(DigestInvalid, match="the manifest has the digest"):
            await registry.put_manifest(name, wrong, encoded(index()), None, [_LATEST])

    assert (await backend.list("")).entries == ()


@pytest.mark.parametrize(
    ("data", "media_type", "error"),
    [
        (b"", None, ManifestInvalid),
        (b"{}", None, ManifestInvalid),
        (encoded(index()), mediatypes.OCI_MANIFEST, ManifestInvalid),
        (encoded({"schemaVersion": 1}), mediatypes.SCHEMA_1_SIGNED, ManifestInvalid),
        (encoded(index(padding="x" * 4 * 1024 * 1024)), None, ManifestTooLarge),
        (encoded(_IMAGE), None, ReferencesUnknown),
    ],
)
async def test_a_refused_manifest_leaves_nothing(
    *, backend: MemoryBackend, registry: Registry, name: RepositoryName, data: bytes, media_type: str, error: type
) -> None:
    for reference in (_LATEST, Digest.of(data)):
        with pytest.raises(error):
            await registry.put_manifest(name, reference, data, media_type)

    assert (await backend.list("")).entries == ()


async def test_who_names_very_much_that_is_not_there_does_not_make_the_storage_look_for_all_of_it(
    name: RepositoryName,
) -> None:
    backend = _Counting()
    registry = Registry(backend, Rules())
    await _push_blobs(registry, name, b"{}")
    layers = [descriptor(b"%d" % number) for number in range(5000)]
    backend.stats = 0

    with pytest.raises(ReferencesUnknown) as raised:
        await registry.put_manifest(name, _LATEST, encoded({**_IMAGE, "layers": layers}), None)

    assert len(raised.value.missing) == 1000 + 999  # the config is there
    assert backend.stats < 2100


async def test_a_manifest_of_exactly_the_limit_is_taken(backend: MemoryBackend, name: RepositoryName) -> None:
    data = encoded(index())
    for limit, fits in ((len(data), True), (len(data) - 1, False)):
        registry = Registry(backend, Rules(max_manifest_bytes=limit))
        try:
            await registry.put_manifest(name, _LATEST, data, None)
        except ManifestTooLarge:
            assert not fits
        else:
            assert fits


async def test_every_missing_reference_is_named_once(registry: Registry, name: RepositoryName) -> None:
    await _push_blobs(registry, name, b"here")
    await _push_blobs(registry, _OTHER, b"only there")

    with pytest.raises(ReferencesUnknown) as raised:
        await registry.put_manifest(
            name, _LATEST, encoded(image(b"{}", [b"here", b"only there", b"nowhere", b"nowhere"])), None
        )

    assert raised.value.missing == tuple(str(Digest.of(data)) for data in (b"{}", b"only there", b"nowhere"))
    assert all(digest in raised.value.message for digest in raised.value.missing)


async def test_an_index_needs_its_manifests_in_this_repository(registry: Registry, name: RepositoryName) -> None:
    await _push_image(registry, _OTHER)
    data = encoded(index([descriptor(encoded(_IMAGE), mediatypes.OCI_MANIFEST)]))

    with pytest.raises(ReferencesUnknown):
        await registry.put_manifest(name, _LATEST, data, None)
    await _push_image(registry, name, Tag("child"))
    await registry.put_manifest(name, _LATEST, data, None)

    assert (await registry.get_manifest(name, _LATEST)).data == data


async def test_an_index_may_list_blobs_as_build_caches_do(registry: Registry, name: RepositoryName) -> None:
    await _push_blobs(registry, name, b"cached layer")

    await registry.put_manifest(name, _LATEST, encoded(index([descriptor(b"cached layer")])), None)

    assert (await registry.tags(name, "", 10)).names == ("latest",)


_ABSENT_LAYER = image(b"{}", [b"nowhere"])
_ABSENT_CHILD = index([descriptor(b"nowhere", mediatypes.OCI_MANIFEST)])
_WITH_URLS = {**image(b"{}"), "layers": [descriptor(b"nowhere", urls=["https://example.com/layer"])]}
_NOT_DISTRIBUTABLE = {**image(b"{}"), "layers": [descriptor(b"nowhere", _FOREIGN_TYPE)]}


@pytest.mark.parametrize(
    ("document", "rules", "taken"),
    [
        (_ABSENT_LAYER, Rules(), False),
        (_ABSENT_LAYER, Rules(check_references=False), True),
        (_ABSENT_LAYER, Rules(allow_sparse_indexes=True), False),
        (_ABSENT_CHILD, Rules(), False),
        (_ABSENT_CHILD, Rules(allow_sparse_indexes=True), True),
        (_ABSENT_CHILD, Rules(check_references=False), True),
        (_WITH_URLS, Rules(), True),
        (_WITH_URLS, Rules(allow_foreign_layers=False), False),
        (_NOT_DISTRIBUTABLE, Rules(), True),
        (_NOT_DISTRIBUTABLE, Rules(allow_foreign_layers=False), False),
    ],
)
async def test_what_may_be_absent_is_a_setting(
    backend: MemoryBackend, name: RepositoryName, document: Document, rules: Rules, taken: bool
) -> None:
    registry = Registry(backend, rules)
    await _push_blobs(registry, name, b"{}")
    try:
        await registry.put_manifest(name, _LATEST, encoded(document), None)
    except ReferencesUnknown as error:
        assert not taken
        assert error.missing == (str(Digest.of(b"nowhere")),)
    else:
        assert taken


async def test_a_subject_need_not_be_there(registry: Registry, name: RepositoryName) -> None:
    """distribution-spec, "Pushing Manifests with Subject"."""
    subject = Digest.of(b"nowhere")

    pushed = await registry.put_manifest(name, _LATEST, encoded(index(subject=descriptor(b"nowhere"))), None)

    assert pushed.subject == subject
    page = await registry.referrers(name, subject, None, "", 10)
    assert [entry["digest"] for entry in page.descriptors] == [str(pushed.digest)]


async def test_a_moved_tag_leaves_the_old_manifest_by_digest(registry: Registry, name: RepositoryName) -> None:
    old = await _push_image(registry, name)
    new = (await registry.put_manifest(name, _LATEST, encoded(index()), None)).digest

    assert (await registry.get_manifest(name, _LATEST)).digest == new
    assert (await registry.get_manifest(name, old)).digest == old


async def test_a_deleted_tag_leaves_the_manifest(registry: Registry, name: RepositoryName) -> None:
    digest = await _push_image(registry, name)

    await registry.delete_tag(name, _LATEST)

    assert (await registry.get_manifest(name, digest)).digest == digest
    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(name, _LATEST)
    with pytest.raises(ManifestUnknown):
        await registry.delete_tag(name, _LATEST)
    assert (await registry.tags(name, "", 10)).names == ()


async def test_a_deleted_manifest_takes_its_tags_and_its_referrers_entry_with_it(
    backend: MemoryBackend, registry: Registry, name: RepositoryName
) -> None:
    data = encoded(index(subject=descriptor(b"subject")))
    digest = (await registry.put_manifest(name, _LATEST, data, None)).digest
    await registry.put_manifest(name, Tag("same"), data, None)
    await registry.put_manifest(name, Tag("other"), encoded(index()), None)

    await registry.delete_manifest(name, digest)

    assert (await registry.tags(name, "", 10)).names == ("other",)
    assert (await registry.referrers(name, Digest.of(b"subject"), None, "", 10)).descriptors == ()
    assert (await backend.list(keyspace.all_referrers(name))).entries == ()
    for attempt in (registry.get_manifest(name, digest), registry.delete_manifest(name, digest)):
        with pytest.raises(ManifestUnknown):
            await attempt


async def test_a_manifest_whose_bytes_went_bad_can_be_deleted(
    backend: MemoryBackend, registry: Registry, name: RepositoryName
) -> None:
    digest = (await registry.put_manifest(name, _LATEST, encoded(index()), None)).digest
    await backend.put(keyspace.blob(digest), b"rotten")

    await registry.delete_manifest(name, digest)

    with pytest.raises(NameUnknown):
        await registry.tags(name, "", 10)
    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(name, digest)


async def test_delete_push_again_and_pull_with_no_restart(
    backend: MemoryBackend, registry: Registry, name: RepositoryName
) -> None:
    """distribution #3743, #4569, #1803, #2966, #4525: the push is told that the layer exists, the pull is broken."""
    digest = await _push_image(registry, name)
    await registry.get_manifest(name, _LATEST)
    await registry.delete_manifest(name, digest)
    for blob in (b"{}", b"layer"):
        await registry.blobs.unlink(name, Digest.of(blob))
    await backend.delete_many([keyspace.blob(Digest.of(blob)) for blob in (b"{}", b"layer", encoded(_IMAGE))])

    for blob in (b"{}", b"layer"):
        assert not await registry.blobs.has(name, Digest.of(blob))
    with pytest.raises(ReferencesUnknown):
        await registry.put_manifest(name, _LATEST, encoded(_IMAGE), None)
    await _push_image(registry, name)

    assert (await registry.get_manifest(name, _LATEST)).data == encoded(_IMAGE)
    assert await registry.blobs.size(name, Digest.of(b"layer")) == 5


async def test_a_blob_is_mounted_from_a_repository_that_has_it(registry: Registry, name: RepositoryName) -> None:
    digest = Digest.of(b"layer")
    await _push_blobs(registry, _OTHER, b"layer")

    assert not await registry.mount(name, digest, RepositoryName.parse("third"))
    assert not await registry.blobs.has(name, digest)
    assert await registry.mount(name, digest, _OTHER)
    assert await registry.blobs.has(name, digest)
    assert await registry.mount(RepositoryName.parse("fourth"), digest, None)
    assert not await registry.mount(name, Digest.of(b"nowhere"), None)
    assert not await registry.blobs.has(name, Digest.of(b"nowhere"))


async def test_a_blob_deleted_here_stays_where_it_was_mounted(registry: Registry, name: RepositoryName) -> None:
    digest = Digest.of(b"layer")
    await _push_blobs(registry, name, b"layer")
    await registry.mount(_OTHER, digest, name)

    await registry.blobs.unlink(name, digest)

    assert await registry.blobs.has(_OTHER, digest)
    with pytest.raises(BlobUnknown):
        await registry.blobs.open(name, digest)


async def test_tags_of_an_unknown_repository_are_an_error_and_of_an_untagged_one_a_list(
    registry: Registry, name: RepositoryName
) -> None:
    with pytest.raises(NameUnknown, match="there is no repository team/app"):
        await registry.tags(name, "", 10)
    await _push_blobs(registry, name, b"layer")
    assert (await registry.tags(name, "", 10)).names == ()
    await registry.put_manifest(_OTHER, _LATEST, encoded(index()), None)
    assert (await registry.tags(_OTHER, "zzz", 10)).names == ()
    assert (await registry.tags(_OTHER, "", 0)).names == ()


async def test_a_namespace_is_no_repository(registry: Registry, name: RepositoryName) -> None:
    await _push_image(registry, name)

    with pytest.raises(NameUnknown):
        await registry.tags(RepositoryName.parse("team"), "", 10)
    for attempt in (
        registry.get_manifest(RepositoryName.parse("team"), _LATEST),
        registry.blobs.size(RepositoryName.parse("team"), Digest.of(b"layer")),
    ):
        with pytest.raises(ContentError):
            await attempt
