"""Bytes that are not there at all, without a scrub that has taken them away."""

import pytest

from registry.cleanup.scrub import Options
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.names import RepositoryName
from registry.content.repository import Registry
from storage_backends.memory import MemoryBackend
from tests.images import random_image
from tests.unit.cleanup.test_gc import push
from tests.unit.cleanup.test_scrub import contents, push_image, scrub, states
from tests.unit.content.pouring import Poured
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
_CONFIG, _LAYER = b"{}", b"a layer"
_DIGEST = Digest.of(_LAYER)
_APP = RepositoryName.parse("team/app")


async def test_what_is_lost_without_a_trace_is_mended_too(backend: MemoryBackend, registry: Registry) -> None:
    """As after a disk has lost a directory, and as fsck says of missing bytes."""
    image = random_image(seed=1)
    place = MemoryPlace()
    place.add("team/app", image, "latest")
    await push_image(registry, image)
    await push(registry, _APP, "other", _LAYER)
    before = await contents(backend)
    lost = [Digest.parse(one.digest) for one in (image.manifest, image.config, *image.layers)]
    await backend.delete_many([keyspace.blob(digest) for digest in (*lost, _DIGEST)])

    dry = await scrub(backend, Options(dry_run=True), source=place)
    found = await scrub(backend, source=place)

    assert states(dry) == dict.fromkeys((lost[0], _DIGEST), "missing"), "what a lost manifest needs nobody knows"
    assert states(found) == dict.fromkeys(lost, "mended") | {_DIGEST: "missing"}
    assert [damage.digest for damage in found.damaged if damage.hurts] == [_DIGEST]
    await push(registry, _APP, "other", _LAYER)
    assert await contents(backend) == before
    assert (await scrub(backend, source=place)).damaged == []


async def test_only_what_chosen_repositories_link_and_need_is_missing(
    backend: MemoryBackend, registry: Registry
) -> None:
    await push(registry, _APP, "latest", _LAYER)
    await registry.uploads.push(RepositoryName("other"), Digest.of(b"needed by nothing"), Poured(b"needed by nothing"))
    await backend.delete_many([keyspace.blob(Digest.of(data)) for data in (_LAYER, _CONFIG, b"needed by nothing")])
    await backend.delete(keyspace.layer_link(_APP, Digest.of(_CONFIG)))

    place = MemoryPlace()
    place.add("team/app", random_image(seed=2))
    of_all = await scrub(backend, source=place)
    of_another = await scrub(backend, Options(repositories=["other"]), source=place)

    assert states(of_all) == {_DIGEST: "missing"}
    assert of_another.damaged == []
