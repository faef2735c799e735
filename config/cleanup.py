"""Settings of cleaning up: what goes by itself, when, and how hard the machine may work for it."""

from typing import Annotated, Literal

from pydantic import Field

from config.fields import AnySeconds, ByteCount, LongSeconds, Section


class CleanupSettings(Section):
    """Garbage collection and scrubbing."""

    interval_seconds: AnySeconds = 86400
    grace_seconds: AnySeconds = 3600
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    tag_history: Annotated[int, Field(ge=0)] = 100
    dangling_referrers: Literal["keep", "remove"] = "keep"
    lease_seconds: Annotated[LongSeconds, Field(ge=1)] = 300
    scrub_interval_seconds: AnySeconds = 0
    scrub_bytes_per_second: ByteCount = 50 * 1024 * 1024
