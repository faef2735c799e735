"""Which repositories of ours mirror which elsewhere: by the beginning of their names. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from auth.patterns import matches
from registry.content.errors import NotMirrored
from registry.content.names import RepositoryName
from registry.mirror.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class Route:
    """Repositories below `prefix` (`hub` for `hub/library/alpine`) mirror those below `namespace`, if there is one, of
    the registry at `endpoint`. Patterns are of names over there; what `deny` fits is not mirrored, nor
    what `allow` does not fit, unless it is empty.
    """

    prefix: str
    endpoint: Endpoint
    namespace: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The registry as people know it."""
        return self.endpoint.host

    def upstream_name(self, name: str) -> RepositoryName:
        """What a repository below the prefix is called over there. Raises `NotMirrored`, `NameInvalid`."""
        rest = name[len(self.prefix) + 1 :]
        there = self.endpoint.repository(RepositoryName.parse(f"{self.namespace}/{rest}" if self.namespace else rest))
        is_allowed = not self.allow or any(matches(pattern, there) for pattern in self.allow)
        if not is_allowed or any(matches(pattern, there) for pattern in self.deny):
            raise NotMirrored(
                f"{self.host}/{there} is not among what is mirrored here; ask whoever runs this registry",
                {"name": name},
            )
        return there


class Routes:
    """All routes; of several whose prefixes a name begins with the longest one counts."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_beginning: dict[str, list[Route]] = {}
        for route in sorted(routes, key=lambda route: len(route.prefix), reverse=True):
            self._by_beginning.setdefault(route.prefix.partition("/")[0], []).append(route)

    def find(self, name: str) -> Route | None:
        """The route of a repository; None if it is only ours. Costs a look into a dictionary."""
        candidates = self._by_beginning.get(name.partition("/")[0])
        if candidates is None:
            return None
        return next((route for route in candidates if name.startswith(f"{route.prefix}/")), None)
