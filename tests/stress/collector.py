"""Collects garbage and prunes dangling images without end and without grace, as `python -m tests.stress.collector`; a
test kills it now and then.

Takes its settings from the environment. Says on standard output what each cycle has removed.
"""

import asyncio
import sys

from config.load import load
from registry.app_storage import build_backend
from registry.cleanup.filters import Filters
from registry.cleanup.gc import Collection, Options
from registry.cleanup.image_removal import ImageRemoval
from registry.cleanup.image_removal import Options as ImageOptions
from registry.cleanup.prune import Prune
from registry.content.immutable_tags import nothing
from registry.content.leases import CollectorBusy, LeaseLost

LEASE_SECONDS = 8.0


async def _collect() -> None:
    backend = build_backend(load())
    chooser = Prune(backend, Filters(), nothing, grace=0)
    cycles = 0
    while True:
        work = Collection(backend, Options(grace=0, lease=LEASE_SECONDS), "the stress test")
        images = ImageRemoval(
            backend, chooser, ImageOptions(grace=0, restorable=0, lease=LEASE_SECONDS), "the stress test"
        )
        try:
            async for _ in work.run():
                pass
            _say(f"cycle {work.collected.removed_blobs} {work.collected.removed_links}")
            cycles += 1
            if cycles % 3:
                continue
            async for _ in images.run():
                pass
            _say(f"pruned {len(images.removed.going)}")
        except (CollectorBusy, LeaseLost) as error:
            _say(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.2)  # the lease of a killed one has to run out; nothing tells when


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_collect())
