"""What can go wrong between a client and an S3 server. Values only; `proxy` acts on them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """The server answers with an error, without doing anything."""

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is taken, and nothing comes back until `over` is set or the client goes away."""

    over: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class CutRequest:
    """The connection breaks after so many bytes of the request's body."""

    after: int


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The connection breaks after so many bytes of the answer's body."""

    after: int


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The server does what is asked, and the connection breaks before the answer."""


@dataclass(frozen=True, slots=True)
class Before:
    """Something else happens before the request reaches the server."""

    call: Callable[[], None]


Fault = Answer | Hang | CutRequest | CutAnswer | LostAnswer | Before


@dataclass(slots=True)
class Rule:
    """A fault for requests of one operation whose key has `part` in it: the first `times` of them."""

    operation: str
    fault: Fault
    times: int
    part: str = ""
