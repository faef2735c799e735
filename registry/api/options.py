"""What the HTTP side may be told by the operator. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from registry.api.locations import Locations
from registry.api.mirror_names import MirrorNames
from registry.api.redirects import Redirects


class GarbageCollector(Protocol):
    """Garbage collection, for whoever administers the registry."""

    async def begin(self) -> Mapping[str, object]:
        """Ask for a collection; what `status` says then. Raises `CollectorBusy`."""
        ...

    async def status(self) -> Mapping[str, object]:
        """How far it is, and what came of the last one."""
        ...


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Settings of the HTTP side; `max_uploads` is per process, page sizes are in entries.

    Without `redirects` all blobs come through this server; without a `collector` there is nothing to administer.
    """

    locations: Locations
    allow_delete: bool
    max_uploads: int
    default_page_size: int
    max_page_size: int
    redirects: Redirects | None = None
    names: MirrorNames = field(default_factory=MirrorNames)
    collector: GarbageCollector | None = None
