"""Policies over real repositories: what goes, what stays with what, and what is told."""

import json
from collections.abc import Sequence

import pytest

from registry.cleanup.filters import parse_filters
from registry.cleanup.image_removal import Removed
from registry.cleanup.prune import Prune
from registry.cleanup.restore import Restorer, choose
from registry.cleanup.retaining import Retaining
from registry.cleanup.retention import Decision, Expire, Keep, Policy
from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.immutable_tags import Covers, nothing
from registry.content.names import Tag
from registry.content.repository import Registry, Rules
from registry.name_patterns import NamePattern
from storage_backends.memory import MemoryBackend
from tests.unit.cleanup.conftest import DAY, Clock
from tests.unit.cleanup.pushing import (
    APP,
    OTHER,
    collect,
    gone,
    manifests,
    named_manifest,
    push,
    push_index,
    remove,
    tags,
)

pytestmark = pytest.mark.anyio


def patterns(*texts: str) -> list[NamePattern]:
    return [NamePattern.parse(text) for text in texts]


def policy(repositories: str = "**", **more: object) -> Policy:
    return Policy("one", patterns(repositories), **more)  # type: ignore[arg-type]


class Told:
    """What was told of each repository."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, dict[str, bool]]] = {}

    def __call__(self, repository: str, of: Policy, decisions: Sequence[Decision]) -> None:
        self.rows[repository] = of.name, {one.candidate.tag: one.keeps for one in decisions}


async def retain(
    backend: MemoryBackend,
    *policies: Policy,
    immutable: Covers = nothing,
    told: Told | None = None,
    enabled_only: bool = False,
) -> Removed:
    """One whole run, after which the space is free."""
    chooser = Retaining(
        backend, policies, immutable, -1, acts=lambda one: one.enabled or not enabled_only, tell=told or Told()
    )
    return await remove(backend, chooser)


async def test_an_image_goes_when_it_has_lost_all_tags_and_loses_single_ones_else(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    kept = await push(registry, "v1", b"one")
    await push(registry, "pr-1", b"one")
    both = await push(registry, "pr-2", b"two")
    await push(registry, "pr-3", b"two")
    clock.pass_days(20)

    removed = await retain(backend, policy(expire=[Expire(patterns("pr-*"), 14 * DAY)]))

    assert gone(removed) == {both}
    assert await tags(backend) == {"v1"}
    assert await manifests(backend) == {kept}
    assert {(tag, one.whole) for one in removed.going for tag in one.tags} == {
        ("pr-1", False), ("pr-2", True), ("pr-3", True),
    }  # fmt: skip
    assert removed.freed == (await collect(backend)).freed


async def test_what_goes_takes_its_platforms_and_signatures_along_and_leaves_what_others_need(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    shared = await push(registry, None, b"shared")
    own = await push(registry, None, b"own")
    release = await push_index(registry, "v1", shared)
    nightly = await push_index(registry, "nightly", shared, own)
    signature = await push(registry, f"sha256-{nightly.encoded}.sig", b"signature")
    sbom = await push(registry, None, b"sbom", subject=named_manifest(nightly))
    platform = await push(registry, "nightly-arm", b"shared")
    assert platform == shared
    clock.pass_days(20)

    removed = await retain(backend, policy(keep=[Keep(tags=patterns("v*"))]))

    assert gone(removed) == {nightly, own, signature, sbom}
    assert await manifests(backend) == {release, shared}
    assert await tags(backend) == {"v1"}
    reasons = {one.image.digest: one.reason for one in removed.going}
    assert reasons[nightly] == "no rule keeps it"
    assert reasons[own] == "belongs to an image that goes"


async def test_signatures_in_a_repository_of_their_own_stay_with_what_they_sign(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    signed = await push(registry, "v1", b"one")
    by_tag = await push(registry, f"sha256-{signed.encoded}.sig", b"signature", name=OTHER)
    untagged = await push(registry, None, b"signature 2", name=OTHER, subject=named_manifest(signed))
    rules = policy(str(OTHER), keep=[Keep(tags=patterns("v*"))], untagged_after=DAY)
    await registry.pulls.write()  # from now on times of pulls are known
    clock.pass_days(20)

    assert gone(await retain(backend, rules)) == set()

    await registry.delete_manifest(APP, signed)
    clock.pass_days(20)
    await collect(backend)
    assert gone(await retain(backend, rules)) == {by_tag, untagged}


@pytest.mark.parametrize(
    "artifact_type",
    [
        "application/vnd.cncf.notary.signature",
        "application/vnd.dev.cosign.artifact.sig.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    ],
)
async def test_signed_images_are_those_that_cosign_or_notation_has_signed(
    backend: MemoryBackend, registry: Registry, clock: Clock, artifact_type: str
) -> None:
    signed = await push(registry, "signed", b"one")
    await push(registry, None, b"signature", subject=named_manifest(signed), artifactType=artifact_type)
    by_tag = await push(registry, "signed-by-tag", b"two")
    await push(registry, f"sha256-{by_tag.encoded}.sig", b"signature 2")
    sbom = await push(registry, "with-sbom", b"three")
    await push(registry, None, b"sbom", subject=named_manifest(sbom), artifactType="application/spdx+json")
    clock.pass_days(20)

    await retain(backend, policy(keep=[Keep(signed=True)]))

    assert await tags(backend) == {"signed", "signed-by-tag", f"sha256-{by_tag.encoded}.sig"}


async def test_pulls_keep_an_image_and_for_want_of_a_record_everything_stays(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    child = await push(registry, None, b"one")
    await push_index(registry, "pulled", child)
    await push(registry, "unused", b"two")
    await push(registry, None, b"untagged")
    clock.pass_days(100)
    rules = policy(keep=[Keep(pulled_within=30 * DAY)], untagged_after=7 * DAY)

    assert not (await retain(backend, rules)).going
    await registry.pulls.write()
    clock.pass_days(29)
    await registry.get_manifest(APP, child)
    await registry.pulls.write()
    await retain(backend, rules)
    assert await tags(backend) == {"pulled", "unused"}
    clock.pass_days(2)
    await retain(backend, rules)
    assert await tags(backend) == {"pulled"}
    assert len(await manifests(backend)) == 2


@pytest.mark.parametrize("damaged", [None, b"{"], ids=["quarantined", "rotten"])
async def test_what_labels_an_image_has_whose_config_is_damaged_nobody_knows(
    backend: MemoryBackend, registry: Registry, clock: Clock, damaged: bytes | None
) -> None:
    labelled = json.dumps({"config": {"Labels": {"keep": "true"}}}).encode()
    kept = await push(registry, "v1", b"one", config=labelled)
    await push(registry, "v2", b"two")
    key = keyspace.blob(Digest.of(labelled))
    await (backend.delete(key) if damaged is None else backend.put(key, damaged))
    clock.pass_days(20)

    await retain(backend, policy(keep=[Keep(labels=[("keep", "true")])]))

    assert await manifests(backend) == {kept}
    for text in ("label!=keep", "label=keep", "label!=keep=false"):
        chooser = Prune(backend, parse_filters([text, "until=1h"], clock.time), nothing, -1, every=True)
        await registry.pulls.write()
        clock.pass_days(1)
        assert gone(await remove(backend, chooser)) == set(), text


async def test_signatures_whose_image_is_gone_take_no_place_of_the_newest(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    for number in range(3):
        released = await push(registry, f"v{number}", b"release %d" % number)
        await push(registry, f"sha256-{released.encoded}.sig", b"signature %d" % number)
        clock.pass_days(1)
    await registry.delete_manifest(APP, released)

    await retain(backend, policy(keep=[Keep(newest=2)]))

    assert {tag for tag in await tags(backend) if not tag.endswith(".sig")} == {"v0", "v1"}
    assert f"sha256-{released.encoded}.sig" in await tags(backend)


async def test_labels_of_platforms_keep_their_index(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    labelled = json.dumps({"config": {"Labels": {"stage": "production"}}}).encode()
    await push_index(registry, "many", await push(registry, None, b"one", config=labelled))
    await push(registry, "other", b"two")
    clock.pass_days(20)

    await retain(backend, policy(keep=[Keep(labels=[("stage", "production")])]))

    assert await tags(backend) == {"many"}


async def test_immutable_tags_are_never_taken(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    await push(registry, "v1", b"one")
    await push(registry, "also-v1", b"one")
    await push(registry, "v2", b"two")
    clock.pass_days(20)

    await retain(
        backend,
        policy(keep=[Keep(tags=patterns("none"))], untagged_after=DAY),
        immutable=lambda _: lambda tag: tag == "v1",
    )

    assert await tags(backend) == {"v1"}


async def test_the_first_policy_that_takes_a_repository_decides_and_others_are_left_alone(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await push(registry, "a", b"one")
    await push(registry, "a", b"two", name=OTHER)
    clock.pass_days(20)
    told = Told()
    first = Policy("first", patterns("team/*"), keep=[Keep(tags=patterns("a"))])
    second = Policy("second", patterns("team/**"), keep=[Keep(tags=patterns("b"))])

    assert not (await retain(backend, first, second, told=told)).going
    assert told.rows == {"team/app": ("first", {"a": True})}


async def test_a_policy_that_is_not_enabled_only_tells(
    backend: MemoryBackend, registry: Registry, clock: Clock
) -> None:
    await push(registry, "a", b"one")
    clock.pass_days(20)
    told = Told()
    rules = policy(keep=[Keep(tags=patterns("b"))])

    assert not (await retain(backend, rules, told=told, enabled_only=True)).going
    assert told.rows == {"team/app": ("one", {"a": False})}
    assert await tags(backend) == {"a"}


async def test_tags_that_went_can_be_restored(backend: MemoryBackend, registry: Registry, clock: Clock) -> None:
    await push(registry, "v1", b"one")
    await push(registry, "pr-1", b"one")
    gone_whole = await push(registry, "pr-2", b"two")
    clock.pass_days(20)
    chooser = Retaining(
        backend, [policy(expire=[Expire(patterns("pr-*"), DAY)])], nothing, 3600, acts=lambda _: True, tell=Told()
    )
    await remove(backend, chooser, grace=3600)
    assert await tags(backend) == {"v1"}

    restorer = Restorer(backend, Rules(), nothing)
    known = await restorer.of(APP)
    assert [one async for one in restorer.restore(choose(known, None), known)]

    assert await tags(backend) == {"v1", "pr-1", "pr-2"}
    assert (await registry.get_manifest(APP, Tag("pr-2"))).digest == gone_whole
