"""The storage goes away while garbage is collected, and comes back: what was not seen meanwhile is not garbage."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from registry.cleanup.gc import Collection, Options
from registry.content.digest import Digest
from registry.content.leases import LeaseLost
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.errors import StorageError
from storage_backends.filesystem import FilesystemBackend
from tests.unit.content.documents import encoded, image
from tests.unit.content.pouring import Poured
from tests.unit.content.stepping import SteppingBackend

pytestmark = pytest.mark.anyio
_CONFIG = b"{}"
_NAMES = [RepositoryName(f"team/app{number}") for number in range(3)]


class Unmounted(SteppingBackend):
    """Of the calls from `first` on some meet a directory in which nothing is mounted."""

    def __init__(self, root: Path, first: int) -> None:
        super().__init__(FilesystemBackend(root))
        self._root = root
        self._away = root.with_name("away")
        self._first = first
        self._count = 0
        self.met = False

    async def forget_empty(self, prefix: str, *, dry_run: bool = False) -> bool:
        """See the contract."""
        await self._pass("forget_empty", prefix)
        return await self._inner.forget_empty(prefix, dry_run=dry_run)

    async def _pass(self, verb: str, *keys: str) -> None:
        self._count += 1
        if self._count == self._first:
            self.met = True
            self._root.rename(self._away)
            self._root.mkdir()
        elif self._count == self._first + 3:
            self.mount()

    def mount(self) -> None:
        """It is there again."""
        if self._away.exists():
            shutil.rmtree(self._root)
            self._away.rename(self._root)


async def _fill(root: Path) -> None:
    registry = Registry(FilesystemBackend(root), Rules())
    for name in _NAMES:
        for data in (_CONFIG, name.encode()):
            await registry.uploads.push(name, Digest.of(data), Poured(data))
        await registry.put_manifest(name, Tag("latest"), encoded(image(_CONFIG, [name.encode()])), None)


@pytest.mark.timeout(120)
async def test_a_directory_that_is_not_mounted_for_a_moment_loses_nothing(tmp_path: Path) -> None:
    await _fill(tmp_path / "before")
    first, met = 0, True
    while met:
        first += 1
        root = tmp_path / str(first) / "data"
        shutil.copytree(tmp_path / "before", root)
        backend = Unmounted(root, first)
        with suppress(StorageError, LeaseLost):
            async for _ in Collection(backend, Options(grace=-1), "a test").run():
                pass
        backend.mount()
        met = backend.met

        registry = Registry(FilesystemBackend(root), Rules())
        for name in _NAMES:
            assert (await registry.get_manifest(name, Tag("latest"))).data, first
            assert await registry.blobs.has(name, Digest.of(name.encode())), first
    assert first > 50
