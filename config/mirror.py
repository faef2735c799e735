"""Settings of repositories that mirror others: which, how fresh they are kept, and how much of them is."""

from typing import Annotated

from pydantic import AfterValidator, Field

from config.fields import AnySeconds, ByteCount, LongSeconds, Seconds, Section, Words


def _prefix(text: str) -> str:
    if not text or text.startswith("/") or text.endswith("/"):
        raise ValueError("write the beginning of repository names, without a slash at its end: hub, or mirror/quay.io")
    return text


class MirrorSourceSettings(Section):
    """One beginning of names, and what the repositories below it mirror."""

    prefix: Annotated[str, AfterValidator(_prefix)]
    upstream: Annotated[str, Field(min_length=1, max_length=255)]
    namespace: str = ""
    ns: Words = ()
    allow: Words = ()
    deny: Words = ()
    offline: bool = False


class MirrorSettings(Section):
    """Pull-through: repositories whose content comes from elsewhere when it is asked for."""

    sources: Annotated[tuple[MirrorSourceSettings, ...], Field(strict=False)] = ()
    default: str = ""
    tag_ttl_seconds: AnySeconds = 300
    unknown_ttl_seconds: AnySeconds = 30
    patience_seconds: Seconds = 5
    rest_seconds: Seconds = 10
    attempts: Annotated[int, Field(ge=1, le=20)] = 6
    platforms: Words = ()
    signatures: bool = True
    max_blob_bytes: ByteCount = 0
    max_downloads: Annotated[int, Field(ge=1)] = 16
    keep_seconds: AnySeconds = 0
    max_bytes: ByteCount = 0
    eviction_interval_seconds: LongSeconds = 3600

    @property
    def online(self) -> tuple[MirrorSourceSettings, ...]:
        """The sources that are asked. What lies below the others was brought or pushed, and nobody fetches it again."""
        return tuple(source for source in self.sources if not source.offline)

    def source_of(self, repository: str) -> MirrorSourceSettings | None:
        """The source that a repository lies below; of several that with the longest prefix."""
        around = [source for source in self.sources if repository.startswith(f"{source.prefix}/")]
        return max(around, key=lambda source: len(source.prefix), default=None)

    @property
    def evicts(self) -> bool:
        """True if what was fetched goes by itself."""
        return bool(self.online and (self.keep_seconds or self.max_bytes))
