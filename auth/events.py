"""What happened that somebody may have to answer for. Data only; who writes it down is told by `Emit`."""

from collections.abc import Callable
from typing import NamedTuple

from auth.identity import ANONYMOUS, Identity


class AuditEvent(NamedTuple):
    """One deed. A tuple, for every pull makes one.

    `action` is `login`, `refresh`, `pull`, `push`, `delete`, `mount`, or the method of what was refused; `outcome` is
    `ok` or why not. `claimed` is the name that was given where no identity came of it. `address` is the client's,
    `request_id` the one in the access log.
    """

    action: str
    outcome: str
    identity: Identity = ANONYMOUS
    claimed: str = ""
    address: str = ""
    repository: str = ""
    reference: str = ""
    digest: str = ""
    detail: str = ""
    status: int = 0
    request_id: str = ""


Emit = Callable[[AuditEvent], None]
