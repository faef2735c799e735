"""A directory as a backend whose scratch does not show in its listings, so that it can be held against a dictionary."""

from pathlib import Path

from storage_backends.filesystem import FilesystemBackend


class _WithoutScratch(FilesystemBackend):
    """Listings without the backend's own scratch, which lies among the objects."""

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000):  # type: ignore[no-untyped-def]
        return await super().list(prefix, after=max(after, "$scratch0"), limit=limit)

    async def children(self, prefix: str, *, after: str = "", limit: int = 1000):  # type: ignore[no-untyped-def]
        return await super().children(prefix, after=max(after, "" if prefix else "$scratch0"), limit=limit)


def open_directory(root: Path) -> FilesystemBackend:
    """The backend over `root`."""
    return _WithoutScratch(root, scratch="$scratch")
