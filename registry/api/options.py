"""What the HTTP side may be told by the operator. Values only."""

from dataclasses import dataclass, field

from registry.api.locations import Locations
from registry.api.mirror_names import MirrorNames
from registry.api.redirects import Redirects


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Settings of the HTTP side; `max_uploads` is per process, page sizes are in entries.

    Without `redirects` all blobs come through this server.
    """

    locations: Locations
    allow_delete: bool
    max_uploads: int
    default_page_size: int
    max_page_size: int
    redirects: Redirects | None = None
    names: MirrorNames = field(default_factory=MirrorNames)
