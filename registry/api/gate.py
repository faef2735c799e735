"""The gate in front of every handler: who asks, may they do it, and what are they told if not.

The only caller of `auth` here. Whoever may not pull a repository is told the same of it whether it exists or not.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from auth.access import Action, print_actions
from auth.errors import AuthError, Unauthenticated
from auth.guard import Caller, Guard
from auth.identity import ANONYMOUS
from auth.policy_source import PolicySource
from registry.api.errors import Challenge, Forbidden, Hidden, ReadOnly
from registry.api.locations import Locations
from registry.api.request import Request
from registry.api.router import Resource
from registry.content.names import RepositoryName
from registry.proxies import Proxies


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a request wants to do: an action on a repository, or (without a name) to see the catalog."""

    action: Action
    name: str = ""

    def __str__(self) -> str:
        """The scope to ask the token service for. Docker asks to pull what it pushes, too."""
        if not self.name:
            return "registry:catalog:*"
        actions = {self.action, Action.PULL} if self.action is Action.PUSH else {self.action}
        return f"repository:{self.name}:{print_actions(actions)}"


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Where clients get tokens: a fixed `realm`, or (empty) `token_path` under the address that the client used."""

    realm: str
    token_path: str
    locations: Locations
    proxies: Proxies


class Gate:
    """Lets requests pass or raises. Without a guard nobody is asked who they are, and everybody may do everything."""

    def __init__(self, policy: PolicySource, guard: Guard | None, options: GateOptions) -> None:
        self._policy = policy
        self._everybody = Caller(ANONYMOUS, policy.current())
        self._guard = guard
        self._options = options

    async def admit(self, request: Request, action: Action | None) -> None:
        """Find out who sends a request that wants `action` (None: only to be known), and whether they may.

        Sets `request.caller`, also where it raises because they may not. Raises `Challenge`, `Forbidden`, `Hidden`,
        `ReadOnly`, or what `Guard.identify` raises.
        """
        guard, scope = self._guard, request.scope
        if guard is None:
            policy = self._policy.current()
            if policy is not self._everybody.policy:
                self._everybody = Caller(ANONYMOUS, policy)
            caller = self._everybody
        else:
            if request.repeats(b"authorization"):
                raise self._challenge(scope, [], "send one Authorization, not several", "")
            caller = guard.recall(request.header(b"authorization")) or await self._identify(guard, request, action)
            scope.setdefault("state", {})["user"] = "" if caller.is_anonymous else str(caller.identity)
        request.caller = caller
        if caller.policy.read_only and action not in (None, Action.PULL, Action.ADMIN):
            raise ReadOnly("the registry is in read-only mode: pulling works, pushing and deleting do not")
        if guard is None:
            return
        if request.route.resource is Resource.BASE:
            if caller.is_anonymous:
                raise self._challenge(scope, [], "log in to use this registry", "")
        elif action is not None:
            self._decide(request, caller, action)

    async def _identify(self, guard: Guard, request: Request, action: Action | None) -> Caller:
        try:
            return await guard.identify(request.header(b"authorization"), self._options.proxies.client(request.scope))
        except AuthError as error:
            request.claimed = error.claimed
            if not isinstance(error, Unauthenticated):
                raise
            if request.route.resource is Resource.GARBAGE:
                raise self._ask_for_password(error.message) from error
            needs = [] if action is None or request.route.resource is Resource.BASE else [_need(request, action)]
            raise self._challenge(request.scope, needs, error.message, error.reason) from error

    def _decide(self, request: Request, caller: Caller, action: Action) -> None:
        resource = request.route.resource
        if resource is Resource.GARBAGE:
            self._decide_on_everything(caller, action)
            return
        if resource is Resource.CATALOG:
            if not caller.may_list():
                raise self._refusal(request, caller, [Need(action)], by_rules=caller.is_anonymous)
            return
        if resource is not Resource.UPLOADS and caller.may(action, request.name):
            return
        need = Need(action, request.name)
        needs = [need]
        source = _mount_source(request)
        if source is not None and Action.PULL in caller.allowed(source) and not caller.may(Action.PULL, source):
            needs.append(Need(Action.PULL, source))  # the rules allow to mount, the token does not: it needs both
        elif caller.may(need.action, need.name):
            return
        elif source is not None and caller.is_anonymous:
            needs.append(Need(Action.PULL, source))  # it may be theirs once they have logged in; the client named it
        raise self._refusal(request, caller, needs, by_rules=need.action not in caller.allowed(need.name))

    def _decide_on_everything(self, caller: Caller, action: Action) -> None:
        if caller.may_everywhere(Action.ADMIN):
            return
        if caller.is_anonymous or caller.bearer is not None:
            raise self._ask_for_password("log in with the name and password, or access token, of an administrator")
        raise Forbidden(f"{caller.identity} may not {action} all repositories", "", action)

    def _refusal(self, request: Request, caller: Caller, needs: list[Need], *, by_rules: bool) -> Exception:
        """What to raise: ask for a login or a better token where that can help, else say no."""
        need = needs[0]
        if caller.is_anonymous or not by_rules:
            reason = "insufficient_scope" if caller.bearer is not None else ""
            return self._challenge(request.scope, needs, "log in with the rights that this needs", reason)
        if Action.PULL not in caller.allowed(need.name) and need.action is not Action.PUSH:
            return Hidden(f"there is no repository {need.name} that you may see", {"name": need.name})
        return Forbidden(f"{caller.identity} may not {need.action} {need.name}", need.name, need.action)

    def _ask_for_password(self, message: str) -> Challenge:
        service = self._guard.service if self._guard is not None else ""
        return Challenge(message, f'Basic realm="{service}"', [])

    def _challenge(self, scope: Scope, needs: list[Need], message: str, reason: str) -> Challenge:
        realm = self._options.realm or self._options.locations.origin(scope) + self._options.token_path
        service = self._guard.service if self._guard is not None else ""
        parts = [f'realm="{realm}"', f'service="{service}"']
        if needs:
            parts.append(f'scope="{" ".join(map(str, needs))}"')
        if reason:
            parts.append(f'error="{reason}"')
        wanted = [{"type": "repository", "name": need.name, "action": need.action} for need in needs if need.name]
        return Challenge(message, "Bearer " + ",".join(parts), wanted)


def visible(caller: Caller) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Which repositories the catalog shows to somebody, and in which namespaces it need not look."""
    policy, identity = caller.policy, caller.identity
    return (
        lambda name: Action.PULL in policy.decide(identity, name),
        lambda namespace: policy.may_see_below(identity, namespace),
    )


def _need(request: Request, action: Action) -> Need:
    return Need(action) if request.route.resource is Resource.CATALOG else Need(action, request.name)


def _mount_source(request: Request) -> str | None:
    if request.route.resource is not Resource.UPLOADS or request.parameter("mount") is None:
        return None
    source = request.parameter("from")
    return RepositoryName.parse(source) if source else None
