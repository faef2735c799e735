"""Everything a storage backend may raise. Callers match on these types, never on messages.

StorageError
├── NotFound            the key, prefix or upload is not there
├── AlreadyExists       `if_absent` was asked for and the key is there
├── VersionMismatch     `if_match` was asked for and another version is there
├── InvalidKey          the key does not fit the key grammar (see `keys`)
├── UploadBusy          another writer, here or in another process, holds the upload
├── Misconfigured       the storage refuses for good: trying again does not help until its operator has acted
└── Unavailable         the storage cannot do it now; nothing is half-done and the caller may try again
    └── StorageFull     no space, no inodes or no quota left
"""


class StorageError(Exception):
    """Base of all errors of a storage backend."""


class NotFound(StorageError):
    """Nothing lies under that key."""


class AlreadyExists(StorageError):
    """The key is taken already."""


class VersionMismatch(StorageError):
    """The object changed since the version that the caller named."""


class InvalidKey(StorageError):
    """The key is not one that a backend may store under."""


class UploadBusy(StorageError):
    """Another writer holds this upload."""


class Misconfigured(StorageError):
    """The storage refuses what is asked of it: credentials, rights, a bucket that is not there, a wrong clock."""


class Unavailable(StorageError):
    """The storage could not carry out the call; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StorageFull(Unavailable):
    """No room is left on the storage."""
