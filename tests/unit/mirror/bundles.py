"""Makes and loads bundles between places of the tests."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from registry.content.digest import Digest
from registry.content.names import RepositoryName, parse_reference
from registry.mirror.bundle_base import Base, Several
from registry.mirror.bundle_create import Shape, begin, fill
from registry.mirror.bundle_load import load, wanted
from registry.mirror.bundle_reader import Check, open_bundle
from registry.mirror.copy import Options
from registry.mirror.progress import Tally, Wanted
from tests.unit.mirror.places import MemoryPlace

CREATED = "2026-01-01T00:00:00Z"


def make(
    path: Path,
    source: MemoryPlace,
    *images: str,
    shape: Shape | None = None,
    base: Base | None = None,
    options: Options | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> Tally:
    """A bundle of images that are called `repository:tag` or `repository@digest`."""
    making = begin(path, "0123", shape or Shape(), base or Several(), differential=base is not None)
    tally = Tally()
    try:
        asyncio.run(fill(making.writer, [(source, [named(each) for each in images])], options or Options(), tally.take))
        making.writer.finish(CREATED, sign)
    finally:
        making.files.close()
    return tally


def named(text: str) -> Wanted:
    name, _, reference = text.partition("@") if "@" in text else text.rpartition(":")
    repository, parsed = RepositoryName.parse(name), parse_reference(reference)
    return Wanted(repository, parsed, repository, () if isinstance(parsed, Digest) else (parsed,))


def load_into(
    target: MemoryPlace,
    path: Path,
    *,
    prefix: str = "",
    options: Options | None = None,
    check: Check | None = None,
    unnamed: str = "",
) -> Tally:
    """Load a bundle; blobs of other repositories of the target are used."""

    async def mount(name: RepositoryName, digest: Digest) -> bool:
        for held in list(target.held):
            if await target.mount(name, digest, held):
                return True
        return False

    bundle = open_bundle(path, check, RepositoryName.parse(unnamed) if unnamed else None)
    try:
        into = (target, mount)
        settings = options or Options(referrers=False, sparse=True)
        return asyncio.run(load(bundle, wanted(bundle, prefix), into, settings, lambda event: None))
    finally:
        bundle.close()


def kinds(names: Sequence[str]) -> list[str]:
    """What lies in a tar, without the digests."""
    return [name.partition("/")[0] for name in names]
