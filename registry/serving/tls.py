"""TLS as the server speaks it: version 1.2 and newer, forward secrecy, authenticated ciphers. Knows files only."""

import ssl

from registry.serving.options import TLS

# of TLS 1.2; those of 1.3 are all good
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TLSUnusable(Exception):
    """The files do not make a server's identity; the message says why."""


def server_context(tls: TLS) -> ssl.SSLContext:
    """A context from the files that are there now. Raises `TLSUnusable`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    load_identity(context, tls)
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise TLSUnusable(f"the client CA {tls.client_ca} cannot be used: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_identity(context: ssl.SSLContext, tls: TLS) -> None:
    """Take certificate and key from the files; what `context` had is kept if they are no pair. Raises `TLSUnusable`."""
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        for one in (trial, context):
            one.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = _reason(error)
        raise TLSUnusable(f"certificate {tls.certificate} and key {tls.key} cannot be used: {reason}") from error


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password, readable by the server only")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
