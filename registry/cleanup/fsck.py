"""Finds what points to nothing and what nothing points to, in a registry that is being used, and repairs what can be
repaired without losing anything.

Nothing is said that was not seen twice, and no content is ever removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from registry.cleanup.at_rest import digest_at_rest
from registry.cleanup.findings import Collect, Finding, Reindex, Remove, Write
from registry.cleanup.look import Look
from registry.cleanup.look_at_own import LookAtOwn
from registry.cleanup.removal import Doomed, remove
from registry.content import keyspace, walk
from registry.content.digest import Digest
from registry.content.errors import NameInvalid
from registry.content.leases import Collector, CollectorBusy, storage_time
from registry.content.manifest_store import ManifestStore
from registry.content.names import RepositoryName
from registry.content.referrer_index import ReferrerIndex
from registry.content.tag_store import TagStore
from storage_backends.base import StorageBackend
from storage_backends.errors import NotFound, VersionMismatch


@dataclass(frozen=True, slots=True)
class Options:
    """What to do; times in seconds. What is younger than `grace` may belong to a push. An index may lack manifests if
    `sparse`, and below one of the prefixes `carried`, where bundles may have brought chosen platforms alone. What is
    below one of the prefixes `mirrored` fetches what it lacks when somebody asks for it. The longest prefix counts.
    """

    grace: float = 3600.0
    lease: float = 300.0
    sparse: bool = False
    mirrored: Sequence[str] = ()
    carried: Sequence[str] = ()
    repair: bool = False


@dataclass(slots=True)
class Checked:
    """How far it is, and what was found: what is `left`, and what was `repaired`."""

    stage: str = "beginning"
    repositories: int = 0
    manifests: int = 0
    left: list[Finding] = field(default_factory=list)
    repaired: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Fsck:
    """One check by `holder` (words that tell people who it is); `now` is the storage's time."""

    def __init__(self, backend: StorageBackend, options: Options, holder: str, now: float) -> None:
        self.checked = Checked()
        self._backend = backend
        self._options = options
        self._holder = holder
        self._now = now
        self._manifests = 0
        self._right: dict[Digest, bool] = {}

    async def run(self) -> Checked:
        """Check everything. Raises `StorageError`, `LeaseLost`."""
        async for name in walk.names(self._backend, keyspace.REPOSITORIES):
            self.checked.stage = f"looking at {name}"
            await self._repository(name)
            self.checked.repositories += 1
        async for name in walk.names(self._backend, keyspace.OWN_REPOSITORIES):
            if not await walk.exists(self._backend, name):
                await self._repository(name)
        self.checked.stage = "looking at blobs"
        await self._blobs()
        self.checked.stage = "done"
        return self.checked

    async def _repository(self, name: str) -> None:
        found = await self._sure(name)
        while self._options.repair and any(finding.repair for finding in found):
            for finding in found:
                await self._repair(name, finding)
            await self._collect(name, found)
            again = await self._sure(name)
            kept = {finding.identity for finding in again}
            repaired = [finding for finding in found if finding.identity not in kept]
            self.checked.repaired += repaired
            found = again
            if not repaired:
                break
        self.checked.left += found
        self.checked.manifests += self._manifests

    async def _sure(self, name: str) -> Sequence[Finding]:
        """What two looks agree in."""
        first = {finding.identity for finding in await self._look(name)}
        if not first:
            return ()
        return [finding for finding in await self._look(name) if finding.identity in first]

    async def _look(self, name: str) -> Sequence[Finding]:
        since = self._now - self._options.grace
        options = self._options
        prefixes = (prefix for prefix in (*options.mirrored, *options.carried) if name.startswith(f"{prefix}/"))
        prefix = max(prefixes, key=len, default=None)
        sparse = options.sparse or prefix in options.carried
        look = Look(self._backend, name, since, sparse=sparse, mirrored=prefix in options.mirrored)
        found = await look.run()
        own = LookAtOwn(self._backend, found, since)
        await own.run()
        self._manifests = len(found.images)
        return [*_about_name(name), *look.findings, *own.findings]

    async def _repair(self, name: str, finding: Finding) -> None:
        """Do what can be done at once. Whoever changes the same thing at this moment wins."""
        repair = finding.repair
        try:
            if isinstance(repair, Write):
                if repair.needs is None or await self._is_right(repair.needs):
                    await self._backend.put(repair.key, repair.data, if_match=repair.version)
            elif isinstance(repair, Remove):
                await self._backend.delete(repair.key, if_match=repair.version)
            elif isinstance(repair, Reindex):
                manifests = ManifestStore(self._backend)
                index = ReferrerIndex(self._backend, manifests, TagStore(self._backend))
                await index.rebuild(RepositoryName(name))
        except VersionMismatch:
            return  # the next look says what there is now

    async def _collect(self, name: str, found: Sequence[Finding]) -> None:
        """Remove what nobody needs, as garbage collection does: looked at once more while writers know of us."""
        if not any(isinstance(finding.repair, Collect) for finding in found):
            return
        collector = Collector(self._backend, self._holder, self._options.lease)
        try:
            await collector.begin(await storage_time(self._backend))
            await self._collect_as(collector, name)
            await collector.end(f"repaired {name}")
        except CollectorBusy as busy:
            self.checked.notes.append(f"what nobody needs stays in {name}: {busy}")
        except BaseException:
            await collector.stop()
            raise

    async def _collect_as(self, collector: Collector, name: str) -> None:
        await collector.read_intents()
        doomed: dict[str, dict[Digest, Doomed]] = {}
        for finding in await self._look(name):
            if isinstance(finding.repair, Collect):
                digest = finding.repair.digest
                item = doomed.setdefault(digest.encoded[:2], {}).setdefault(digest, Doomed())
                item.keys = [*item.keys, finding.repair.key]
        for shard, items in sorted(doomed.items()):
            async for _ in remove(self._backend, collector, shard, items):
                pass

    async def _is_right(self, digest: Digest) -> bool:
        """True if the bytes of a blob have its digest; many repositories may ask for the same one."""
        if digest not in self._right:
            try:
                found = await digest_at_rest(self._backend, keyspace.blob(digest), digest.algorithm, _no_pause)
            except NotFound:
                return False
            self._right[digest] = found == digest
        return self._right[digest]

    async def _blobs(self) -> None:
        """Files among the blobs that are none."""
        async for algorithm in walk.children(self._backend, keyspace.BLOBS):
            async for shard in walk.children(self._backend, f"{keyspace.BLOBS}{algorithm}/"):
                prefix = keyspace.blobs(algorithm, shard)
                async for encoded in walk.children(self._backend, prefix):
                    digest = walk.parsed(f"{algorithm}:{encoded}")
                    if digest is None or not encoded.startswith(shard):
                        await self._strays(f"{prefix}{encoded}")

    async def _strays(self, place: str) -> None:
        """All that lies at a place or below it, which is more than a prefix: `ab` is one of `abc`, too."""
        async for key in walk.keys_at(self._backend, place):
            self.checked.left.append(
                Finding("stray file", key, "", "no registry reads this file", "remove it if you know what it is")
            )


def _about_name(name: str) -> Sequence[Finding]:
    try:
        RepositoryName.parse(name)
    except NameInvalid as error:
        key = keyspace.repository(name)
        return [Finding("stray file", key, name, error.message, "no client can reach it: move or remove it")]
    return ()


async def _no_pause(_: int) -> None:
    return
