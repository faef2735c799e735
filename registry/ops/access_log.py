"""One line for each request, written when it is over.

Says who asked for what, what came of it, and how long it took. Must not say secrets: headers are not logged but for the
user agent, and of the query only parameters that are known to be harmless. Nothing a client sends can end a line or
forge a field.
"""

import time
from json.encoder import encode_basestring_ascii

from starlette.types import Scope

from registry.ops.line_writer import LineWriter
from registry.ops.requests import Request

# the registry's own parameters
_HARMLESS = frozenset(b"digest digest-algorithm mount from n last tag artifactType ns service scope".split())
_MAX_TARGET = 512
_MAX_AGENT = 200


class AccessLog:
    """Writes `lines`, as JSON objects or as text for people."""

    def __init__(self, lines: LineWriter, *, json_lines: bool) -> None:
        self._lines = lines
        self._format = _as_json if json_lines else _as_text
        self._second = 0
        self._stamp = ""

    def tell(self, request: Request) -> None:
        """See `Witness`."""
        self._lines.write(self._format(self._time(), request))

    def close(self) -> None:
        """See `Witness`."""
        self._lines.close()

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"


def _target(scope: Scope) -> str:
    """Path and query as they came, percent-encoded; values that may be secret are left out."""
    raw: bytes | None = scope.get("raw_path")
    path = (raw if raw is not None else scope["path"].encode())[: _MAX_TARGET + 1]
    query: bytes = scope["query_string"]
    text = _shortened(path, _MAX_TARGET)
    return f"{text}?{_shortened(_without_secrets(query), _MAX_TARGET)}" if query else text


def _without_secrets(query: bytes) -> bytes:
    kept = []
    for parameter in query.split(b"&"):
        name, equals, value = parameter.partition(b"=")
        if not equals:
            kept.append(b"***" if name else b"")
        else:
            kept.append(name + (b"=***" if value and name not in _HARMLESS else equals + value))
    return b"&".join(kept)


def _shortened(text: bytes, limit: int) -> str:
    return (text if len(text) <= limit else text[:limit] + b"...").decode("latin-1")


def _as_json(stamp: str, request: Request) -> bytes:
    escape = encode_basestring_ascii
    aborted = ',"aborted":true' if request.aborted else ""
    user = f',"user":{escape(request.user)}' if request.user else ""
    return (
        f'{{"time":"{stamp}","level":"info","message":"request","id":"{request.id.decode()}",'
        f'"client":{escape(request.client)}{user},"method":{escape(request.scope["method"])},'
        f'"target":{escape(_target(request.scope))},"status":{request.status},"sent":{request.sent},'
        f'"received":{request.received_bytes},"ms":{request.seconds * 1000:.2f},'
        f'"agent":{escape(_shortened(request.agent, _MAX_AGENT))}{aborted}}}\n'
    ).encode()


def _as_text(stamp: str, request: Request) -> bytes:
    # quotes, backslashes, control characters and everything beyond ASCII come out escaped
    agent = encode_basestring_ascii(_shortened(request.agent, _MAX_AGENT))
    target = encode_basestring_ascii(_target(request.scope))[1:-1]
    user = f" user={encode_basestring_ascii(request.user)[1:-1]}" if request.user else ""
    return (
        f"{stamp} {request.client}{user} {request.scope['method']} {target} {request.status}"
        f"{' aborted' if request.aborted else ''} sent={request.sent} received={request.received_bytes}"
        f" {request.seconds * 1000:.1f}ms {agent} id={request.id.decode()}\n"
    ).encode()
