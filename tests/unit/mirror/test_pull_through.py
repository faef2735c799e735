"""Repositories that mirror others: what is answered from here, what is asked over there, and what if nobody answers."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from registry.content.digest import Digest
from registry.content.errors import (
    ManifestInvalid,
    ManifestUnknown,
    MirrorReadOnly,
    NameUnknown,
    NotMirrored,
    PlaceCorrupt,
    PlaceRateLimited,
    PlaceRefused,
    PlaceUnavailable,
)
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag, cosign_tags
from registry.content.upload_sessions import Session
from registry.mirror.endpoints import Endpoint
from registry.mirror.errors import (
    MirrorError,
    RateLimited,
    UpstreamDenied,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from registry.mirror.mirroring_registry import MirroringRegistry
from registry.mirror.platforms import Platform
from registry.mirror.pull_through import MirrorRules
from registry.mirror.routes import Route
from storage_backends.base import StorageBackend
from tests.images import Content, artifact, index, random_image
from tests.unit.content.pouring import Poured
from tests.unit.mirror.conftest import MakeMirror
from tests.unit.mirror.fake_upstream import FakeUpstream

APP = RepositoryName("hub/team/app")
LATEST = Tag("latest")
IMAGE = random_image(1)
OTHER = random_image(2)
ALWAYS = MirrorRules(tag_seconds=0.0, companions=False)
"""Tags are looked at again at every pull."""
TROUBLES = [UpstreamUnavailable("no answer"), RateLimited("too many", 30.0), UpstreamDenied("log in")]


@pytest.fixture
def asking(make_mirror: MakeMirror) -> MirroringRegistry:
    """A mirror that looks at tags again at every pull."""
    return make_mirror(rules=ALWAYS)


async def test_a_tag_is_asked_for_once_and_then_answered_from_here(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", IMAGE, "latest")

    for _ in range(3):
        found = await mirror.get_manifest(APP, LATEST)

        assert (found.digest, found.data, found.warning) == (digest, IMAGE.manifest.data, None)
    assert upstream.asked == {"resolve": 2, "manifest": 1}


async def test_a_tag_is_looked_at_again_without_fetching_what_is_here(
    asking: MirroringRegistry, upstream: FakeUpstream
) -> None:
    await upstream.put("team/app", IMAGE, "latest")

    for _ in range(3):
        await asking.get_manifest(APP, LATEST)

    assert upstream.asked == {"resolve": 4, "manifest": 1}


async def test_a_tag_that_has_moved_over_there_moves_here(asking: MirroringRegistry, upstream: FakeUpstream) -> None:
    await upstream.put("team/app", IMAGE, "latest")
    await asking.get_manifest(APP, LATEST)

    moved = await upstream.put("team/app", OTHER, "latest")

    assert (await asking.get_manifest(APP, LATEST)).digest == moved


async def test_a_tag_that_another_process_has_moved_on_is_not_moved_back(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = make_mirror(rules=ALWAYS), make_mirror(rules=ALWAYS)
    await upstream.put("team/app", IMAGE, "latest")
    fetch, moved = upstream.manifest, list[Digest]()

    async def fetch_slowly(name: RepositoryName, reference: Reference) -> StoredManifest:
        monkeypatch.setattr(upstream, "manifest", fetch)
        moved.append(await upstream.put("team/app", OTHER, "latest"))
        await quick.get_manifest(APP, LATEST)
        return await fetch(name, reference)

    monkeypatch.setattr(upstream, "manifest", fetch_slowly)

    found = await slow.get_manifest(APP, LATEST)

    assert [found.digest] == moved


async def test_an_image_is_served_though_its_upstream_stops_answering_when_it_has_come(
    mirror: MirroringRegistry, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upstream.put("team/app", IMAGE, "latest")
    fetch = upstream.manifest

    async def fetch_last(name: RepositoryName, reference: Reference) -> StoredManifest:
        found = await fetch(name, reference)
        upstream.failure = RateLimited("too many", 30.0)
        return found

    monkeypatch.setattr(upstream, "manifest", fetch_last)

    assert (await mirror.get_manifest(APP, LATEST)).data == IMAGE.manifest.data


async def test_a_digest_is_never_asked_for_again(asking: MirroringRegistry, upstream: FakeUpstream) -> None:
    digest = await upstream.put("team/app", IMAGE)

    for _ in range(3):
        assert (await asking.get_manifest(APP, digest)).data == IMAGE.manifest.data

    assert upstream.asked == {"manifest": 1}


async def test_fifty_pulls_of_a_tag_at_once_ask_once(mirror: MirroringRegistry, upstream: FakeUpstream) -> None:
    await upstream.put("team/app", IMAGE, "latest")

    found = await asyncio.gather(*(mirror.get_manifest(APP, LATEST) for _ in range(50)))

    assert {each.data for each in found} == {IMAGE.manifest.data}
    assert upstream.asked == {"resolve": 2, "manifest": 1}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_is_here_is_served_with_a_warning_when_the_upstream_is_in_trouble(
    asking: MirroringRegistry, upstream: FakeUpstream, trouble: MirrorError
) -> None:
    digest = await upstream.put("team/app", IMAGE, "latest")
    await asking.get_manifest(APP, LATEST)
    upstream.failure = trouble

    found = await asking.get_manifest(APP, LATEST)

    assert found.digest == digest
    assert found.warning
    assert "hub.example" in found.warning
    assert "this is what it was" in found.warning
    assert (await asking.get_manifest(APP, digest)).warning is None


async def test_an_upstream_that_has_had_too_many_requests_is_left_in_peace(
    asking: MirroringRegistry, upstream: FakeUpstream
) -> None:
    await upstream.put("team/app", IMAGE, "latest")
    await asking.get_manifest(APP, LATEST)
    upstream.failure = RateLimited("too many", 30.0)
    await asking.get_manifest(APP, LATEST)
    asked = upstream.asked.copy()

    found = await asking.get_manifest(APP, LATEST)
    with pytest.raises(PlaceRateLimited) as raised:
        await asking.get_manifest(APP, Tag("other"))

    assert found.warning
    assert 25 <= raised.value.retry_after <= 31
    assert upstream.asked == asked


async def test_an_upstream_that_hangs_is_not_waited_for_when_there_is_an_answer_without_it(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = make_mirror(rules=MirrorRules(tag_seconds=0.0, patience=0.05, companions=False))
    await upstream.put("team/app", IMAGE, "latest")
    await mirror.get_manifest(APP, LATEST)

    async def hang(*_: object) -> Digest:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(upstream, "resolve", hang)

    assert (await mirror.get_manifest(APP, LATEST)).warning


async def test_the_upstream_is_asked_again_when_it_answers_again(
    make_mirror: MakeMirror, upstream: FakeUpstream
) -> None:
    mirror = make_mirror(rules=ALWAYS)
    await upstream.put("team/app", IMAGE, "latest")
    await mirror.get_manifest(APP, LATEST)
    upstream.failure = UpstreamDenied("log in")
    assert (await mirror.get_manifest(APP, LATEST)).warning

    upstream.failure = None

    assert (await mirror.get_manifest(APP, LATEST)).warning is None


@pytest.mark.parametrize(
    ("trouble", "raised"),
    list(zip(TROUBLES, [PlaceUnavailable, PlaceRateLimited, PlaceRefused], strict=True)),
)
async def test_what_is_nowhere_here_gets_a_clear_error_when_the_upstream_is_in_trouble(
    mirror: MirroringRegistry, upstream: FakeUpstream, trouble: MirrorError, raised: type[Exception]
) -> None:
    upstream.failure = trouble

    with pytest.raises(raised, match=trouble.message):
        await mirror.get_manifest(APP, LATEST)


async def test_a_tag_that_is_nowhere_is_remembered_for_a_while(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    for _ in range(3):
        with pytest.raises(ManifestUnknown):
            await mirror.get_manifest(APP, LATEST)

    assert upstream.asked == {"resolve": 1}


async def test_a_tag_that_is_gone_over_there_is_gone_here(asking: MirroringRegistry, upstream: FakeUpstream) -> None:
    digest = await upstream.put("team/app", IMAGE, "latest")
    await asking.get_manifest(APP, LATEST)

    await upstream.remove_tag("team/app", "latest")

    with pytest.raises(ManifestUnknown):
        await asking.get_manifest(APP, LATEST)
    assert (await asking.get_manifest(APP, digest)).data == IMAGE.manifest.data


async def test_a_manifest_with_wrong_bytes_is_not_kept(mirror: MirroringRegistry, upstream: FakeUpstream) -> None:
    digest = await upstream.put("team/app", IMAGE, "latest")
    upstream.lies = True

    with pytest.raises(PlaceCorrupt):
        await mirror.get_manifest(APP, LATEST)

    upstream.lies = False
    assert (await mirror.get_manifest(APP, LATEST)).digest == digest


async def test_tags_are_listed_as_they_are_over_there(asking: MirroringRegistry, upstream: FakeUpstream) -> None:
    await upstream.put("team/app", IMAGE, "v1", "v2", "latest")
    await asking.get_manifest(APP, Tag("v1"))

    page = await asking.tags(APP, "latest", 1)
    rest = await asking.tags(APP, "v1", 100)
    upstream.failure = UpstreamUnavailable("no answer")
    own = await asking.tags(APP, "", 100)

    assert (page.names, page.more, page.warning) == (("v1",), True, None)
    assert (rest.names, rest.more) == (("v2",), False)
    assert own.names == ("v1",)
    assert own.warning


async def test_tags_of_a_repository_that_is_nowhere_are_an_error(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    with pytest.raises(NameUnknown):
        await mirror.tags(APP, "", 100)
    upstream.failure = UpstreamUnavailable("no answer")
    with pytest.raises(PlaceUnavailable):
        await mirror.tags(APP, "", 100)


async def test_referrers_are_fetched_when_they_are_asked_for_and_stay(
    asking: MirroringRegistry, upstream: FakeUpstream
) -> None:
    subject = await upstream.put("team/app", IMAGE, "latest")
    signature = await upstream.put("team/app", artifact(b"signed", "application/vnd.sig", subject=IMAGE.manifest))

    page = await asking.referrers(APP, subject, None, "", 100)
    upstream.failure = UpstreamUnavailable("no answer")
    later = await asking.referrers(APP, subject, "application/vnd.sig", "", 100)

    assert [entry["digest"] for entry in page.descriptors] == [str(signature)]
    assert [entry["digest"] for entry in later.descriptors] == [str(signature)]
    assert page.warning is None
    assert later.warning


async def test_an_answer_that_cannot_be_understood_keeps_nobody_from_other_images(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", IMAGE, "latest")
    upstream.failure = UpstreamMisbehaved("lists a referrer that cannot be read")
    upstream.failure.__cause__ = ManifestInvalid("manifests[0] must be a descriptor")
    with pytest.raises(PlaceUnavailable):
        await mirror.referrers(APP, digest, None, "", 10)

    upstream.failure = None

    assert (await mirror.get_manifest(APP, LATEST)).digest == digest


@pytest.mark.parametrize("answer", [UpstreamRefused("no such digest (400)"), UpstreamMisbehaved("no index")])
async def test_an_answer_to_one_request_leaves_no_tag_of_other_images_old(
    asking: MirroringRegistry, upstream: FakeUpstream, answer: MirrorError
) -> None:
    await upstream.put("team/app", IMAGE, "latest")
    await asking.get_manifest(APP, LATEST)
    moved = await upstream.put("team/app", OTHER, "latest")
    upstream.failure = answer
    with pytest.raises(PlaceUnavailable):
        await asking.blobs.size(RepositoryName("hub/zzz"), Digest.of(b"nothing"))

    upstream.failure = None
    found = await asking.get_manifest(APP, LATEST)

    assert (found.digest, found.warning) == (moved, None)


async def test_no_referrers_is_no_answer_when_the_upstream_cannot_be_asked(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    upstream.failure = UpstreamUnavailable("no answer")

    with pytest.raises(PlaceUnavailable):
        await mirror.referrers(APP, Digest.of(b"subject"), None, "", 100)


async def test_an_image_that_is_here_needs_no_upstream_to_say_what_else_belongs_to_it(
    make_mirror: MakeMirror, upstream: FakeUpstream
) -> None:
    mirror = make_mirror(rules=replace(ALWAYS, unknown_seconds=0.0))
    digest = await upstream.put("team/app", IMAGE, "latest")
    await mirror.get_manifest(APP, LATEST)
    upstream.failure = UpstreamUnavailable("no answer")

    found = await mirror.referrers(APP, digest, None, "", 100)
    with pytest.raises(ManifestUnknown, match=r"is not cached, and hub\.example cannot be asked"):
        await mirror.get_manifest(APP, cosign_tags(digest)[0])

    assert (found.descriptors, "does not answer" in str(found.warning)) == ((), True)
    for tag in (Tag("other"), cosign_tags(Digest.of(b"not here"))[0]):
        with pytest.raises(PlaceUnavailable):
            await mirror.get_manifest(APP, tag)
    upstream.failure = RateLimited("too many", 0.0)
    with pytest.raises(PlaceRateLimited):
        await mirror.get_manifest(APP, cosign_tags(digest)[0])


async def test_signatures_come_with_an_image_unasked(make_mirror: MakeMirror, upstream: FakeUpstream) -> None:
    mirror = make_mirror(rules=MirrorRules())
    subject = await upstream.put("team/app", IMAGE, "latest")
    attached = artifact(b"signed", "application/vnd.sig", subject=IMAGE.manifest)
    signature = await upstream.put("team/app", attached)
    cosign = random_image(3)
    await upstream.put("team/app", cosign, f"sha256-{subject.encoded}.sig")

    await mirror.get_manifest(APP, LATEST)
    await asyncio.gather(*mirror._through._companions._tasks)
    upstream.failure = UpstreamUnavailable("no answer")

    assert (await mirror.get_manifest(APP, signature)).data == attached.manifest.data
    assert (await mirror.get_manifest(APP, Tag(f"sha256-{subject.encoded}.sig"))).data == cosign.manifest.data
    for blob in (*attached.blobs, *cosign.blobs):
        assert await mirror.blobs.size(APP, Digest.parse(blob.digest)) == len(blob.data)


async def test_images_for_other_platforms_are_refused_and_the_index_is_served_as_it_is(
    make_mirror: MakeMirror, upstream: FakeUpstream
) -> None:
    mirror = make_mirror(rules=MirrorRules(platforms=(Platform("linux", "amd64"),), companions=False))
    wanted, other = random_image(1), random_image(2, architecture="arm64")
    both = index([wanted, other])
    await upstream.put("team/app", both, "latest")

    assert (await mirror.get_manifest(APP, LATEST)).data == both.manifest.data
    assert (await mirror.get_manifest(APP, Digest.parse(wanted.manifest.digest))).data == wanted.manifest.data
    with pytest.raises(NotMirrored, match="is an image for linux/arm64; only those for linux/amd64"):
        await mirror.get_manifest(APP, Digest.parse(other.manifest.digest))


async def test_a_config_of_another_size_than_its_image_says_is_not_read(
    make_mirror: MakeMirror, upstream: FakeUpstream
) -> None:
    mirror = make_mirror(rules=MirrorRules(platforms=(Platform("linux", "amd64"),), companions=False))
    image = random_image(1)
    document = json.loads(image.manifest.data)
    document["config"]["size"] -= 1
    for blob in image.blobs:
        await upstream.put("team/app", blob)
    lying = Content(image.manifest.media_type, json.dumps(document).encode())
    digest = await upstream.put("team/app", replace(image, manifest=lying))

    with pytest.raises(PlaceCorrupt, match="has a config of"):
        await mirror.get_manifest(APP, digest)


@pytest.mark.parametrize(
    "route",
    [
        Route("hub", Endpoint("h", "http://h"), deny=("team/*",)),
        Route("hub", Endpoint("h", "http://h"), allow=("a/**",)),
    ],
)
async def test_what_the_patterns_leave_out_is_not_asked_for(
    make_mirror: MakeMirror, upstream: FakeUpstream, route: Route
) -> None:
    mirror = make_mirror(route=route)
    digest = await upstream.put("team/app", IMAGE, "latest")

    for work in (
        lambda: mirror.get_manifest(APP, LATEST),
        lambda: mirror.get_manifest(APP, digest),
        lambda: mirror.blobs.open(APP, digest),
        lambda: mirror.blobs.size(APP, digest),
        lambda: mirror.tags(APP, "", 10),
        lambda: mirror.referrers(APP, digest, None, "", 10),
    ):
        with pytest.raises(NotMirrored, match="h/team/app is not among what is mirrored here"):
            await work()
    assert not upstream.asked


async def test_a_push_into_a_mirror_is_refused_and_beside_it_works(
    mirror: MirroringRegistry, backend: StorageBackend
) -> None:
    session, digest = Session.fetching(APP, Digest.of(b"{}")), Digest.of(b"{}")
    pushes: list[Callable[[], object]] = [
        lambda: mirror.put_manifest(APP, LATEST, IMAGE.manifest.data, IMAGE.manifest.media_type),
        lambda: mirror.uploads.begin(APP),
        lambda: mirror.uploads.push(APP, digest, Poured(b"{}")),
        lambda: mirror.uploads.append(session, Poured(b"{}")),
        lambda: mirror.uploads.finish(session, digest, Poured(b"{}")),
        lambda: mirror.uploads.offset(session),
        lambda: mirror.uploads.cancel(session),
        lambda: mirror.mount(APP, digest, RepositoryName("team/app")),
    ]

    for push in pushes:
        with pytest.raises(MirrorReadOnly, match=r"hub/team/app mirrors hub\.example: push to hub\.example"):
            await push()  # type: ignore[misc]

    await mirror.uploads.push(RepositoryName("hubcap"), digest, Poured(b"{}"))
    assert await mirror.blobs.size(RepositoryName("hubcap"), digest) == 2


async def test_what_was_fetched_can_be_mounted_beside_the_mirror(
    mirror: MirroringRegistry, upstream: FakeUpstream
) -> None:
    digest = await upstream.put("team/app", IMAGE.config)
    opened = await mirror.blobs.open(APP, digest)
    opened.close()

    assert await mirror.mount(RepositoryName("team/own"), digest, APP)
    assert not await mirror.mount(RepositoryName("team/own"), Digest.of(b"other"), APP)
