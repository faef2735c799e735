"""A registry elsewhere as a place: ours, ours behind logins, and Debian's docker-registry; read and written."""

from collections.abc import AsyncIterator, Iterator

import pytest

from registry.content.digest import Digest
from registry.content.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestUnknown,
    NameUnknown,
    SizeInvalid,
)
from registry.content.names import RepositoryName, Tag
from registry.mirror.credentials import Credentials, Given
from registry.mirror.endpoints import Endpoint
from registry.mirror.errors import UpstreamDenied, UpstreamRefused
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import UpstreamOptions
from tests.clients.registry_view import RegistryView
from tests.guarded import PASSWORDS, Guarded
from tests.images import artifact, index, random_bytes, random_image
from tests.live_server import live_server
from tests.mirror.places import NAME, blocks, push, read_blob, stored

_ALICE = Given(Credentials("alice", PASSWORDS["alice"]))


@pytest.fixture(scope="module", params=["ours", "ours-with-logins", "docker-registry"])
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpstreamOptions]:
    """How to reach a running registry, one after the other."""
    if request.param == "ours-with-logins":
        server: Guarded = request.getfixturevalue("behind_logins")
        yield UpstreamOptions(Endpoint.parse(server.address), _ALICE)
    elif request.param == "ours":
        with live_server(tmp_path_factory.mktemp("upstream")) as ours:
            yield UpstreamOptions(Endpoint.parse(ours.address))
    else:
        old: RegistryView = request.getfixturevalue("old")
        yield UpstreamOptions(Endpoint.parse(old.address))


@pytest.fixture
async def upstream(options: UpstreamOptions) -> AsyncIterator[Upstream]:
    """That registry."""
    async with Upstream(options) as found:
        yield found


async def test_an_index_that_was_put_comes_back_byte_for_byte(upstream: Upstream) -> None:
    images = [random_image(100 + n, architecture=name) for n, name in enumerate(("amd64", "arm64"))]
    value = index(images)

    digest = await push(upstream, NAME, value, "v1", "v2")

    assert {tag async for tag in upstream.tags(NAME)} >= {"v1", "v2"}
    assert await upstream.resolve(NAME, Tag("v2")) == digest
    assert await upstream.manifest(NAME, Tag("v1")) == stored(value.manifest)
    for image in images:
        assert await upstream.manifest(NAME, Digest.parse(image.manifest.digest)) == stored(image.manifest)
        for content in image.blobs:
            assert await upstream.has_blob(NAME, Digest.parse(content.digest))
            assert await read_blob(upstream, NAME, content) == content.data


async def test_a_blob_is_read_from_any_byte_on(upstream: Upstream) -> None:
    data = random_bytes(300_000, 7)
    await upstream.put_blob(NAME, Digest.of(data), len(data), blocks(data))

    async with upstream.blob(NAME, Digest.of(data), 123_456) as opened:
        assert opened.size == len(data)
        assert b"".join([block async for block in opened.blocks]) == data[123_456:]


async def test_part_of_a_blob_is_read_alone(upstream: Upstream) -> None:
    data = random_bytes(300_000, 8)
    digest = Digest.of(data)
    await upstream.put_blob(NAME, digest, len(data), blocks(data))

    assert await upstream.blob_part(NAME, digest, 0, 300_000) == data
    assert await upstream.blob_part(NAME, digest, 123_456, 1000) == data[123_456:124_456]
    with pytest.raises(BlobUnknown):
        await upstream.blob_part(NAME, Digest.of(b"not there"), 0, 1000)


async def test_a_blob_goes_in_chunks_where_that_is_asked_for(options: UpstreamOptions) -> None:
    data = random_bytes(250_000, 8)
    chunked = UpstreamOptions(options.endpoint, options.credentials, chunk_bytes=100_000)

    async with Upstream(chunked) as upstream:
        await upstream.put_blob(NAME, Digest.of(data), len(data), blocks(data, 33_333))
        async with upstream.blob(NAME, Digest.of(data)) as opened:
            assert b"".join([block async for block in opened.blocks]) == data


async def test_an_empty_blob_goes_and_comes(upstream: Upstream) -> None:
    await upstream.put_blob(NAME, Digest.of(b""), 0, blocks(b""))

    async with upstream.blob(NAME, Digest.of(b"")) as opened:
        assert (opened.size, [block async for block in opened.blocks]) == (0, [])


async def test_a_blob_is_mounted_from_another_repository_of_the_registry(upstream: Upstream) -> None:
    data, other = random_bytes(10_000, 9), RepositoryName.parse("team/other")
    await upstream.put_blob(NAME, Digest.of(data), len(data), blocks(data))

    assert await upstream.mount(other, Digest.of(data), NAME)
    assert await upstream.has_blob(other, Digest.of(data))
    assert not await upstream.mount(other, Digest.of(b"is nowhere"), NAME)


@pytest.mark.parametrize(("size", "error"), [(9_999, SizeInvalid), (10_001, SizeInvalid), (10_000, DigestInvalid)])
async def test_a_blob_of_another_size_or_digest_is_not_stored(
    upstream: Upstream, size: int, error: type[Exception]
) -> None:
    data = random_bytes(10_000, 10)
    digest = Digest.of(b"something else" if error is DigestInvalid else data)

    with pytest.raises(error):
        await upstream.put_blob(NAME, digest, size, blocks(data, 3_000))
    assert not await upstream.has_blob(NAME, digest)


async def test_what_reading_the_source_raises_comes_out_and_nothing_is_stored(upstream: Upstream) -> None:
    data = random_bytes(200_000, 11)

    async def broken() -> AsyncIterator[bytes]:
        yield data[:100_000]
        raise LookupError("the source has gone")

    with pytest.raises(LookupError, match="the source has gone"):
        await upstream.put_blob(NAME, Digest.of(data), len(data), broken())
    assert not await upstream.has_blob(NAME, Digest.of(data))


async def test_what_is_not_there_is_said_in_the_words_of_the_domain(upstream: Upstream) -> None:
    await push(upstream, NAME, random_image(12), "there")
    nowhere = RepositoryName.parse("team/nowhere")

    assert not await upstream.has_manifest(NAME, Digest.of(b"nothing"))
    assert not await upstream.has_blob(NAME, Digest.of(b"nothing"))
    with pytest.raises(ManifestUnknown):
        await upstream.manifest(NAME, Tag("not-there"))
    with pytest.raises(ManifestUnknown):
        await upstream.resolve(NAME, Tag("not-there"))
    with pytest.raises(BlobUnknown):
        await upstream.blob(NAME, Digest.of(b"nothing")).__aenter__()
    with pytest.raises(NameUnknown):
        [tag async for tag in upstream.tags(nowhere)]


async def test_tags_are_listed_completely(upstream: Upstream) -> None:
    name = RepositoryName.parse("team/many")
    image = random_image(13)
    tags = [f"v{number}" for number in range(15)]

    await push(upstream, name, image, *tags)

    assert sorted([tag async for tag in upstream.tags(name)]) == sorted(tags)


async def test_what_has_a_subject_is_found_as_its_referrer(upstream: Upstream) -> None:
    subject = random_image(14)
    await push(upstream, NAME, subject, "signed")
    signatures = [artifact(b"%d" % n, "application/vnd.test", subject=subject.manifest) for n in range(2)]

    for signature in signatures:
        await push(upstream, NAME, signature)

    found = [referrer async for referrer in upstream.referrers(NAME, Digest.parse(subject.manifest.digest))]
    assert {str(referrer.digest) for referrer in found} == {each.manifest.digest for each in signatures}
    assert {referrer.artifact_type for referrer in found} == {"application/vnd.test"}
    assert [each async for each in upstream.referrers(NAME, Digest.of(b"nothing"))] == []


async def test_a_manifest_can_be_deleted(upstream: Upstream) -> None:
    digest = await push(upstream, NAME, random_image(15), "short")

    await upstream.delete_manifest(NAME, digest)

    assert not await upstream.has_manifest(NAME, digest)
    with pytest.raises(ManifestUnknown):
        await upstream.delete_manifest(NAME, digest)


async def test_a_tag_alone_can_be_deleted_or_the_registry_says_that_it_cannot(upstream: Upstream) -> None:
    digest = await push(upstream, NAME, random_image(16), "one", "two")

    try:
        await upstream.delete_tag(NAME, Tag("one"))
    except UpstreamRefused as error:
        assert "to delete one of team/app" in error.message
    else:
        assert "one" not in [tag async for tag in upstream.tags(NAME)]
    assert await upstream.resolve(NAME, Tag("two")) == digest


async def test_without_a_login_or_with_a_wrong_password_it_is_denied(behind_logins: Guarded) -> None:
    endpoint = Endpoint.parse(behind_logins.address)
    for source in (Given(), Given(Credentials("alice", "wrong"))):
        async with Upstream(UpstreamOptions(endpoint, source)) as upstream:
            with pytest.raises(UpstreamDenied):
                await upstream.manifest(NAME, Tag("v1"))
            with pytest.raises(UpstreamDenied):
                await upstream.put_blob(NAME, Digest.of(b"x"), 1, blocks(b"x"))


async def test_whoever_is_not_logged_in_pulls_what_everybody_may(behind_logins: Guarded) -> None:
    name, endpoint = RepositoryName.parse("public/app"), Endpoint.parse(behind_logins.address)
    async with Upstream(UpstreamOptions(endpoint, _ALICE)) as upstream:
        digest = await push(upstream, name, random_image(17), "v1")

    async with Upstream(UpstreamOptions(endpoint)) as upstream:
        assert await upstream.resolve(name, Tag("v1")) == digest


async def test_a_robot_token_logs_in_as_a_password(behind_logins: Guarded) -> None:
    robot = Given(Credentials("ci", behind_logins.robot("ci", "team/*:pull,push")))

    async with Upstream(UpstreamOptions(Endpoint.parse(behind_logins.address), robot)) as upstream:
        digest = await push(upstream, NAME, random_image(18), "robot")
        assert await upstream.has_manifest(NAME, digest)
