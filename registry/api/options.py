"""What the HTTP side may be told by the operator. Values only."""

from dataclasses import dataclass

from registry.api.locations import Locations


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Settings of the HTTP side; `max_uploads` is per process, page sizes are in entries."""

    locations: Locations
    allow_delete: bool
    max_uploads: int
    default_page_size: int
    max_page_size: int
