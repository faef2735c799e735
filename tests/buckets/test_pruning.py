"""Prune and retention over a bucket: as over a directory, and the space that is stated is what is freed."""

import pytest

from registry.cleanup.filters import Filters
from registry.cleanup.prune import Prune
from registry.cleanup.retaining import Retaining
from registry.cleanup.retention import Keep, Policy
from registry.content.immutable_tags import nothing
from registry.content.repository import Registry, Rules
from registry.name_patterns import NamePattern
from storage_backends.s3 import S3Backend
from storage_backends.s3_options import S3Options
from tests.unit.cleanup.pushing import collect, gone, manifests, named_manifest, push, push_index, remove, tags

pytestmark = pytest.mark.anyio


async def test_images_go_and_what_others_need_stays(options: S3Options) -> None:
    backend = S3Backend(options)
    registry = Registry(backend, Rules())
    kept = await push(registry, "v1", b"shared", b"one")
    child = await push(registry, None, b"shared", b"two")
    dangling = await push_index(registry, None, child)
    sbom = await push(registry, None, b"sbom", subject=named_manifest(dangling))
    await push(registry, "nightly", b"shared", b"three")
    await push(registry, "also-v1", b"shared", b"one")
    assert await registry.pulls.write() == 0

    pruned = await remove(backend, Prune(backend, Filters(), nothing, grace=-1))
    assert gone(pruned) == {child, dangling, sbom}
    assert pruned.freed == (await collect(backend)).freed > 0

    policy = Policy("releases", [NamePattern("**")], keep=[Keep(tags=[NamePattern("v*")])])
    chooser = Retaining(backend, [policy], nothing, -1, acts=lambda _: True, tell=lambda *_: None)
    retained = await remove(backend, chooser)
    assert retained.freed == (await collect(backend)).freed > 0
    assert await manifests(backend) == {kept}
    assert await tags(backend) == {"v1"}
