"""Repairs and scrubs without end and without grace, as `python -m tests.stress.checker`.

Takes its settings from the environment. Says on standard output what it has found: nothing is damaged, and nothing is
wrong but what a killed push leaves.
"""

import asyncio
import sys

from config.load import load
from registry.app_storage import build_backend
from registry.cleanup.fsck import Fsck
from registry.cleanup.fsck import Options as FsckOptions
from registry.cleanup.scrub import Options, Scrub
from registry.cleanup.scrub_turn import ScrubBusy
from registry.content.leases import LeaseLost, storage_time
from tests.stress.collector import LEASE_SECONDS


async def _check() -> None:
    backend = build_backend(load())
    options = FsckOptions(grace=0, lease=LEASE_SECONDS, repair=True)
    while True:
        now = await storage_time(backend)
        fsck = Fsck(backend, options, "the checker", now)
        try:
            await fsck.run()
        except LeaseLost:
            continue  # the collector was held up: what it had claimed is another's
        try:
            scrubbed = await Scrub(backend, Options(lease=LEASE_SECONDS), "the checker").run(now)
        except ScrubBusy:
            await asyncio.sleep(0.2)  # the turn of a killed one has to run out
            continue
        kinds = sorted({finding.kind for finding in (*fsck.checked.left, *fsck.checked.repaired)})
        sys.stdout.write(f"checked {len(scrubbed.damaged)} damaged; {', '.join(kinds)}\n")
        sys.stdout.flush()
        await asyncio.sleep(0.5)  # collections shall have their turn


if __name__ == "__main__":
    asyncio.run(_check())
