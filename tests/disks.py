"""A disk in memory, mounted for as long as a test needs it: one that is soon full, or that is gone at once with all its
files. Needs root.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import leave_out, need


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """An empty disk of this size (in the words of mount: `4m`) at `place`, which is made; without root the test is left
    out.
    """
    if os.geteuid() != 0:
        leave_out("mounting a disk needs root")
    place.mkdir(parents=True)
    command = [need("mount"), "-t", "tmpfs", "-o", f"size={size},nr_inodes=0", "tmpfs", str(place)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode:
        leave_out(f"mounting a disk is not possible here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run([need("umount"), "--lazy", str(place)], check=True)
