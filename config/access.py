"""Settings of access: who may do what. The server reads this section again when its file changes."""

from typing import Annotated, Literal

from pydantic import Field

from config.fields import Section, Words


class RuleSettings(Section):
    """One rule; the words are checked where rules are made of them."""

    who: Annotated[Words, Field(min_length=1)]
    repositories: Annotated[Words, Field(min_length=1)]
    actions: Annotated[Words, Field(min_length=1)]
    effect: Literal["allow", "deny"] = "allow"


class ImmutableTagsSettings(Section):
    """Tags that stay what they are."""

    repositories: Words = ("**",)
    tags: Annotated[Words, Field(min_length=1)]


class AccessSettings(Section):
    """Who may do what."""

    allow_anonymous_writes: bool = False
    read_only: bool = False
    groups: dict[str, Words] = Field(default_factory=dict)
    rules: Annotated[tuple[RuleSettings, ...] | None, Field(strict=False)] = None
    immutable_tags: Annotated[tuple[ImmutableTagsSettings, ...], Field(strict=False)] = ()
