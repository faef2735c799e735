"""Settings of cleaning up: what goes by itself, when, and how hard the machine may work for it."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from config.fields import ByteCount, LongSeconds, Section, duration

_AnySeconds = Annotated[float, BeforeValidator(duration), Field(ge=0, le=3650 * 86400)]


class CleanupSettings(Section):
    """Garbage collection and scrubbing."""

    interval_seconds: _AnySeconds = 86400
    grace_seconds: _AnySeconds = 3600
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    tag_history: Annotated[int, Field(ge=0)] = 100
    lease_seconds: Annotated[LongSeconds, Field(ge=1)] = 300
    scrub_interval_seconds: _AnySeconds = 0
    scrub_bytes_per_second: ByteCount = 50 * 1024 * 1024
