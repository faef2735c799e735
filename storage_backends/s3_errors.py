"""S3's errors in the contract's words, and a line in the log that says which call on which key failed.

Three kinds: what a call can expect (not there, changed meanwhile), what passes by itself (throttling, timeouts, a
broken connection) and what the operator has to mend (credentials, rights, the bucket, the clock).
"""

import logging

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from urllib3.exceptions import HTTPError

from storage_backends.errors import Misconfigured, NotFound, StorageError, StorageFull, Unavailable, VersionMismatch

_log = logging.getLogger(__name__)
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchUpload"})
_CHANGED = frozenset({"PreconditionFailed", "412"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "507"})
_THROTTLED = frozenset(
    {"SlowDown", "503", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)
_REMEDIES = {
    "NoSuchBucket": "the bucket is not there: create it, or correct storage.s3.bucket",
    "AccessDenied": "these credentials may not do that: see docs/scaling.md for the rights that are needed",
    "AllAccessDisabled": "the bucket's account is closed",
    "InvalidAccessKeyId": "the access key is unknown: correct it",
    "SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes the request's Host or path",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it (chronyd, systemd-timesyncd)",
    "AuthorizationHeaderMalformed": "the region is wrong: correct storage.s3.region",
    "PermanentRedirect": "the bucket is in another region: correct storage.s3.region or storage.s3.endpoint",
    "IllegalLocationConstraintException": "the region is wrong: correct storage.s3.region",
    "InvalidBucketName": "correct storage.s3.bucket",
    "InvalidObjectState": "the object lies in an archive: restore it, and let no lifecycle rule move others there",
    "NotImplemented": "this server lacks something that the registry needs",
    "KMS.NotFoundException": "the key is not there: correct storage.s3.kms_key_id",
    "KMS.DisabledException": "the encryption key is disabled",
    "403": "these credentials may not do that: see docs/scaling.md for the rights that are needed",
    "301": "the bucket is in another region: correct storage.s3.region or storage.s3.endpoint",
}


def code_of(error: Exception) -> str:
    """S3's own word for an error; empty if it did not come from the server."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def translate(error: Exception, operation: str, key: str) -> StorageError:
    """The error of a call on a key. What is not expected goes to the log."""
    code = code_of(error)
    if code in _ABSENT:
        return NotFound(key)
    if code in _CHANGED:
        return VersionMismatch(key)
    _log.warning("S3 %s of %r failed: %s%s", operation, key, error, _request_id(error))
    if code in _REMEDIES:
        return Misconfigured(f"the storage refuses {operation}: {code}; {_REMEDIES[code]}")
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Misconfigured(
            f"the storage's certificate is not trusted ({error}): name its authority in storage.s3.ca_file"
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | ProfileNotFound):
        return Misconfigured(f"the storage cannot be used: {error}; see docs/scaling.md for where keys are looked for")
    return _passing(code or type(error).__name__, operation)


def _passing(code: str, operation: str) -> Unavailable:
    if code in _FULL:
        return StorageFull("no room is left on the storage; free some, or raise its quota")
    if code in _THROTTLED:
        return Unavailable("the storage asks to slow down; try again later", retry_after=10)
    return Unavailable(f"the storage does not answer {operation} as it should ({code}); try again")


def is_storage_failure(error: Exception) -> bool:
    """True for what boto3 raises when a call did not work, or an answer broke off."""
    return isinstance(error, ClientError | BotoCoreError | HTTPError)


def _request_id(error: Exception) -> str:
    if not isinstance(error, ClientError):
        return ""
    metadata = error.response.get("ResponseMetadata", {})
    return f" (request {metadata.get('RequestId', 'unknown')}, after {metadata.get('RetryAttempts', 0)} retries)"
