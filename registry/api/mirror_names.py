"""Names as clients of a mirror write them: what they call `library/alpine` and mean of some registry is a repository of
ours. Pure.

Two ways to mean one: `?ns=docker.io`, as containerd asks mirrors (distribution-spec, "Registry Proxying"), and, without
a word, docker's `registry-mirrors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.content.errors import NameUnknown
from registry.content.image_references import host_in_name, is_host


@dataclass(frozen=True, slots=True)
class MirrorNames:
    """`by_namespace` has the prefix of ours for each registry as clients name it; names that begin with one of
    `prefixes` mean what is mirrored there; below `default` lies what is meant by a name that nothing of ours has, if
    that is not empty.
    """

    by_namespace: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    default: str = ""

    def within(self, namespace: str, name: str) -> str:
        """Our name of what a registry calls `name`. A client that was told our names writes the registry into them, as
        bundles do. Raises `NameUnknown` for another registry that is not mirrored here: what we have under that name
        ourselves is something else.
        """
        prefix = self.by_namespace.get(namespace.lower())
        if prefix is None and is_host(namespace) and f"/{host_in_name(namespace)}/" in f"/{name}":
            return name
        if prefix is None:
            raise NameUnknown(f"{namespace[:255]} is not mirrored here; ask there", {"ns": namespace[:255]})
        return _below(prefix, name)

    def instead(self, name: str) -> str | None:
        """Our name of what may be meant by a name that we do not have; None if nothing else can be."""
        if not self.default or any(name.startswith(f"{prefix}/") for prefix in self.prefixes):
            return None
        return _below(self.default, name)


def _below(prefix: str, name: str) -> str:
    return name if name.startswith(f"{prefix}/") else f"{prefix}/{name}"
