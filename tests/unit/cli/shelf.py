"""A small registry to look around in: images, an index, an artifact that refers to one of them."""

import asyncio
from pathlib import Path

from registry.content import keyspace
from registry.content.repository import Registry, Rules
from storage_backends.filesystem import FilesystemBackend
from tests.images import artifact, image, index, random_image, random_layer
from tests.unit.browse.pushing import push

BASE = random_layer(1000, 1)
ONE = image(
    [BASE, random_layer(2000, 2)],
    docker=True,
    command=["serve"],
    run={"Labels": {"stage": "prod", "evil": "\x1b[2J\ud800"}, "Entrypoint": ["/app"]},
    created="2024-06-01T00:00:00Z",
    history=[
        {"created": "2024-05-01T00:00:00Z", "created_by": "ADD\tbase " + "x" * 60},
        {"created": "2024-05-02T00:00:00Z", "created_by": "ENV\x1b[2J a=b", "empty_layer": True, "comment": "c"},
        {"created": "2024-06-01T00:00:00Z", "created_by": "ADD app"},
    ],
)
AMD, ARM = random_image(3), random_image(4, architecture="arm64")
BOTH = index([ARM, AMD])
SBOM = artifact(b"12345", "application/sbom", subject=ONE.manifest)
SIZE = sum(len(layer.data) for layer in ONE.layers)


def fill(root: Path) -> None:
    """team/app with 1 = latest, both (an index) and an SBOM of 1; lib/base with an image of the same base layer."""

    async def pushed() -> None:
        registry = Registry(FilesystemBackend(root, scratch=keyspace.SCRATCH), Rules())
        await push(registry, "team/app", ONE, "1", "latest")
        await push(registry, "team/app", BOTH, "both")
        await push(registry, "team/app", SBOM)
        await push(registry, "lib/base", image([BASE], created=""), "1")

    asyncio.run(pushed())


def prefix(at: tuple[str, ...]) -> str:
    """What stands in front of a repository in what is printed there."""
    return f"{at[1]}/" if at[0] == "--url" else ""


def short(text: str) -> str:
    """An id as it is printed."""
    return text.removeprefix("sha256:")[:12]
