"""The URLs that answers point to, right for the client even behind a reverse proxy. Pure but for the request's headers.

`X-Forwarded-Proto`, `-Host`, `-Prefix` and `Forwarded` (RFC 7239) count only if the peer is a trusted proxy: anyone
else could send other clients elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from registry.proxies import Proxies

_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_PAIR = re.compile(r'(proto|host)\s*=\s*"?([^";,]+)"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Locations:
    """How to write locations: relative to the host, or whole; `external_url` (no slash at its end) if it is fixed."""

    relative: bool
    external_url: str
    proxies: Proxies

    def base(self, scope: Scope) -> str:
        """What goes before `/v2/…` in the answer to this request: empty, a path, or a whole origin with a path."""
        if self.external_url:
            return self.external_url
        if self.relative and not self.proxies.trusted:
            return ""
        return self._prefix(scope) if self.relative else self.origin(scope)

    def origin(self, scope: Scope) -> str:
        """Scheme, host and path under which the client reaches us, as far as we are told."""
        if self.external_url:
            return self.external_url
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        scheme, host = _forwarded(headers) if self.proxies.trusts(scope) else ("", "")
        host = host or _valid(headers.get(b"host", b"").decode("latin-1"), _HOST)
        prefix = self._prefix(scope)
        return f"{scheme or scope['scheme']}://{host}{prefix}" if host else prefix

    def _prefix(self, scope: Scope) -> str:
        if not self.proxies.trusts(scope):
            return ""
        return _last(dict(scope["headers"]), b"x-forwarded-prefix", _PATH).rstrip("/")


def _valid(text: str, grammar: re.Pattern[str]) -> str:
    return text if grammar.fullmatch(text) else ""


def _last(headers: Mapping[bytes, bytes], name: bytes, grammar: re.Pattern[str]) -> str:
    """The value that the nearest proxy has put into a list-valued field."""
    return _valid(headers.get(name, b"").decode("latin-1").rpartition(",")[2].strip().rstrip("/"), grammar)


def _forwarded(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    standard = headers.get(b"forwarded")
    # a proxy that sets the older fields hands on what its client wrote into the standard one
    if standard is not None and b"x-forwarded-proto" not in headers and b"x-forwarded-host" not in headers:
        pairs = {key.lower(): value for key, value in _PAIR.findall(standard.decode("latin-1").rpartition(",")[2])}
        return _scheme(pairs.get("proto", "")), _valid(pairs.get("host", ""), _HOST)
    scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").rpartition(",")[2].strip()
    return _scheme(scheme), _last(headers, b"x-forwarded-host", _HOST)


def _scheme(text: str) -> str:
    return text.lower() if text.lower() in ("http", "https") else ""
