"""A directory with images that were pushed an hour or two ago."""

import asyncio
import os
import time
from pathlib import Path

from registry.content import keyspace
from registry.content.repository import Registry, Rules
from storage_backends.filesystem import FilesystemBackend
from tests.unit.cleanup.pushing import push


def filled(root: Path, *tags: str | None, hours: float = 2) -> list[str]:
    """Push an image under each tag (None: under none); all of them are so old then. Returns their digests."""

    async def push_all() -> list[str]:
        backend = FilesystemBackend(root, scratch=keyspace.SCRATCH)
        registry = Registry(backend, Rules())
        found = [str(await push(registry, tag, b"layer %d" % number)) for number, tag in enumerate(tags)]
        await registry.pulls.write()
        return found

    digests = asyncio.run(push_all())
    then = time.time() - hours * 3600
    for file in root.rglob("*"):
        if file.is_file():
            os.utime(file, (then, then))
    return digests
