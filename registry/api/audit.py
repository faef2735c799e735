"""Which requests somebody may have to answer for, and what is said of them. Writes nothing down itself.

Pulls, pushes, mounts, deletions and collections are, whether they worked or not, and whatever was refused to somebody
who showed a credential. The first request of every client comes without one and is answered with where to log in; that
is no event.
"""

from collections.abc import Mapping

from auth.errors import Throttled
from auth.events import AuditEvent, Emit
from registry.api.errors import Challenge, Forbidden, Hidden, ReadOnly
from registry.api.request import Answer, Request
from registry.api.router import Resource
from registry.proxies import Proxies

_ACTIONS: Mapping[tuple[Resource, str], str] = {
    (Resource.MANIFEST, "GET"): "pull",
    (Resource.MANIFEST, "PUT"): "push",
    (Resource.MANIFEST, "DELETE"): "delete",
    (Resource.BLOB, "GET"): "pull",
    (Resource.BLOB, "DELETE"): "delete",
    (Resource.UPLOADS, "POST"): "push",
    (Resource.UPLOAD, "PUT"): "push",
    (Resource.GARBAGE, "POST"): "collect",
}
_REFUSALS = (Challenge, Forbidden, Hidden, ReadOnly, Throttled)


class Audit:
    """Tells `emit` of requests; None is told nothing."""

    def __init__(self, emit: Emit | None, proxies: Proxies) -> None:
        self._emit = emit
        self._proxies = proxies

    def note(self, request: Request, answer: Answer, failure: type[Exception] | None) -> None:
        """A request was answered, because of a failure of this kind if there was one."""
        if self._emit is None:
            return
        action = _ACTIONS.get((request.route.resource, request.method), "")
        refused = failure is not None and issubclass(failure, _REFUSALS)
        if failure is Challenge and request.header(b"authorization") is None:
            return
        if not refused and (not action or (answer.status == 202 and action == "push")):
            return  # an upload that has only begun
        argument = request.route.argument
        digest = next((value for name, value in answer.headers if name == b"docker-content-digest"), b"").decode()
        mounted = request.parameter("mount") if action == "push" and answer.status == 201 else None
        source = request.parameter("from")
        self._emit(
            AuditEvent(
                "mount" if mounted else action or request.method.lower(),
                _outcome(answer.status, refused=refused),
                request.caller.identity,
                request.claimed,
                address=self._proxies.client(request.scope),
                repository=request.route.name,
                reference=argument if request.route.resource is Resource.MANIFEST else "",
                digest=digest or (argument if ":" in argument else ""),
                detail=f"from {source}" if mounted and source else "",
                status=answer.status,
                request_id=request.scope.get("state", {}).get("request_id", ""),
            )
        )


def _outcome(status: int, *, refused: bool) -> str:
    if refused:
        return "refused"
    return "ok" if status < 400 else "failed"
