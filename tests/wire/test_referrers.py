"""Referrers: end-12a and end-12b, `subject` on push, and what another registry's clients left under the tag schema."""

import json
from urllib.parse import quote

import pytest

from tests.images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Content, Image, artifact, image, index, random_image
from tests.wire.repository import Repository, digest_of

SIGNATURE, SBOM = "application/x-signature", "application/vnd.example.sbom+json"


@pytest.fixture
def subject(repository: Repository, seed: int) -> Image:
    value = random_image(seed, layer_size=100)
    repository.push("subject", value)
    return value


def _refer(repository: Repository, subject: Content, kind: str, payload: str) -> str:
    value = artifact(payload.encode(), kind, subject=subject)
    for blob in value.blobs:
        repository.push_blob(blob.data)
    reply = repository.push_content(value.manifest.digest, value.manifest)
    assert reply.status == 201, reply.body
    assert reply.header("OCI-Subject") == subject.digest
    return value.manifest.digest


def _listed(repository: Repository, subject: Content, parameters: str = "") -> list[str]:
    reply = repository.call("GET", f"referrers/{subject.digest}{parameters}")
    assert reply.status == 200, reply.body
    assert reply.header("Content-Type") == OCI_INDEX
    assert (reply.json["schemaVersion"], reply.json["mediaType"]) == (2, OCI_INDEX)
    return [entry["digest"] for entry in reply.json["manifests"]]


def test_a_subject_without_referrers_has_an_empty_list(repository: Repository, subject: Image) -> None:
    assert _listed(repository, subject.manifest) == []


def test_a_subject_that_is_not_there_has_a_list_as_well(repository: Repository, subject: Image) -> None:
    """distribution-spec: the API must not answer 404. Referrers may be pushed before their subject."""
    nowhere = Content(OCI_MANIFEST, b"nowhere")
    assert _listed(repository, nowhere) == []

    digest = _refer(repository, nowhere, SIGNATURE, "one")

    assert _listed(repository, nowhere) == [digest]


def test_every_referrer_is_listed_with_what_the_spec_wants(repository: Repository, subject: Image) -> None:
    base = image([], annotations={"org.example": "früh"})
    repository.push_blob(base.config.data)
    plain = {**json.loads(base.manifest.data), "subject": subject.manifest.descriptor}
    child = {**json.loads(index([]).manifest.data), "subject": subject.manifest.descriptor}
    pushed = {}
    for media_type, document in ((OCI_MANIFEST, plain), (OCI_INDEX, child)):
        data = json.dumps(document).encode()
        assert repository.put_manifest(digest_of(data), data, media_type).header("OCI-Subject")
        pushed[media_type] = data

    reply = repository.call("GET", f"referrers/{subject.manifest.digest}")

    entries = {entry["mediaType"]: entry for entry in reply.json["manifests"]}
    image_data, index_data = pushed[OCI_MANIFEST], pushed[OCI_INDEX]
    assert entries == {
        OCI_MANIFEST: {
            "mediaType": OCI_MANIFEST,
            "digest": digest_of(image_data),
            "size": len(image_data),
            "artifactType": OCI_CONFIG,
            "annotations": {"org.example": "früh"},
        },
        OCI_INDEX: {"mediaType": OCI_INDEX, "digest": digest_of(index_data), "size": len(index_data)},
    }


def test_the_filter_keeps_one_type_and_says_so(repository: Repository, subject: Image) -> None:
    signatures = {_refer(repository, subject.manifest, SIGNATURE, f"s{number}") for number in range(3)}
    sboms = {_refer(repository, subject.manifest, SBOM, f"b{number}") for number in range(2)}

    for kind, digests in ((SIGNATURE, signatures), (SBOM, sboms), ("a/b", set())):
        reply = repository.call("GET", f"referrers/{subject.manifest.digest}?artifactType={quote(kind, safe='')}")
        assert {entry["digest"] for entry in reply.json["manifests"]} == digests
        assert reply.header("OCI-Filters-Applied") == "artifactType"
    reply = repository.call("GET", f"referrers/{subject.manifest.digest}")
    assert {entry["digest"] for entry in reply.json["manifests"]} == signatures | sboms
    assert "OCI-Filters-Applied" not in reply.headers


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("kind", ["", SBOM])
def test_following_the_links_gives_every_referrer_once(
    repository: Repository, subject: Image, size: int, kind: str
) -> None:
    pushed = [_refer(repository, subject.manifest, (SIGNATURE, SBOM)[number % 2], str(number)) for number in range(8)]
    wanted = sorted(pushed[1::2] if kind else pushed)
    following: str | None = repository[f"referrers/{subject.manifest.digest}?n={size}"]
    following = f"{following}&artifactType={quote(kind, safe='')}" if kind else following
    found: list[str] = []
    while following is not None:
        reply = repository.wire.call("GET", following)
        found += [entry["digest"] for entry in reply.json["manifests"]]
        assert len(reply.json["manifests"]) == size or reply.next is None
        assert ("OCI-Filters-Applied" in reply.headers) == bool(kind)
        following = reply.next

    assert found == wanted


def test_a_list_that_does_not_fit_a_manifest_comes_in_pages(repository: Repository, seed: int) -> None:
    """distribution-spec: `Link` when the list cannot be returned in a single manifest, which has up to 4 MiB."""
    subject = Content(OCI_MANIFEST, b"%d" % seed)
    pushed = set()
    for number in range(6):
        document = {
            **json.loads(index([]).manifest.data),
            "subject": subject.descriptor,
            "annotations": {"number": str(number), "text": "é" * 700_000},
        }
        data = json.dumps(document, ensure_ascii=False).encode()
        assert repository.put_manifest(digest_of(data), data, OCI_INDEX).status == 201
        pushed.add(digest_of(data))

    found: list[str] = []
    pages = 0
    following: str | None = repository[f"referrers/{subject.digest}"]
    while following is not None:
        reply = repository.wire.call("GET", following)
        assert len(reply.body) <= 4 * 1024 * 1024
        found += [entry["digest"] for entry in reply.json["manifests"]]
        following = reply.next
        pages += 1

    assert sorted(found) == sorted(pushed)
    assert pages == 3


def test_a_page_of_nothing_is_empty_and_has_no_next(repository: Repository, subject: Image) -> None:
    _refer(repository, subject.manifest, SBOM, "one")

    reply = repository.call("GET", f"referrers/{subject.manifest.digest}?n=0")

    assert (reply.status, reply.json["manifests"], reply.next) == (200, [], None)


def test_a_deleted_referrer_is_listed_no_more(repository: Repository, subject: Image) -> None:
    staying, going = (_refer(repository, subject.manifest, SBOM, payload) for payload in ("one", "two"))

    repository.call("DELETE", f"manifests/{going}")
    assert _listed(repository, subject.manifest) == [staying]
    assert _refer(repository, subject.manifest, SBOM, "two") == going
    assert _listed(repository, subject.manifest) == sorted([staying, going])


def test_a_subject_that_is_deleted_keeps_its_referrers(repository: Repository, subject: Image) -> None:
    digest = _refer(repository, subject.manifest, SBOM, "one")

    repository.call("DELETE", f"manifests/{subject.manifest.digest}")

    assert _listed(repository, subject.manifest) == [digest]


def test_a_subject_of_another_algorithm_is_found_by_its_own_digest(repository: Repository, unique: bytes) -> None:
    digest = digest_of(unique, "sha512")
    subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(unique)}
    data = json.dumps({**json.loads(index([]).manifest.data), "subject": subject}).encode()

    reply = repository.put_manifest("latest", data, OCI_INDEX)

    assert reply.header("OCI-Subject") == digest
    [entry] = repository.call("GET", f"referrers/{digest}").json["manifests"]
    assert entry["digest"] == digest_of(data)


def test_what_clients_list_under_the_tag_schema_is_listed_and_not_doubled(
    repository: Repository, subject: Image
) -> None:
    """distribution-spec, "Referrers Tag Schema": clients that met an older registry keep the list themselves."""
    digests = [_refer(repository, subject.manifest, SBOM, payload) for payload in ("one", "two")]
    entries = [{"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "artifactType": SBOM} for digest in digests]
    listing = json.dumps({**json.loads(index([]).manifest.data), "manifests": entries}).encode()
    repository.put_manifest(subject.manifest.digest.replace(":", "-"), listing, OCI_INDEX)

    assert _listed(repository, subject.manifest) == sorted(digests)


@pytest.mark.parametrize("digest", ["sha256:00", "latest", "md5:" + "0" * 32, "sha256:" + "G" * 64])
def test_what_is_no_digest_is_refused(repository: Repository, digest: str) -> None:
    reply = repository.call("GET", f"referrers/{digest}")

    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("last", ["x", "sha256:00", "..%2F.."])
def test_a_place_in_the_list_that_is_no_digest_is_refused(repository: Repository, subject: Image, last: str) -> None:
    reply = repository.call("GET", f"referrers/{subject.manifest.digest}?last={last}")

    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


def test_a_filter_may_have_a_plus_sign_as_it_is(repository: Repository, subject: Image) -> None:
    """Nothing has to be encoded there (RFC 3986, 3.4), though forms mean a space by it."""
    wanted = {_refer(repository, subject.manifest, SBOM, f"sbom {number}") for number in range(2)}
    _refer(repository, subject.manifest, SIGNATURE, "signature")

    first = repository.call("GET", f"referrers/{subject.manifest.digest}?artifactType={SBOM}&n=1")
    assert first.next is not None
    second = repository.wire.call("GET", first.next)

    assert {entry["digest"] for reply in (first, second) for entry in reply.json["manifests"]} == wanted
    assert second.next is None
