"""Referrers whose subject is gone go if the setting says so, and only when nobody can want them any more."""

import pytest

from registry.cleanup.gc import Collected, Collection, Options
from registry.cleanup.restore import Restorer, choose
from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.immutable_tags import nothing
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import Clock
from tests.unit.content.documents import descriptor, encoded, image, index
from tests.unit.content.pouring import Poured

pytestmark = pytest.mark.anyio
_APP = RepositoryName.parse("team/app")
_RULES = Rules()
_SUBJECT = encoded(index(annotations={"is": "the subject"}))
_CONFIG = b"{}"
_REFERRER = encoded(image(_CONFIG, subject=descriptor(_SUBJECT, mediatypes.OCI_INDEX)))
_TAG = f"sha256-{Digest.of(_SUBJECT).encoded}.sig"


async def push(registry: Registry, data: bytes, *tags: str, name: RepositoryName = _APP) -> Digest:
    """Push a manifest; return its digest."""
    await registry.uploads.push(name, Digest.of(_CONFIG), Poured(_CONFIG))
    return (await registry.put_manifest(name, Digest.of(data), data, None, [Tag(tag) for tag in tags])).digest


async def collect(backend: MemoryBackend, dry_run: bool = False) -> Collected:
    """One whole cycle that removes dangling referrers."""
    work = Collection(backend, Options(grace=_RULES.grace_seconds, dangling_referrers=True, dry_run=dry_run), "a test")
    async for _ in work.run():
        pass
    return work.collected


async def is_there(registry: Registry, digest: Digest) -> bool:
    """True if the manifest can be pulled."""
    try:
        await registry.get_manifest(_APP, digest)
    except ManifestUnknown:
        return False
    return True


@pytest.mark.parametrize("tag", ["", _TAG])
async def test_a_referrer_goes_when_its_subject_cannot_be_restored_any_more_and_can_be_restored_itself(
    backend: MemoryBackend, registry: Registry, clock: Clock, tag: str
) -> None:
    subject = await push(registry, _SUBJECT, "v1")
    referrer = await push(registry, _REFERRER, *([tag] if tag else []))
    clock.let_grace_pass()

    assert (await collect(backend)).removed_referrers == 0
    await registry.delete_manifest(_APP, subject)
    assert (await collect(backend)).removed_referrers == 0
    assert await is_there(registry, referrer)

    clock.let_grace_pass()
    await collect(backend)  # the bytes of the subject
    assert (await collect(backend, dry_run=True)).removed_referrers == 1
    assert await is_there(registry, referrer)
    assert (await collect(backend)).removed_referrers == 1
    assert not await is_there(registry, referrer)

    restorer = Restorer(backend, _RULES, nothing)
    known = await restorer.of(_APP)
    [restored] = [one async for one in restorer.restore(choose(known, referrer), known)]
    assert restored.there
    assert await is_there(registry, referrer)


@pytest.mark.parametrize("tags", [["mine"], ["mine", _TAG]])
async def test_a_referrer_with_a_tag_of_its_own_stays(
    backend: MemoryBackend, registry: Registry, clock: Clock, tags: list[str]
) -> None:
    referrer = await push(registry, _REFERRER, *tags)
    clock.let_grace_pass()

    assert (await collect(backend)).removed_referrers == 0
    assert await is_there(registry, referrer)


async def test_a_referrer_in_an_index_stays(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    referrer = await push(registry, _REFERRER)
    await push(registry, encoded(index([descriptor(_REFERRER, mediatypes.OCI_MANIFEST)])), "many")
    clock.let_grace_pass()

    assert (await collect(backend)).removed_referrers == 0
    assert await is_there(registry, referrer)


@pytest.mark.parametrize("data", [encoded(image(_CONFIG)), _REFERRER])
async def test_signatures_in_a_repository_of_their_own_stay_as_long_as_anybody_has_the_image(
    backend: MemoryBackend, registry: Registry, clock: Clock, data: bytes
) -> None:
    """cosign's COSIGN_REPOSITORY."""
    signatures = RepositoryName.parse("signatures")
    subject = await push(registry, _SUBJECT, "v1")
    await push(registry, data, _TAG, name=signatures)
    clock.let_grace_pass()

    assert (await collect(backend)).removed_referrers == 0
    await registry.delete_manifest(_APP, subject)
    clock.let_grace_pass()
    await collect(backend)
    assert (await collect(backend)).removed_referrers == 1


async def test_a_referrer_may_be_pushed_before_its_subject(backend: MemoryBackend, registry: Registry) -> None:
    referrer = await push(registry, _REFERRER)

    assert (await collect(backend)).removed_referrers == 0
    assert await is_there(registry, referrer)


async def test_an_image_that_refers_to_nothing_stays(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    image = await push(registry, _SUBJECT)
    clock.let_grace_pass()

    assert (await collect(backend)).removed_referrers == 0
    assert await is_there(registry, image)


async def test_without_the_setting_referrers_stay(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    referrer = await push(registry, _REFERRER)
    clock.let_grace_pass()

    async for _ in Collection(backend, Options(grace=_RULES.grace_seconds), "a test").run():
        pass

    assert await is_there(registry, referrer)


async def test_what_an_immutable_tag_names_stays(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    referrer = await push(registry, _REFERRER, _TAG)
    clock.let_grace_pass()
    options = Options(grace=_RULES.grace_seconds, dangling_referrers=True, immutable=lambda _: lambda _: True)

    async for _ in Collection(backend, options, "a test").run():
        pass

    assert await is_there(registry, referrer)


@pytest.mark.parametrize("lists", [{}, {"blobs": []}, {"blobs": None}])
async def test_an_artifact_without_blobs_does_not_need_its_subject(
    backend: MemoryBackend, registry: Registry, clock: Clock, lists: dict[str, object]
) -> None:
    subject = await push(registry, _SUBJECT)
    document = {"mediaType": mediatypes.OCI_ARTIFACT, "artifactType": "a/b", **lists}
    referrer = await push(registry, encoded(document | {"subject": descriptor(_SUBJECT, mediatypes.OCI_INDEX)}))
    await registry.delete_manifest(_APP, subject)

    for _ in range(3):
        clock.let_grace_pass()
        await collect(backend)

    assert not await registry.blobs.has_bytes(subject)
    assert not await is_there(registry, referrer)
