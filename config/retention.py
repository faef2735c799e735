"""Settings of retention: which tags stay in which repositories. The words are checked where rules are made of them."""

from typing import Annotated, Literal

from pydantic import Field

from config.fields import AnySeconds, LongSeconds, Section, Words


class KeepSettings(Section):
    """What stays: all that is said here has to fit."""

    tags: Words = ()
    newest: Annotated[int, Field(ge=1)] | None = None
    order: Literal["pushed", "semver"] = "pushed"
    pulled_within: LongSeconds | None = None
    pushed_within: LongSeconds | None = None
    labels: Words = ()
    signed: bool = False


class ExpireSettings(Section):
    """Tags that go when some time is over."""

    tags: Annotated[Words, Field(min_length=1)]
    after: LongSeconds


class RetentionPolicySettings(Section):
    """What stays in some repositories."""

    name: Annotated[str, Field(min_length=1)]
    repositories: Annotated[Words, Field(min_length=1)]
    enabled: bool = False
    keep: Annotated[tuple[KeepSettings, ...], Field(strict=False)] = ()
    expire: Annotated[tuple[ExpireSettings, ...], Field(strict=False)] = ()
    untagged_after: LongSeconds | None = None


class RetentionSettings(Section):
    """Policies, the first of which that takes a repository decides on it; and how often they are carried out."""

    interval_seconds: AnySeconds = 86400
    policies: Annotated[tuple[RetentionPolicySettings, ...], Field(strict=False)] = ()
