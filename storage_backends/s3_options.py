"""How a bucket is reached and written to: plain values. Knows nothing of boto3."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys given in so many words; `token` for temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PartSizes:
    """How large objects are cut, in bytes and counts; the bounds are S3's: parts of 5 MiB to 5 GiB, 10,000 of them.

    A blob is sent in parts of `part`. An object has at most `direct_parts` of these; what follows is gathered in
    objects of `segment` bytes beside it, each of which becomes one part of it by a copy inside the bucket. So an object
    can have terabytes while memory holds parts of `part`. Of an upload in small chunks so many `pieces` become one.
    """

    part: int = 8 * MIB
    segment: int = 4 * GIB
    direct_parts: int = 9_000
    copy_part: int = 512 * MIB
    pieces: int = 500
    in_flight: int = 6


@dataclass(frozen=True, slots=True)
class S3Options:
    """A bucket, or the part of it below `prefix` (empty, or ending in `/`). Times in seconds."""

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint: str | None = None
    public_endpoint: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca_file: str | None = None
    credentials: Credentials | None = None
    profile: str | None = None
    write_arguments: Mapping[str, str] = field(default_factory=dict)
    """What goes with each new object: storage class, encryption; in the words of boto3."""
    checksums: Literal["when_supported", "when_required"] = "when_supported"
    concurrency: int = 32
    attempts: int = 5
    connect_timeout: float = 5
    read_timeout: float = 30
    link_lifetime: int = 1200
    single_writer: bool = False
    conditional_delete: bool = True
    sizes: PartSizes = PartSizes()
