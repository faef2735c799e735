"""Registries that are large in numbers, written straight to disk as Docker's distribution lays them out."""

import hashlib
from pathlib import Path

_DIGEST = hashlib.sha256(b"{}").hexdigest()
_LINK = f"sha256:{_DIGEST}"


def many_tags(root: Path, repository: str, count: int) -> list[str]:
    """A repository with `count` tags of one manifest; returns their names in order."""
    manifests = root / "docker/registry/v2/repositories" / repository / "_manifests"
    _manifest(root, manifests)
    names = [f"v{number:06d}" for number in range(count)]
    for name in names:
        _write(manifests / f"tags/{name}/current/link", _LINK)
    return names


def many_repositories(root: Path, count: int, *, nested: bool) -> list[str]:
    """`count` repositories with a manifest each, side by side or in namespaces of 100; returns their names in order."""
    top = root / "docker/registry/v2/repositories"
    names = [
        f"team-{number // 100:04d}/app-{number % 100:02d}" if nested else f"repository-{number:06d}"
        for number in range(count)
    ]
    for name in names:
        (top / name / "_manifests/revisions").mkdir(parents=True)
    return names


def _manifest(root: Path, manifests: Path) -> None:
    _write(root / f"docker/registry/v2/blobs/sha256/{_DIGEST[:2]}/{_DIGEST}/data", "{}")
    _write(manifests / f"revisions/sha256/{_DIGEST}/link", _LINK)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
