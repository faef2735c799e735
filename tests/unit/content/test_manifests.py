"""Every kind of manifest is understood, and what is not one is refused with what is wrong about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import ManifestInvalid
from registry.content.manifests import OwnWords, own_words, parse_manifest
from tests.unit.content.documents import CONFIG_TYPE, Document, descriptor, encoded, image, index


@pytest.mark.parametrize("media_type", sorted(mediatypes.IMAGES))
def test_an_image_needs_its_config_and_its_layers(media_type: str) -> None:
    data = encoded(image(b"{}", [b"one", b"two"], media_type=media_type))

    manifest = parse_manifest(data, media_type)

    assert manifest.media_type == media_type
    assert [blob.digest for blob in manifest.blobs] == [Digest.of(blob) for blob in (b"{}", b"one", b"two")]
    assert manifest.manifests == ()
    assert manifest.subject is None


@pytest.mark.parametrize("media_type", sorted(mediatypes.INDEXES))
def test_an_index_needs_its_manifests(media_type: str) -> None:
    data = encoded(index([descriptor(b"child", mediatypes.OCI_MANIFEST)], mediaType=media_type))

    manifest = parse_manifest(data, media_type)

    assert manifest.media_type == media_type
    assert [child.digest for child in manifest.manifests] == [Digest.of(b"child")]
    assert manifest.blobs == ()


def test_an_artifact_manifest_needs_its_blobs() -> None:
    document = {
        "mediaType": mediatypes.OCI_ARTIFACT,
        "artifactType": "application/x-sbom",
        "blobs": [descriptor(b"one")],
        "subject": descriptor(b"subject", mediatypes.OCI_MANIFEST),
    }

    manifest = parse_manifest(encoded(document), mediatypes.OCI_ARTIFACT)

    assert [blob.digest for blob in manifest.blobs] == [Digest.of(b"one")]
    assert manifest.artifact_type == "application/x-sbom"
    assert manifest.subject is not None


@pytest.mark.parametrize("kind", [image, index])
def test_subject_artifact_type_and_annotations_are_read(kind: type) -> None:
    subject = descriptor(b"subject", mediatypes.OCI_MANIFEST, "sha512")
    document = kind(subject=subject, artifactType="application/x-signature", annotations={"a": "b"})

    manifest = parse_manifest(encoded(document), None)

    assert manifest.subject is not None
    assert manifest.subject.digest == Digest.of(b"subject", "sha512")
    assert manifest.artifact_type == "application/x-signature"
    assert manifest.annotations == {"a": "b"}


@pytest.mark.parametrize("absent", [None, ""])
def test_without_an_artifact_type_an_image_is_called_after_its_config_and_an_index_nothing(absent: str | None) -> None:
    """distribution-spec, "Listing Referrers"."""
    assert parse_manifest(encoded(image(artifactType=absent)), None).artifact_type == CONFIG_TYPE
    assert parse_manifest(encoded(index(artifactType=absent)), None).artifact_type is None


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        (image(mediaType=None), mediatypes.OCI_MANIFEST),
        (index(mediaType=None), mediatypes.OCI_INDEX),
        (image(), mediatypes.OCI_MANIFEST),
        (image(media_type=mediatypes.DOCKER_MANIFEST), mediatypes.DOCKER_MANIFEST),
        (index(mediaType=mediatypes.DOCKER_LIST), mediatypes.DOCKER_LIST),
    ],
)
def test_without_a_content_type_the_manifest_says_or_shows_what_it_is(document: Document, shown: str) -> None:
    assert parse_manifest(encoded(document), None).media_type == shown


def test_a_manifest_without_media_type_is_what_the_content_type_says() -> None:
    data = encoded(image(mediaType=None))

    assert parse_manifest(data, mediatypes.DOCKER_MANIFEST).media_type == mediatypes.DOCKER_MANIFEST


_CONFLICTS: list[tuple[Document, str | None, str]] = [
    (image(), mediatypes.DOCKER_MANIFEST, "the Content-Type is .* but the manifest's mediaType is"),
    (image(), mediatypes.OCI_INDEX, "but the manifest's mediaType is"),
    (image(mediaType=5), mediatypes.OCI_MANIFEST, "but the manifest's mediaType is 5"),
    (image(mediaType=5), None, "but the manifest's mediaType is 5"),
    (image(mediaType=None), mediatypes.OCI_INDEX, "an index has no `config`"),
    (index(mediaType=None), mediatypes.OCI_MANIFEST, "an image manifest has no `manifests`"),
    (image(manifests=[]), None, "has no `manifests`"),
    (index(config=descriptor()), None, "no `config` and no `layers`"),
    (index(layers=[]), None, "no `config` and no `layers`"),
    (image(mediaType=None), "application/json", "is not a manifest type that this registry stores"),
    (image(mediaType="text/plain"), "text/plain", "is not a manifest type"),
    ({}, None, "is not a manifest type"),
    ({"mediaType": "\ud800"}, None, r"the manifest's mediaType is '\\ud800'"),
]


@pytest.mark.parametrize(("document", "media_type", "reason"), _CONFLICTS)
def test_a_media_type_in_conflict_with_the_body_is_refused(
    document: Document, media_type: str | None, reason: str
) -> None:
    with pytest.raises(ManifestInvalid, match=reason) as raised:
        parse_manifest(encoded(document), media_type)
    assert len(raised.value.message) < 1000


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ({"schemaVersion": 1}, None),
        ({"schemaVersion": 1, "signatures": []}, mediatypes.SCHEMA_1_SIGNED),
        ({"schemaVersion": 1}, mediatypes.SCHEMA_1_UNSIGNED),
        ({"schemaVersion": 1}, "application/json"),
        (image(schemaVersion=1), None),
    ],
)
def test_schema_1_is_refused_with_what_to_do(document: Document, media_type: str | None) -> None:
    with pytest.raises(ManifestInvalid, match=r"schema 1 is not accepted; push the image again with Docker 1\.10"):
        parse_manifest(encoded(document), media_type)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (image(schemaVersion=None), "schemaVersion must be 2"),
        (image(schemaVersion=3), "schemaVersion must be 2"),
        (image(schemaVersion="2"), "schemaVersion must be 2"),
        (index(schemaVersion=[]), "schemaVersion must be 2"),
        (image(config=None), "config must be a descriptor"),
        (image(config=[]), "config must be a descriptor"),
        (image(layers=None), "layers must be a list"),
        (image(layers={}), "layers must be a list"),
        (image(layers=[descriptor(), None]), r"layers\[1\] must be a descriptor"),
        (index(manifests=None), "is not a manifest type|manifests must be a list"),
        (index(manifests=[{}]), r"manifests\[0\].mediaType"),
        (image(subject=[]), "subject must be a descriptor"),
        (image(subject=descriptor(digest="sha256:x")), "subject.digest"),
        (image(artifactType=5), "artifactType must be a media type"),
        (image(annotations=[]), "annotations must be an object"),
        (index(annotations={"a": 5}), "annotations must be an object"),
    ],
)
def test_a_broken_manifest_is_refused_with_the_member_that_is_wrong(document: Document, reason: str) -> None:
    with pytest.raises(ManifestInvalid, match=reason):
        parse_manifest(encoded(document), None)


@pytest.mark.parametrize("data", [b"", b"[]", b'"a"', b"null", b"5", b"{", b'{"a":1,"a":1}', b"[" * 100_000, b"\xff"])
def test_what_is_not_one_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestInvalid, match=r"not valid JSON|must be a JSON object"):
        parse_manifest(data, mediatypes.OCI_MANIFEST)


def test_members_that_we_do_not_know_are_left_alone() -> None:
    data = encoded({**image(), "org.example": [1, {"x": None}], "blobs": 5})

    assert parse_manifest(data, None).media_type == mediatypes.OCI_MANIFEST


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encoded(image()), OwnWords(mediatypes.OCI_MANIFEST, claimed=True)),
        (encoded(image(mediaType=None)), OwnWords(mediatypes.OCI_MANIFEST, claimed=False)),
        (encoded(index(mediaType=None)), OwnWords(mediatypes.OCI_INDEX, claimed=False)),
        (encoded({"schemaVersion": 1}), OwnWords(mediatypes.SCHEMA_1_UNSIGNED, claimed=False)),
        (encoded({"schemaVersion": 1, "signatures": []}), OwnWords(mediatypes.SCHEMA_1_SIGNED, claimed=False)),
        (encoded({}), OwnWords(None, claimed=False)),
        (b"not JSON", OwnWords(None, claimed=False)),
        (b'{"a": 1, "a": 2}', OwnWords(None, claimed=False)),
    ],
)
def test_what_lies_on_storage_is_called_by_its_own_words(data: bytes, words: OwnWords) -> None:
    assert own_words(data) == words


@pytest.mark.parametrize("claimed", ["a/b\r\nX-Evil: 1", "\ud800", "ä/b", "a b", "", "a/b; c=d", "a" * 5000 + "/b"])
def test_a_media_type_that_cannot_stand_in_a_header_is_no_claim(claimed: str) -> None:
    """Another registry, or a hand, may have put anything on storage; it is served all the same, and by its shape."""
    words = own_words(encoded(image(mediaType=claimed)))

    assert words == OwnWords(mediatypes.OCI_MANIFEST, claimed=False)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "subject", "artifactType", "annotations"]
)


@given(
    st.sampled_from([image(b"{}", [b"a"]), index([descriptor()]), {}]),
    st.dictionaries(_MEMBERS, _VALUES, max_size=4),
    st.none() | st.sampled_from(sorted(mediatypes.MANIFESTS | mediatypes.SCHEMA_1)),
)
def test_no_document_raises_anything_but_manifest_invalid(
    base: Document, change: Document, media_type: str | None
) -> None:
    data = encoded({**base, **change})
    own_words(data)
    try:
        manifest = parse_manifest(data, media_type)
    except ManifestInvalid as error:
        assert error.message
        return
    assert manifest.media_type in mediatypes.MANIFESTS
    assert media_type in (None, manifest.media_type)
