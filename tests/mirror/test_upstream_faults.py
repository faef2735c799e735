"""What registries elsewhere, and networks on the way to them, do wrong: each ends well, or in an error of ours."""

import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from registry.content.digest import Digest
from registry.content.errors import ContentCorrupt, ManifestUnknown, SizeInvalid
from registry.content.names import RepositoryName, Tag
from registry.mirror.credentials import Credentials, Given
from registry.mirror.endpoints import Endpoint
from registry.mirror.errors import (
    MirrorError,
    RateLimited,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import UpstreamOptions
from registry.mirror.upstream_probe import probed
from tests.images import OCI_INDEX, OCI_MANIFEST, artifact, random_image
from tests.mirror.places import NAME, blocks, stored
from tests.mirror.scripted import Asked, Says, scripted
from tests.mirror.upstreams import DATA, DIGEST, PATIENCE, read, upstream_at
from tests.oidc_issuer import write_certificate


@pytest.mark.parametrize("headers", [{"Docker-Content-Digest": f"sha256:{'0' * 64}"}])
async def test_a_manifest_with_another_digest_than_the_registry_says_is_not_taken(headers: dict[str, str]) -> None:
    body = random_image(1).manifest.data
    with scripted(lambda _: Says(200, body, {"Content-Type": OCI_MANIFEST, **headers})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(ContentCorrupt, match="not sha256:0000"):
                await upstream.manifest(NAME, Tag("v1"))


async def test_a_manifest_with_another_digest_than_was_asked_for_is_not_taken() -> None:
    with scripted(lambda _: Says(200, b"{}", {"Content-Type": OCI_MANIFEST})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(ContentCorrupt):
                await upstream.manifest(NAME, DIGEST)
            with pytest.raises(ContentCorrupt):
                await upstream.resolve(NAME, DIGEST)


async def test_a_huge_manifest_is_not_read_to_its_end() -> None:
    with scripted(lambda _: Says(200, b" " * 5_000_000, {"Content-Type": OCI_MANIFEST})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamMisbehaved, match="more than 4194304 bytes"):
                await upstream.manifest(NAME, Tag("v1"))


async def test_an_answer_that_drips_is_given_up_although_it_is_never_silent() -> None:
    with scripted(lambda _: Says(200, b" " * 1000, {"Content-Type": OCI_MANIFEST}, drip=0.05)) as registry:
        patience = replace(PATIENCE, answer=0.2, attempts=2)
        async with Upstream(UpstreamOptions(Endpoint.parse(registry.address), patience=patience)) as upstream:
            with pytest.raises(UpstreamUnavailable, match=r"more than 0\.2 s"):
                await upstream.manifest(NAME, Tag("v1"))
    assert len(registry.asked) == 2


async def test_where_head_is_not_answered_properly_the_manifest_itself_is_asked_for() -> None:
    body = random_image(1).manifest.data

    def script(asked: Asked) -> Says:
        return Says(405) if asked.method == "HEAD" else Says(200, body, {"Content-Type": OCI_MANIFEST})

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert await upstream.resolve(NAME, Tag("v1")) == Digest.of(body)


async def test_too_many_requests_are_told_with_the_time_to_wait() -> None:
    with scripted(lambda _: Says(429, headers={"Retry-After": "120"})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(RateLimited) as raised:
                await upstream.resolve(NAME, Tag("v1"))
    assert raised.value.retry_after == 120
    assert len(registry.asked) == 1


@pytest.mark.parametrize("text", ["", "soon", "-1", "Thu, 01 Jan 2026 00:00:00 +99999999999999999999"])
async def test_a_time_to_wait_that_is_none_is_left_out(text: str) -> None:
    with scripted(lambda _: Says(429, headers={"Retry-After": text})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(RateLimited) as raised:
                await upstream.resolve(NAME, Tag("v1"))
    assert raised.value.retry_after is None


async def test_no_cookie_is_sent_back() -> None:
    """Some registries take a session's cookie for a browser, and ask for what only a browser has; none is needed."""
    with scripted(lambda _: Says(404, headers={"Set-Cookie": "sid=secret; Path=/"})) as registry:
        async with upstream_at(registry) as upstream:
            for _ in range(2):
                with pytest.raises(ManifestUnknown):
                    await upstream.resolve(NAME, Tag("v1"))
    assert all("cookie" not in asked.headers for asked in registry.asked)


async def test_a_blob_that_is_refused_drop_by_drop_is_given_up() -> None:
    with scripted(lambda _: Says(503, b" " * 1000, drip=0.05)) as registry:
        patience = replace(PATIENCE, answer=0.2, attempts=2)
        async with Upstream(UpstreamOptions(Endpoint.parse(registry.address), patience=patience)) as upstream:
            with pytest.raises(UpstreamUnavailable, match=r"more than 0\.2 s"):
                await read(upstream)
    assert len(registry.asked) == 2


async def test_a_registry_that_fails_for_a_moment_is_asked_again() -> None:
    failures = [Says(503, headers={"Retry-After": "0"}), Says(429)]
    body = random_image(1).manifest.data

    def script(_: Asked) -> Says:
        return failures.pop() if failures else Says(200, body, {"Content-Type": OCI_MANIFEST})

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert (await upstream.manifest(NAME, Tag("v1"))).data == body


async def test_a_registry_that_fails_for_good_is_given_up_with_its_words() -> None:
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "the disk\nis \x1b[31mgone"}]}).encode()
    with scripted(lambda _: Says(500, body)) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamUnavailable, match=r"fails with 500: the disk is  \[31mgone"):
                await upstream.manifest(NAME, Tag("v1"))
    assert len(registry.asked) == 3


async def test_nobody_there_is_unavailable() -> None:
    with scripted(lambda _: Says()) as registry:
        address = registry.address
    async with upstream_at(address) as upstream:
        with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
            await upstream.manifest(NAME, Tag("v1"))


def _tags(*tags: object, link: str = "") -> Says:
    return Says(200, json.dumps({"tags": tags}).encode(), {"Link": link} if link else {})


async def test_pages_are_followed_at_the_registry_itself_wherever_a_link_points_to() -> None:
    def script(asked: Asked) -> Says:
        return _tags("b") if "last=a" in asked.path else _tags("a", link='<http://evil.test/v2/x?last=a>; rel="next"')

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert [tag async for tag in upstream.tags(NAME)] == ["a", "b"]
    assert registry.paths() == ["/v2/team/app/tags/list?n=1000", "/v2/x?last=a"]


async def test_pages_that_link_in_a_circle_end_in_an_error() -> None:
    def script(asked: Asked) -> Says:
        here = "1" if asked.path.endswith("=2") else "2"
        return _tags("a", link=f'</v2/team/app/tags/list?last={here}>; rel="next"')

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamMisbehaved, match="without an end"):
                [tag async for tag in upstream.tags(NAME)]
    assert len(registry.asked) == 3


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"tags": {}}', b'{"tags": null}', b'{"tags": ["../..", 7, ".x"]}']
)
async def test_lists_that_are_none_give_nothing_or_an_error_of_ours(body: bytes) -> None:
    with scripted(lambda _: Says(200, body)) as registry:
        async with upstream_at(registry) as upstream:
            try:
                assert [tag async for tag in upstream.tags(NAME)] == []
                assert [name async for name in upstream.repositories()] == []
            except MirrorError as error:
                assert "cannot be read" in error.message


async def test_a_redirect_to_another_host_is_followed_without_the_login() -> None:
    with scripted(lambda _: Says(200, DATA)) as bucket:

        def script(asked: Asked) -> Says:
            if "authorization" not in asked.headers:
                return Says(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Says(307, headers={"Location": f"http://{bucket.address}/blob?signature=secret"})

        with scripted(script) as registry:
            async with upstream_at(registry, Given(Credentials("alice", "secret"))) as upstream:
                assert await read(upstream) == DATA

    assert [asked.path for asked in bucket.asked] == ["/blob?signature=secret"]
    assert "authorization" not in bucket.asked[0].headers
    assert "cookie" not in bucket.asked[0].headers


async def test_redirects_without_an_end_are_not_followed_without_an_end() -> None:
    with scripted(lambda asked: Says(307, headers={"Location": f"{asked.path}x"})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamMisbehaved, match="from one place to the next"):
                await read(upstream)
    assert len(registry.asked) == 6


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[", "//"])
async def test_redirects_to_what_is_no_place_are_refused(location: str) -> None:
    with scripted(lambda _: Says(307, headers={"Location": location})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(MirrorError):
                await read(upstream)
    assert len(registry.asked) <= 6


async def test_an_upload_that_goes_on_elsewhere_goes_there_without_the_login() -> None:
    with scripted(lambda _: Says(201)) as other:

        def script(asked: Asked) -> Says:
            if "authorization" not in asked.headers:
                return Says(401, headers={"WWW-Authenticate": "Basic"})
            return Says(202, headers={"Location": f"http://{other.address}/go-on?state=1"})

        with scripted(script) as registry:
            async with upstream_at(registry, Given(Credentials("alice", "secret"))) as upstream:
                await upstream.put_blob(NAME, DIGEST, len(DATA), blocks(DATA))

    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].body == DATA
    assert f"digest={str(DIGEST).replace(':', '%3A')}" in other.asked[0].path


async def test_a_chunk_that_was_cut_goes_on_from_where_the_registry_says() -> None:
    data = DATA[:250_000]
    got = bytearray()
    broken: list[int] = [1]

    def script(asked: Asked) -> Says:
        place = {"Location": "/v2/team/app/blobs/uploads/1", "Range": f"0-{len(got) - 1}"}
        if asked.method == "PATCH":
            if len(got) == 100_000 and broken:
                broken.pop()
                got.extend(asked.body[:30_000])
                return Says(500)
            assert asked.headers["content-range"].startswith(f"{len(got)}-")
            got.extend(asked.body)
        return Says({"POST": 202, "PATCH": 202, "GET": 204, "PUT": 201}[asked.method], headers=place)

    with scripted(script) as registry:
        options = UpstreamOptions(Endpoint.parse(registry.address), patience=PATIENCE, chunk_bytes=100_000)
        async with Upstream(options) as upstream:
            await upstream.put_blob(NAME, Digest.of(data), len(data), blocks(data))
    assert bytes(got) == data


async def test_a_registry_that_refuses_a_blob_is_quoted_and_the_upload_is_cancelled() -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "quota exceeded"}]}).encode()

    def script(asked: Asked) -> Says:
        return Says(202, headers={"Location": "/up"}) if asked.method == "POST" else Says(413, body)

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamRefused, match=r"\(413\): quota exceeded"):
                await upstream.put_blob(NAME, DIGEST, len(DATA), blocks(DATA))
    assert registry.paths("DELETE") == ["/up"]


async def test_a_manifest_that_was_stored_under_another_digest_is_told() -> None:
    image = random_image(3)
    with scripted(lambda _: Says(201, headers={"Docker-Content-Digest": f"sha256:{'1' * 64}"})) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamMisbehaved, match="has stored"):
                await upstream.put_manifest(NAME, stored(image.manifest), [Tag("v1")])


async def test_referrers_that_cannot_be_read_are_an_error() -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"digest": "sha256:../.."}]}).encode()
    with scripted(lambda _: Says(200, body)) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamMisbehaved, match="referrer that cannot be read"):
                [referrer async for referrer in upstream.referrers(NAME, DIGEST)]


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"[" * 10_000, random_image(5).manifest.data])
async def test_a_referrers_tag_that_is_no_index_lists_nothing_and_is_not_written_over(body: bytes) -> None:
    signature = artifact(b"signed", "application/vnd.test", subject=random_image(4).manifest)

    def script(asked: Asked) -> Says:
        if asked.method == "PUT":
            return Says(201)
        return Says(404) if "/referrers/" in asked.path else Says(200, body, {"Content-Type": OCI_INDEX})

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert [referrer async for referrer in upstream.referrers(NAME, DIGEST)] == []
            with pytest.raises(UpstreamMisbehaved, match="no index"):
                await upstream.put_manifest(NAME, stored(signature.manifest))
    assert len(registry.paths("PUT")) == 1


@pytest.mark.parametrize("status", [403, 404, 405, 500])
@pytest.mark.parametrize("entered", [True, False])
async def test_a_referrer_is_there_when_the_tag_schema_has_it_however_the_api_is_refused(
    status: int, *, entered: bool
) -> None:
    subject = random_image(5).manifest
    signature = artifact(b"signature", "application/vnd.test", subject=subject).manifest
    listed = {"mediaType": signature.media_type, "digest": signature.digest, "size": len(signature.data)}
    tagged = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed] if entered else []})

    def script(asked: Asked) -> Says:
        if "/referrers/" in asked.path:
            return Says(status)
        return Says(200, tagged.encode(), {"Content-Type": OCI_INDEX})

    digest = Digest.parse(signature.digest)
    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert await upstream.has_manifest(NAME, digest)
            assert await upstream.has_manifest(NAME, digest, Digest.parse(subject.digest)) is entered


async def test_two_that_sign_at_the_same_time_are_both_entered_into_the_tag_schema() -> None:
    subject = random_image(4).manifest
    kept: dict[str, bytes] = {}

    def script(asked: Asked) -> Says:
        if asked.method == "PUT":
            kept[asked.path] = asked.body
            return Says(201)
        if asked.path in kept:
            return Says(200, kept[asked.path], {"Content-Type": OCI_INDEX})
        return Says(404)

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            signatures = [artifact(b"%d" % n, "application/vnd.test", subject=subject) for n in range(3)]
            for signature in signatures:
                await upstream.put_manifest(NAME, stored(signature.manifest))
            found = [each async for each in upstream.referrers(NAME, Digest.parse(subject.digest))]
    assert {str(each.digest) for each in found} == {each.manifest.digest for each in signatures}


async def test_a_repository_of_docker_hub_gets_its_whole_name() -> None:
    endpoint = Endpoint.parse("docker.io")

    assert endpoint.url == "https://registry-1.docker.io"
    assert endpoint.repository(RepositoryName("alpine")) == "library/alpine"
    assert endpoint.repository(RepositoryName("grafana/loki")) == "grafana/loki"


async def test_an_upload_whose_source_is_too_short_is_not_finished() -> None:
    def script(asked: Asked) -> Says:
        return Says(202, headers={"Location": "/up"})

    async def short() -> AsyncIterator[bytes]:
        yield b"x"

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(SizeInvalid):
                await upstream.put_blob(NAME, DIGEST, 2, short())


async def test_a_proxy_of_the_environment_is_asked_and_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    body = random_image(5).manifest.data
    with (
        scripted(lambda _: Says(200, body, {"Content-Type": OCI_MANIFEST})) as proxy,
        scripted(lambda _: Says(404)) as own,
    ):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        options = UpstreamOptions(Endpoint.parse("registry.test", plain_http=True), patience=PATIENCE)
        async with Upstream(options) as upstream, upstream_at(own) as local:
            assert (await upstream.manifest(NAME, Tag("v1"))).data == body
            with pytest.raises(ManifestUnknown):
                await local.manifest(NAME, Tag("v1"))

    assert proxy.paths() == ["http://registry.test/v2/team/app/manifests/v1"]


async def test_a_registry_with_a_certificate_of_its_own_is_trusted_by_its_authority_alone(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "server.crt")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with scripted(lambda _: Says(404), context) as registry:
        endpoint = Endpoint.parse(f"https://{registry.address}")
        for trusting in (certificate, tmp_path):  # a file, and a directory as docker's certs.d
            async with Upstream(UpstreamOptions(endpoint, ca_file=trusting, patience=PATIENCE)) as upstream:
                with pytest.raises(ManifestUnknown):
                    await upstream.manifest(NAME, Tag("v1"))
        async with Upstream(UpstreamOptions(endpoint, verify_tls=False, patience=PATIENCE)) as upstream:
            with pytest.raises(ManifestUnknown):
                await upstream.manifest(NAME, Tag("v1"))
        async with Upstream(UpstreamOptions(endpoint, patience=PATIENCE)) as upstream:
            with pytest.raises(UpstreamUnavailable, match="certificate"):
                await upstream.manifest(NAME, Tag("v1"))


async def test_without_a_check_of_its_certificate_a_registry_may_speak_without_encryption() -> None:
    with scripted(lambda _: Says(200)) as registry:
        encrypted = Endpoint(registry.address, f"https://{registry.address}")

        found = await probed(UpstreamOptions(encrypted, verify_tls=False))
        checked = await probed(UpstreamOptions(encrypted))

    assert found.endpoint.url == f"http://{registry.address}"
    assert checked.endpoint == encrypted


async def test_a_registry_may_be_silent_for_longer_when_it_has_got_a_blob() -> None:
    def script(asked: Asked) -> Says:
        if asked.method == "PUT":
            time.sleep(0.5)
        return Says(201) if asked.method == "PUT" else Says(202, headers={"Location": "/up"})

    with scripted(script) as registry:
        patience = replace(PATIENCE, silence=0.2)
        for chunk in (0, 1_000_000):
            options = UpstreamOptions(Endpoint.parse(registry.address), patience=patience, chunk_bytes=chunk)
            async with Upstream(options) as upstream:
                await upstream.put_blob(NAME, DIGEST, len(DATA), blocks(DATA))
    assert registry.paths("DELETE") == []
