"""What reaches the disk, and in which order. The only module that syncs, renames, links, unlinks, makes or removes.

Knows paths and descriptors; must not know keys or what the bytes mean. Each primitive is one small function, called as
`durable.<name>`, so that a fault can be put between any two of them from outside.

Two facts about disks shape everything here:

- A file's bytes are on the disk only after `fsync` of the file, and its name only after its directory's entry is. So a
  file is written under a temporary name, synced, and only then renamed: a name never points to bytes that a power cut
  can take.
- XFS, and ext4 with its journal, write changes of directories through one journal, in order. Syncing the directory
  that was changed *last* commits the transaction with that change and every one before it, so one sync makes a whole
  series of renames and new directories durable. Other filesystems promise only what each sync names; there every
  changed directory and all its ancestors are synced.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_ORDERED_FILESYSTEMS = frozenset({"ext3", "ext4", "xfs"})
_WRITE = 2
_WRITE_AND_WAIT = 7
_UNABLE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP, errno.EPERM})
"""What says that the kernel, or whoever stands in front of it, does not know such a call."""
_libc = ctypes.CDLL(None, use_errno=True)


def metadata_is_ordered(root: str, mounted: str = "/proc/self/mountinfo", system: str = "/sys") -> bool:
    """True if the filesystem that holds `root` is known to commit directory changes in order.

    `mounted` and `system` are where the kernel tells of its filesystems.
    """
    device = os.stat(root).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with Path(mounted).open(encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == wanted:
                kind = fields[fields.index("-") + 1]
                return kind in _ORDERED_FILESYSTEMS and not _lacks_journal(wanted, system)
    return False


def _lacks_journal(device: str, system: str) -> bool:
    """True if there is an ext4 on the device, `MAJOR:MINOR`, that was made without a journal, which keeps the order."""
    name = os.path.basename(os.path.realpath(f"{system}/dev/block/{device}"))
    try:
        return Path(f"{system}/fs/ext4/{name}/journal_task").read_text() == "<none>\n"
    except OSError:
        return False  # an XFS, or a kernel that does not say


def create(path: str, mode: int = 0o666) -> int:
    """Create a file that must not exist, for writing and reading; return its descriptor. The umask narrows `mode`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def write(fd: int, block: memoryview, offset: int) -> int:
    """Write some of `block` at `offset`; return how many bytes."""
    return os.pwrite(fd, block, offset)


def drop_written(fd: int, offset: int, length: int) -> None:
    """Wait until the kernel has written a range, and let it forget the pages. Promises nothing about a power cut.

    Raises `OSError` if the disk has refused any byte of the file of late. The kernel says so once: a sync afterwards
    finds nothing wrong.
    """
    if _libc.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(length), ctypes.c_uint(_WRITE_AND_WAIT)):
        number = ctypes.get_errno()
        if number not in _UNABLE:
            raise OSError(number, os.strerror(number))
    os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def start_writeback(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range, so that the sync that follows has less to wait for. Promises nothing."""
    _libc.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(length), ctypes.c_uint(_WRITE))


def sync_file(fd: int) -> None:
    """Return when the file's bytes are on the disk."""
    os.fsync(fd)


def sync_directory(path: str) -> None:
    """Return when the directory's entries are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(source: str, target: str) -> None:
    """Give a file another name, in place of what has it."""
    os.rename(source, target)


def link(source: str, target: str) -> None:
    """Give a file a second name, if nothing has it."""
    os.link(source, target)


def unlink(path: str) -> None:
    """Remove a name."""
    os.unlink(path)


def make_directory(path: str) -> None:
    """Make one directory; no error if it is there."""
    try:
        os.mkdir(path)
    except FileExistsError as error:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error


def make_directories(path: str) -> None:
    """Make a directory and those above it that are missing."""
    try:
        make_directory(path)
    except FileNotFoundError:
        make_directories(os.path.dirname(path))
        make_directory(path)


def remove_directory(path: str) -> None:
    """Remove an empty directory."""
    os.rmdir(path)


def sync_changes(changed: Iterable[str], root: str, *, ordered: bool) -> None:
    """Return when all changes made in the directories `changed`, in that order, are on the disk.

    A directory that is gone by now was emptied and removed by somebody else, whose own sync covers that.
    """
    paths = list(changed)
    if not paths:
        return
    if ordered:
        _sync_nearest(paths[-1])
        return
    above = {path for change in paths for path in _up_to(change, root)}
    for path in sorted(above, key=len, reverse=True):
        with suppress(FileNotFoundError):
            sync_directory(path)


def _sync_nearest(path: str) -> None:
    """Sync a directory, or what is left above it: it may go at any moment."""
    while True:
        try:
            sync_directory(path)
        except FileNotFoundError:
            path = os.path.dirname(path)
        else:
            return


def _up_to(path: str, root: str) -> list[str]:
    paths = [path]
    while path != root and len(path) > len(root):
        path = os.path.dirname(path)
        paths.append(path)
    return paths
