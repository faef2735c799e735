"""Every way in which a login or a token is refused. Messages may be shown to anyone: none says which part was wrong.

AuthError
├── Unauthenticated         no valid credential came; `reason` is OAuth's word for a token that is not accepted
├── Throttled               too many failed attempts; try again after `retry_after` seconds
├── IdentityUnavailable     the directory, issuer or store that knows the answer cannot be asked now
├── ScopeInvalid            a scope is outside the grammar
├── RequestInvalid          the request for a token is not one
└── AccountInvalid          a user, token or password cannot be what somebody asks it to be
"""


class AuthError(Exception):
    """Base of all errors of this package. `claimed` is the name that came with what was refused, for the audit log."""

    claimed = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unauthenticated(AuthError):
    """No valid credential came. `reason` is empty or RFC 6750's error: `invalid_token`, `insufficient_scope`."""

    def __init__(self, message: str, reason: str = "", claimed: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.claimed = claimed


class Throttled(AuthError):
    """Too many failed attempts from one address or on one account; `retry_after` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many failed logins; try again in {retry_after} seconds")
        self.retry_after = retry_after


class IdentityUnavailable(AuthError):
    """Whoever knows the answer cannot be asked now: a directory, an issuer. The message is for the log."""

    retry_after = 5


class ScopeInvalid(AuthError):
    """A scope is outside the grammar."""


class RequestInvalid(AuthError):
    """The request for a token lacks something, or asks for what there is not."""


class AccountInvalid(AuthError):
    """A user, token or password cannot be what somebody asks it to be; the message says why and what to do."""
