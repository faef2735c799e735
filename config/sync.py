"""Settings of synchronisation: which images of which place to bring to which other one, and how often."""

from typing import Annotated

from pydantic import Field

from config.fields import AnySeconds, Section, Words


class CopySettings(Section):
    """Images to bring from one place to another. The words are checked where they are used."""

    source: Annotated[str, Field(min_length=1)]
    target: str = ""
    repositories: Annotated[Words, Field(min_length=1)] = ("**",)
    exclude_repositories: Words = ()
    tags: Words = ()
    exclude_tags: Words = ()
    semver: str = ""
    newest: Annotated[int, Field(ge=0)] = 0
    platforms: Words = ()
    referrers: bool = True


class SyncSettings(Section):
    """Synchronisation; `interval_seconds` 0 leaves it to the command."""

    interval_seconds: AnySeconds = 0
    jobs: Annotated[int, Field(ge=1, le=64)] = 4
    copies: Annotated[tuple[CopySettings, ...], Field(strict=False)] = ()
