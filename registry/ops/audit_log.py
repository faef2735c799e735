"""The audit log: one JSON object a line, for every event that somebody may have to answer for.

Says who (with which credential, never its secret), what, from where, and what came of it. Nothing that a client sends
can end a line or forge a field.
"""

import json
import time
from collections.abc import Callable

from auth.events import AuditEvent
from auth.identity import Kind
from registry.ops.line_writer import LineWriter

_LONGEST = 512


class AuditLog:
    """Writes events down as they come."""

    def __init__(self, lines: LineWriter, clock: Callable[[], float] = time.time) -> None:
        self._lines = lines
        self._clock = clock

    def __call__(self, event: AuditEvent) -> None:
        """Write an event. Empty fields are left out."""
        now = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        known = event.identity.kind is not Kind.ANONYMOUS
        fields: dict[str, object] = {
            "time": f"{stamp}.{int(now % 1 * 1000):03d}Z",
            "level": "info",
            "message": "audit",
            "action": event.action,
            "outcome": event.outcome,
            "user": str(event.identity),
            "credential": str(event.identity.credential) if known else "",
            "claimed": event.claimed,
            "address": event.address,
            "repository": event.repository,
            "reference": event.reference,
            "digest": event.digest,
            "detail": event.detail,
            "status": event.status,
            "id": event.request_id,
        }
        kept = {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in fields.items() if value}
        self._lines.write(json.dumps(kept, separators=(",", ":")).encode() + b"\n")
