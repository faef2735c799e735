"""Every way in which the domain says no. `api.errors` turns each class into the spec's code, a status and a remedy.

ContentError
├── NameInvalid             the repository name is outside the grammar
├── TagInvalid              the tag is outside the grammar
├── NameUnknown             no such repository
├── DigestInvalid           malformed, of an algorithm we do not have, or not the digest of the bytes
├── SizeInvalid             the body is longer or shorter than was announced
│   └── BlobTooLarge        the blob is larger than the setting allows
├── BlobUnknown             no such blob in this repository
├── UploadUnknown           no such upload session in this repository
├── UploadInvalid           the request does not fit the session
│   ├── UploadConflict      another request is writing to the session
│   └── RangeOutOfOrder     the chunk does not begin where the session ends
├── UploadInterrupted       the client went away or fell silent in the middle of a body
├── ManifestUnknown         no such tag or manifest in this repository
├── TagImmutable            the tag is there, and the rules say that it stays what it is
├── TagChanged              the tag, or manifest, is not what whoever changes it has seen
├── ManifestInvalid         the manifest is not one
│   └── ManifestTooLarge    the manifest is larger than the setting allows
├── ReferencesUnknown       the manifest needs blobs or manifests that the repository does not have
├── ContentCorrupt          the bytes at rest are not those that were acknowledged
├── PlaceUnavailable        a place that we fetch from does not answer, or not properly, now
│   ├── PlaceRateLimited    it has had too many requests from us for now
│   └── PlaceCorrupt        it sends other bytes than their digest says
├── PlaceRefused            a place that we fetch from does not let us
├── MirrorReadOnly          the repository mirrors one elsewhere: it is pushed to there
└── NotMirrored             the settings do not let this be fetched
"""

from collections.abc import Sequence


class ContentError(Exception):
    """Base of all errors of the domain; `detail` goes into the answer as it is."""

    def __init__(self, message: str, detail: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class NameInvalid(ContentError):
    """The repository name is outside the grammar."""


class TagInvalid(ContentError):
    """The tag is outside the grammar."""


class NameUnknown(ContentError):
    """No such repository."""


class DigestInvalid(ContentError):
    """The digest is malformed, of an unknown algorithm, or not that of the bytes."""


class SizeInvalid(ContentError):
    """The body is longer or shorter than was announced."""


class BlobTooLarge(SizeInvalid):
    """The blob is larger than the setting allows."""


class BlobUnknown(ContentError):
    """No such blob in this repository."""


class UploadUnknown(ContentError):
    """No such upload session in this repository."""


class UploadInvalid(ContentError):
    """The request does not fit the upload session."""


class UploadConflict(UploadInvalid):
    """Another request is writing to the session."""


class RangeOutOfOrder(UploadInvalid):
    """The chunk does not begin where the session ends; `offset` is where it ends, in bytes."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message, {"offset": offset})
        self.offset = offset


class UploadInterrupted(ContentError):
    """The client went away or fell silent in the middle of a body."""


class ManifestUnknown(ContentError):
    """No such tag or manifest in this repository."""


class TagImmutable(ContentError):
    """The tag is there, and the rules say that it stays what it is."""


class TagChanged(ContentError):
    """The tag, or the manifest of a digest, is not what whoever wants to change it has seen."""


class ManifestInvalid(ContentError):
    """The manifest is not one."""


class ManifestTooLarge(ManifestInvalid):
    """The manifest is larger than the setting allows."""


class ReferencesUnknown(ContentError):
    """The manifest needs content that the repository does not have; `missing` names each digest, or a thousand."""

    def __init__(self, missing: Sequence[str]) -> None:
        more = " and more" if len(missing) > 10 else ""
        super().__init__(f"the manifest needs content that is not in this repository: {', '.join(missing[:10])}{more}")
        self.missing = tuple(missing)


class ContentCorrupt(ContentError):
    """The bytes at rest are not those that were acknowledged."""


class PlaceUnavailable(ContentError):
    """A place that we fetch from does not answer, or not properly; `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PlaceRateLimited(PlaceUnavailable):
    """A place that we fetch from has had too many requests from us."""


class PlaceCorrupt(PlaceUnavailable):
    """A place that we fetch from sends other bytes than their digest says; nothing of them is kept."""


class PlaceMisbehaved(PlaceUnavailable):
    """A place that we fetch from answers what was asked, and not as it should; what else it is asked may do well."""


class PlaceRefused(ContentError):
    """A place that we fetch from does not let us: credentials are missing or wrong."""


class MirrorReadOnly(ContentError):
    """The repository mirrors one elsewhere, and nothing else can be put into it."""


class NotMirrored(ContentError):
    """The settings do not let this be fetched: its name, its platform or its size."""
