"""The files of a bundle that is being made."""

import errno
import os
from pathlib import Path

import pytest

from registry.mirror.bundle_output import PartialFiles
from storage_backends import durable


@pytest.mark.parametrize("part_size", [0, 4])
def test_nobody_goes_on_with_what_the_disk_has_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_size: int
) -> None:
    """A stick that fails says so once: the next sync would succeed over bytes that are lost."""

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    files = PartialFiles(tmp_path / "out.tar", "abc", part_size)
    files.write(b"what is lost")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="Input/output error"):
        patched.setattr(durable, "sync_file", refuse)
        files.finish()
    files.close()

    files = PartialFiles(tmp_path / "out.tar", "abc", part_size)
    assert files.tell() == 0
    files.write(b"anew")
    files.finish()
    files.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.tar.001" if part_size else "out.tar"]
