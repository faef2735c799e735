"""A Cargohold that mirrors others, for tests: its settings as a file, and what it has fetched."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.live_server import LiveServer, live_server


@contextmanager
def mirror_server(
    directory: Path, sources: Sequence[Mapping[str, Any]], *, arguments: Sequence[str] = (), **settings: Any
) -> Iterator[LiveServer]:
    """A server that mirrors `sources`; further settings by section: `mirror={"tag_ttl_seconds": 0}`."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "cargohold.yml"
    mirror = {"attempts": 3, "signatures": False, **settings.pop("mirror", {}), "sources": list(sources)}
    file.write_text(yaml.safe_dump({**settings, "mirror": mirror}))
    with live_server(directory, arguments=["--config", str(file), *arguments]) as server:
        yield server


def partial_files(server: LiveServer) -> list[Path]:
    """Uploads and temporary files that lie in a server's storage."""
    own = server.root / "cargohold/v1"
    return [
        path
        for part in ("uploads", "tmp")
        for path in (own / part).rglob("*")
        if path.is_file() and "locks" not in path.parts
    ]
