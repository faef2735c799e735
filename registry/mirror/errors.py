"""Every way in which a registry elsewhere, or what is needed to reach it, fails. Foreign exceptions end at this border.

What is simply not there has the domain's words: `ManifestUnknown`, `BlobUnknown`, `NameUnknown`; bytes that are not
what they were called are `ContentCorrupt` or `DigestInvalid`.

MirrorError
├── UpstreamUnavailable     it cannot do it now: no connection, silence, 5xx; the caller may try again
│   └── RateLimited         it has had too many requests from us (429)
├── UpstreamDenied          it wants a login, or other rights than we have
├── UpstreamRefused         it does not do what was asked, and will not if asked again
├── UpstreamMisbehaved      its answer breaks the protocol, or is larger than we read
└── CredentialsInvalid      the credentials for it cannot be read
"""


class MirrorError(Exception):
    """Base of all errors of registries elsewhere."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UpstreamUnavailable(MirrorError):
    """The registry cannot do it now; `retry_after` is in seconds, None if it did not say."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(UpstreamUnavailable):
    """The registry has had too many requests from us."""


class UpstreamDenied(MirrorError):
    """The registry wants a login, or other rights."""


class UpstreamRefused(MirrorError):
    """The registry does not do it; `code` is its word for why (distribution-spec, "Error Codes"), or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class UpstreamMisbehaved(MirrorError):
    """The registry's answer breaks the protocol, or is larger than we read."""


class CredentialsInvalid(MirrorError):
    """The credentials cannot be read: a file, a helper or a command failed."""
