"""Long lists of registries elsewhere, and lists in which something is wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from registry.content.digest import Digest
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag, cosign_tags
from registry.content.places import Referrer
from registry.mirror import pull_through
from registry.mirror.errors import MirrorError, UpstreamDenied, UpstreamMisbehaved, UpstreamRefused, UpstreamUnavailable
from registry.mirror.mirroring_registry import MirroringRegistry
from registry.mirror.platforms import Platform
from registry.mirror.pull_through import MirrorRules
from tests.images import OCI_MANIFEST, Content, artifact, random_image
from tests.unit.mirror.conftest import MakeMirror
from tests.unit.mirror.fake_upstream import FakeUpstream

APP = RepositoryName("hub/team/app")
IMAGE = random_image(1)
GOOD = [artifact(b"signed %d" % number, "application/vnd.sig", subject=IMAGE.manifest) for number in range(5)]
NO_MANIFEST = b'{"schemaVersion": 2, "layers": 5}'


async def test_a_long_list_of_tags_is_fetched_once_for_all_who_ask(
    mirror: MirroringRegistry, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def tags(_: RepositoryName) -> AsyncIterator[Tag]:
        nonlocal asked
        asked += 1
        for number in range(30_000):
            if number % 1000 == 0:
                await asyncio.sleep(0)
            yield Tag(f"t{number:05}")

    monkeypatch.setattr(upstream, "tags", tags)

    pages = await asyncio.gather(*(mirror.tags(APP, "t00001", 1) for _ in range(8)))
    last = await mirror.tags(APP, "t29998", 10)

    assert {page.names for page in pages} == {("t00002",)}
    assert (last.names, last.more) == (("t29999",), False)
    assert asked == 1


async def _listed(mirror: MirroringRegistry, subject: Digest) -> set[str]:
    page = await mirror.referrers(APP, subject, None, "", 100)
    return {str(entry["digest"]) for entry in page.descriptors}


def _bad(monkeypatch: pytest.MonkeyPatch, upstream: FakeUpstream, answer: MirrorError | bytes) -> Digest:
    """A referrer that is listed before the others, and that the upstream answers so."""
    data = answer if isinstance(answer, bytes) else b"none"
    bad = Referrer(OCI_MANIFEST, Digest.of(data), len(data), None)
    listed, fetch = upstream.referrers, upstream.manifest

    async def referrers(name: RepositoryName, subject: Digest) -> AsyncIterator[Referrer]:
        yield bad
        async for referrer in listed(name, subject):
            yield referrer

    async def manifest(name: RepositoryName, reference: Reference) -> StoredManifest:
        if reference != bad.digest:
            return await fetch(name, reference)
        if isinstance(answer, bytes):
            return StoredManifest(bad.digest, OCI_MANIFEST, answer)
        raise answer

    monkeypatch.setattr(upstream, "referrers", referrers)
    monkeypatch.setattr(upstream, "manifest", manifest)
    return bad.digest


BAD = [UpstreamMisbehaved("more than 4194304 bytes"), UpstreamRefused("no (400)"), NO_MANIFEST]


@pytest.mark.parametrize("answer", BAD)
async def test_a_referrer_that_cannot_be_had_hides_no_other(
    mirror: MirroringRegistry,
    upstream: FakeUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: MirrorError | bytes,
) -> None:
    caplog.set_level("INFO")
    subject = await upstream.put("team/app", IMAGE)
    good = {str(await upstream.put("team/app", each)) for each in GOOD}
    bad = _bad(monkeypatch, upstream, answer)

    assert await _listed(mirror, subject) == good
    assert f"the referrer hub/team/app@{bad} cannot be fetched" in caplog.text


async def test_a_referrer_that_is_not_to_be_mirrored_hides_no_other(
    make_mirror: MakeMirror, upstream: FakeUpstream
) -> None:
    mirror = make_mirror(rules=MirrorRules(platforms=(Platform("linux", "riscv64"),), companions=False))
    subject = await upstream.put("team/app", IMAGE)
    other = random_image(2)
    document = json.loads(other.manifest.data) | {"subject": IMAGE.manifest.descriptor}
    await upstream.put("team/app", replace(other, manifest=Content(OCI_MANIFEST, json.dumps(document).encode())))
    good = {str(await upstream.put("team/app", each)) for each in GOOD}

    assert await _listed(mirror, subject) == good


@pytest.mark.parametrize("trouble", [UpstreamUnavailable("503"), UpstreamDenied("log in")])
async def test_referrers_that_only_cannot_be_had_now_are_not_taken_for_all(
    mirror: MirroringRegistry, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, trouble: MirrorError
) -> None:
    subject = await upstream.put("team/app", IMAGE)
    _bad(monkeypatch, upstream, trouble)

    for _ in range(2):
        with pytest.raises(Exception, match=trouble.message):
            await mirror.referrers(APP, subject, None, "", 100)


async def test_referrers_are_fetched_a_few_at_a_time(
    mirror: MirroringRegistry, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = await upstream.put("team/app", IMAGE)
    for number in range(20):
        await upstream.put("team/app", artifact(b"%d" % number, "application/vnd.sig", subject=IMAGE.manifest))
    fetch, under_way, most = upstream.manifest, 0, 0

    async def manifest(name: RepositoryName, reference: Reference) -> StoredManifest:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return await fetch(name, reference)

    monkeypatch.setattr(upstream, "manifest", manifest)

    assert len(await _listed(mirror, subject)) == 20
    assert 1 < most <= 8


async def test_more_referrers_than_are_fetched_are_told_of(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_through, "_MOST_REFERRERS", 4)
    monkeypatch.setattr(pull_through, "_REFERRERS_AT_ONCE", 3)
    subject = await upstream.put("team/app", IMAGE)
    for each in GOOD[:4]:
        await upstream.put("team/app", each)
    all_of_them = await make_mirror().referrers(APP, subject, None, "", 100)
    await upstream.put("team/app", GOOD[4])
    mirror = make_mirror()

    for _ in range(2):
        page = await mirror.referrers(APP, subject, None, "", 100)

        assert len(page.descriptors) >= 4
        assert page.warning is not None
        assert "has more than 4 referrers" in page.warning
    assert (len(all_of_them.descriptors), all_of_them.warning) == (4, None)
    assert upstream.asked["referrers"] == 2


@pytest.mark.parametrize("answer", [*BAD, UpstreamUnavailable("503")])
async def test_what_cosign_has_attached_comes_though_a_referrer_does_not(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, answer: MirrorError | bytes
) -> None:
    mirror = make_mirror(rules=MirrorRules())
    subject = await upstream.put("team/app", IMAGE, "latest")
    good = [await upstream.put("team/app", each) for each in GOOD]
    signature = await upstream.put("team/app", random_image(3), cosign_tags(subject)[0])
    _bad(monkeypatch, upstream, answer)

    await mirror.get_manifest(APP, Tag("latest"))
    await asyncio.gather(*mirror._through._companions._tasks)
    upstream.failure = UpstreamUnavailable("no answer")

    for digest in (*good, signature):
        assert (await mirror.get_manifest(APP, digest)).digest == digest


async def test_an_upstream_that_lists_no_referrers_hides_nothing_that_cosign_has_attached(
    make_mirror: MakeMirror, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = make_mirror(rules=MirrorRules())
    subject = await upstream.put("team/app", IMAGE, "latest")
    signature = await upstream.put("team/app", random_image(3), cosign_tags(subject)[0])

    async def referrers(*_: object) -> AsyncIterator[Referrer]:
        for answer in BAD[:1]:
            if isinstance(answer, MirrorError):
                raise answer
            yield Referrer(OCI_MANIFEST, subject, 0, None)

    monkeypatch.setattr(upstream, "referrers", referrers)

    await mirror.get_manifest(APP, Tag("latest"))
    await asyncio.gather(*mirror._through._companions._tasks)
    upstream.failure = UpstreamUnavailable("no answer")

    assert (await mirror.get_manifest(APP, signature)).digest == signature
