"""Tags that stay what they are: what may be deleted beside them."""

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import TagImmutable
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import encoded, index


@pytest.fixture
def registry(backend: MemoryBackend) -> Registry:
    return Registry(backend, Rules(), lambda _: lambda tag: tag.startswith("v"))


async def test_a_damaged_one_hinders_no_deletion_of_what_others_do_not_need(
    backend: MemoryBackend, registry: Registry, name: RepositoryName
) -> None:
    kept, old = encoded(index(annotations={"a": "1"})), encoded(index(annotations={"a": "2"}))
    await registry.put_manifest(name, Tag("v1"), kept, None)
    await registry.put_manifest(name, Tag("old"), old, None)
    await backend.put(keyspace.tag_current(name, Tag("v9")), b"damaged")

    await registry.delete_manifest(name, Digest.of(old))
    with pytest.raises(TagImmutable):
        await registry.delete_manifest(name, Digest.of(kept))
