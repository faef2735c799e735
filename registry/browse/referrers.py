"""What refers to an image: signatures, SBOMs, attestations, and what refers to those; as a tree."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid, ManifestUnknown
from registry.content.manifests import parse_manifest
from registry.content.names import RepositoryName, Tag, cosign_tags
from registry.content.places import Referrer, Source

_DEEPEST = 16
_MOST = 20_000
"""Nobody has more of them; whoever makes them means harm."""


@dataclass(frozen=True, slots=True)
class Node:
    """Something that refers to what stands above it: by its subject, or (old cosign) by the name of its tag."""

    referrer: Referrer
    tag: Tag | None = None
    referrers: "Sequence[Node]" = ()


@dataclass(slots=True)
class Tree:
    """Reads the tree below one image; of an `artifact_type` alone, if that is given."""

    source: Source
    name: RepositoryName
    artifact_type: str | None = None
    _seen: set[Digest] = field(default_factory=set)

    async def below(self, subject: Digest, depth: int = 0) -> Sequence[Node]:
        """What refers to a manifest, which need not be there. Raises `ManifestInvalid` if there is no end."""
        if depth > _DEEPEST or len(self._seen) > _MOST:
            raise ManifestInvalid(f"the referrers of {self.name}@{subject} have no end")
        self._seen.add(subject)
        found = [
            Node(each) async for each in self.source.referrers(self.name, subject) if each.digest not in self._seen
        ]
        found += [node for node in await self._cosign(subject) if node.referrer.digest not in self._seen]
        nodes = []
        for node in found:
            below = await self.below(node.referrer.digest, depth + 1)
            if below or self.artifact_type in (None, node.referrer.artifact_type):
                nodes.append(Node(node.referrer, node.tag, below))
        return nodes

    async def _cosign(self, subject: Digest) -> Sequence[Node]:
        found = []
        for tag in cosign_tags(subject):
            try:
                stored = await self.source.manifest(self.name, tag)
                artifact_type = parse_manifest(stored.data, stored.media_type).artifact_type
            except (ManifestUnknown, ManifestInvalid):
                continue
            found.append(Node(Referrer(stored.media_type, stored.digest, len(stored.data), artifact_type), tag))
        return found
