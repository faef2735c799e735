"""Retention's choice of what goes, for `ImageRemoval`: gathers what the rules ask for, and tells how each decided.

Reads only. Decides on tags: an image goes when none of its tags stays and nothing else needs it, with all that only it
needs; an image that keeps a tag loses the others alone. What refers to a manifest elsewhere is left alone.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from registry.cleanup import inventory
from registry.cleanup.image_removal import Going
from registry.cleanup.inventory import Image, Inventory, Step, in_steps
from registry.cleanup.prune import is_immutable
from registry.cleanup.retention import Candidate, Decision, Policy, decide
from registry.content.digest import Digest
from registry.content.immutable_tags import Covers
from registry.content.pull_times import INEXACT_SECONDS, PullTimes
from storage_backends.base import StorageBackend

_SIGNATURES = {
    "application/vnd.cncf.notary.signature",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.dev.cosign.simplesigning.v1+json",
}
_SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle"
Tell = Callable[[str, Policy, Sequence[Decision]], None]
"""Hears of each repository what its policy has decided."""


class Retaining:
    """Chooses by the first of the `policies` that takes a repository, if that one `acts`; `tell` hears of all. What was
    pushed within `grace` seconds stays, and tags that `immutable` covers.
    """

    def __init__(
        self,
        backend: StorageBackend,
        policies: Sequence[Policy],
        immutable: Covers,
        grace: float,
        *,
        acts: Callable[[Policy], bool],
        tell: Tell,
    ) -> None:
        self._backend = backend
        self._policies = policies
        self._immutable = immutable
        self._grace = grace
        self._acts = acts
        self._tell = tell
        self._pulls = PullTimes(backend)

    async def choose(self, found: Inventory, now: float, step: Step) -> Sequence[Going]:
        """See `Chooser`."""
        policy = next((one for one in self._policies if one.takes(found.name)), None)
        if policy is None:
            return ()
        decisions = decide(policy, await self._candidates(found, policy, now, step), now, self._grace)
        self._tell(found.name, policy, decisions)
        return self._going(found, decisions, now) if self._acts(policy) else ()

    async def _candidates(self, found: Inventory, policy: Policy, now: float, step: Step) -> list[Candidate]:
        roots = [found.images[digest] for digest in sorted(found.roots - found.attached)]
        since = await self._pulls.since() if policy.asks_for_pulls else None

        async def of_image(image: Image) -> list[Candidate]:
            pulled = await self._pulled(found, image, now if since is None else since) if policy.asks_for_pulls else 0.0
            labels = await inventory.labels(self._backend, found, image) if policy.asks_for_labels else frozenset()
            signed, times = is_signed(found, image), (image.pushed, image.arrived, pulled)
            return [
                Candidate(image.digest, tag, *times, labels, signed, self._is_immutable(image, tag))
                for tag in found.own_tags(image) or ("",)
            ]

        return [one for group in await in_steps(self._backend, of_image, roots, step) for one in group]

    async def _pulled(self, found: Inventory, image: Image, since: float) -> float:
        """The latest moment at which it, or anything that it holds, may have been pulled."""
        times = [await self._pulls.last(found.name, part) for part in found.parts(image.digest)]
        return max(since, INEXACT_SECONDS + max(times))

    def _is_immutable(self, image: Image, tag: str) -> bool:
        return is_immutable(self._immutable, image.repository, [tag] if tag else image.tags)

    def _going(self, found: Inventory, decisions: Sequence[Decision], now: float) -> list[Going]:
        lost: dict[Digest, list[Decision]] = defaultdict(list)
        kept: set[Digest] = set()
        for decision in decisions:
            if decision.keeps:
                kept.add(decision.candidate.digest)
            else:
                lost[decision.candidate.digest].append(decision)
        old = {
            digest
            for digest, image in found.images.items()
            if image.arrived < now - self._grace and not is_immutable(self._immutable, image.repository, image.tags)
        }
        whole = found.going(lost.keys() - kept, old)
        going = [
            Going(found.images[digest], found.images[digest].tags, reason=_reason(lost.get(digest)))
            for digest in sorted(whole)
        ]
        for digest in sorted(lost.keys() - whole):
            tags = tuple(one.candidate.tag for one in lost[digest] if one.candidate.tag)
            if tags:
                going.append(Going(found.images[digest], tags, whole=False, reason=_reason(lost[digest])))
        return going


def is_signed(found: Inventory, image: Image) -> bool:
    """True if a signature of cosign or notation refers to the image, by its subject or by cosign's tag."""
    return any(_is_signature(found.images[digest]) for digest in found.referrers.get(image.digest, ()))


def _is_signature(image: Image) -> bool:
    kind = image.artifact_type or ""
    return kind in _SIGNATURES or kind.startswith(_SIGSTORE_BUNDLE) or any(tag.endswith(".sig") for tag in image.tags)


def _reason(decisions: Sequence[Decision] | None) -> str:
    reasons = dict.fromkeys(decision.reason for decision in decisions or ())
    return "; ".join(reasons) or "belongs to an image that goes"
