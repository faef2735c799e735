"""A request as the handlers see it, and what they answer. Knows ASGI; holds no rule of the registry."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from auth.guard import Caller
from auth.identity import ANONYMOUS
from auth.policy import Policy
from registry.api.router import Route
from registry.content.names import RepositoryName
from storage_backends.sendable import Sendable

Headers = list[tuple[bytes, bytes]]
_NOBODY = Caller(ANONYMOUS, Policy(()))


class Request:
    """One request; what costs something to parse is parsed when asked for."""

    def __init__(self, scope: Scope, receive: Receive, route: Route) -> None:
        self.scope = scope
        self.receive = receive
        self.route = route
        self.method: str = scope["method"]
        self.caller = _NOBODY
        """Who sends it; nobody, who may do nothing, until the gate has found out."""
        self.claimed = ""
        """The name that came with a credential which was refused."""
        self.namespace = ""
        """The registry of which the client means the repository, if it has named one that is mirrored here."""

    @property
    def is_identified(self) -> bool:
        """True if the gate has found out who sends it."""
        return self.caller is not _NOBODY

    def renamed(self, name: str, namespace: str = "") -> "Request":
        """The same request of another repository, which the client knows as one of `namespace`."""
        other = Request(self.scope, self.receive, replace(self.route, name=name))
        other.namespace = namespace
        return other

    @cached_property
    def headers(self) -> dict[bytes, bytes]:
        """Header fields by lower-case name; the last one of a name counts."""
        return dict(self.scope["headers"])

    def header(self, name: bytes) -> str | None:
        """One header field as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def repeats(self, name: bytes) -> bool:
        """True if a header field came more than once. Costs next to nothing where none did."""
        fields = self.scope["headers"]
        return len(self.headers) < len(fields) and sum(name == other for other, _ in fields) > 1

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """Query parameters in order."""
        text: bytes = self.scope["query_string"]
        return parse_qsl(text.decode("latin-1"), keep_blank_values=True) if text else []

    def parameter(self, name: str) -> str | None:
        """The first query parameter of a name."""
        return next((value for key, value in self.query if key == name), None)

    def parameters(self, name: str) -> list[str]:
        """All query parameters of a name."""
        return [value for key, value in self.query if key == name]

    @cached_property
    def name(self) -> RepositoryName:
        """The repository. Raises `NameInvalid`."""
        return RepositoryName.parse(self.route.name)


@dataclass(slots=True)
class Answer:
    """A response: bytes, or something that storage hands out for sending. `Content-Length` is added where it is sent.

    `length` overrides the body's own length, for the answer to a HEAD.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | Sendable = b""
    length: int | None = None


def header(name: str, value: object) -> tuple[bytes, bytes]:
    """A header field to send."""
    return name.encode("latin-1"), str(value).encode("latin-1", "replace")


def warning(text: str) -> tuple[bytes, bytes]:
    """What clients show to people beside a success. Source: distribution-spec, "Warnings"."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return header("warning", f'299 - "{quoted}"')


def with_headers(answer: Answer, fields: Iterable[tuple[bytes, bytes]]) -> Answer:
    """The answer with more header fields."""
    answer.headers.extend(fields)
    return answer
