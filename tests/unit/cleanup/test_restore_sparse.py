"""What was never there comes back without it, and what has lost something since does not."""

import pytest

from registry.cleanup.restore import Restorer
from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.immutable_tags import nothing
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import Clock
from tests.unit.cleanup.test_restore import collect, push, restore
from tests.unit.content.documents import descriptor, encoded, image, index

pytestmark = pytest.mark.anyio
_APP = RepositoryName.parse("team/app")
_CONFIG, _LAYER = b"{}", b"a layer"
_V1, _LATEST = Tag("v1"), Tag("latest")


@pytest.mark.parametrize("was_here", [True, False])
async def test_an_index_comes_back_as_sparse_as_it_was_and_no_sparser(
    backend: MemoryBackend, registry: Registry, clock: Clock, was_here: bool
) -> None:
    child = await push(registry)
    data = (await registry.get_manifest(_APP, child)).data
    other = encoded(image(_CONFIG, (_LAYER,), annotations={"platform": "another"}))
    children = [descriptor(one, mediatypes.OCI_MANIFEST) for one in (data, other)]
    if was_here:
        await registry.put_manifest(_APP, Digest.of(other), other, None)
    top = (await registry.put_manifest(_APP, _LATEST, encoded(index(children)), None, sparse=True)).digest
    await registry.delete_manifest(_APP, top)
    if was_here:  # as by `prune --gc`, which writes nothing down
        await Registry(backend, Rules(grace_seconds=0)).delete_manifest(_APP, Digest.of(other))
    await collect(backend)

    gone = f"too late: {Digest.of(other)}, which it needs, is gone"
    for dry_run in (True, False):
        [restored] = await restore(backend, _LATEST, dry_run=dry_run)
        assert restored.refused == ((gone,) if was_here else ())
        assert restored.there != was_here


@pytest.mark.parametrize(("checked", "days", "comes"), [(False, 0, True), (False, 1, False), (True, 0, False)])
async def test_what_was_taken_without_its_layers_comes_back_without_them_where_nothing_is_checked(
    backend: MemoryBackend, clock: Clock, checked: bool, days: int, comes: bool
) -> None:
    lax = Registry(backend, Rules(check_references=False))
    digest = (await lax.put_manifest(_APP, _V1, encoded(image(_CONFIG, (_LAYER,))), None)).digest
    await lax.delete_manifest(_APP, digest)
    clock.pass_days(days)

    restorer = Restorer(backend, Rules(check_references=checked), nothing)
    known = await restorer.of(_APP)
    [restored] = [one async for one in restorer.restore(known, known)]

    assert restored.there == comes


@pytest.mark.parametrize(("prefix", "comes"), [("team", True), ("te", False)])
async def test_an_image_of_a_mirror_comes_back_without_the_layers_that_nobody_had_pulled(
    backend: MemoryBackend, registry: Registry, prefix: str, comes: bool
) -> None:
    data = encoded(image(_CONFIG, (_LAYER,)))
    digest = (await registry.put_manifest(_APP, _V1, data, None, sparse=True)).digest
    await registry.delete_manifest(_APP, digest)

    restorer = Restorer(backend, Rules(), nothing, mirrored=[prefix])
    known = await restorer.of(_APP)
    [restored] = [one async for one in restorer.restore(known, known)]

    assert restored.there == comes
