"""Keys: distribution's layout to the letter, ours beside it, and no two things in one place."""

from hypothesis import given
from hypothesis import strategies as st

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from storage_backends.keys import check_key

_NAME = RepositoryName.parse("team/app")
_SHA256 = Digest.of(b"")
_SHA512 = Digest.of(b"", "sha512")
_ROOT = "docker/registry/v2"


def test_the_layout_is_distributions() -> None:
    """distribution, registry/storage/paths.go."""
    hexadecimal = _SHA256.encoded
    repository = f"{_ROOT}/repositories/team/app"

    assert keyspace.blob(_SHA256) == f"{_ROOT}/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
    assert keyspace.layer_link(_NAME, _SHA256) == f"{repository}/_layers/sha256/{hexadecimal}/link"
    assert keyspace.revision_link(_NAME, _SHA512) == f"{repository}/_manifests/revisions/sha512/{_SHA512.encoded}/link"
    assert keyspace.tag_current(_NAME, Tag("v1")) == f"{repository}/_manifests/tags/v1/current/link"
    assert (
        keyspace.tag_index(_NAME, Tag("v1"), _SHA256)
        == f"{repository}/_manifests/tags/v1/index/sha256/{hexadecimal}/link"
    )


def test_what_is_ours_lies_beside_it() -> None:
    own = [
        keyspace.upload(_NAME, "session"),
        keyspace.media_type(_NAME, _SHA256),
        keyspace.referrer(_NAME, _SHA256, _SHA512),
        keyspace.referrers_complete(_NAME),
        keyspace.SCRATCH,
    ]

    assert all(key.startswith("cargohold/v1/") for key in own)


def test_an_upload_session_has_another_key_in_every_repository() -> None:
    keys = {keyspace.upload(RepositoryName(name), "id") for name in ("a", "b", "a/b", "a-b")}

    assert len(keys) == 4


_COMPONENT = st.from_regex(r"[a-z0-9]{1,3}((\.|_|__|-)[a-z0-9]{1,2}){0,2}", fullmatch=True)
_NAMES = st.lists(_COMPONENT, min_size=1, max_size=4).map("/".join)
_TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,5}", fullmatch=True)
_DIGESTS = st.builds(Digest.of, st.sampled_from([b"", b"a"]), st.sampled_from(["sha256", "sha512"]))


@given(st.lists(st.tuples(_NAMES, _TAGS, _DIGESTS, _DIGESTS), min_size=2, max_size=2, unique=True))
def test_no_key_is_the_same_as_another_or_lies_below_one(items: list[tuple[str, str, Digest, Digest]]) -> None:
    keys = [sorted(_all_keys(*item)) for item in items]
    for key in keys[0]:
        check_key(key)
        for other in keys[1]:
            assert not other.startswith(key + "/")
            assert not key.startswith(other + "/")
    assert len(set(keys[0])) == len(keys[0])


def _all_keys(name: str, tag: str, digest: Digest, other: Digest) -> list[str]:
    repository, label = RepositoryName.parse(name), Tag.parse(tag)
    return [
        keyspace.blob(digest),
        keyspace.layer_link(repository, digest),
        keyspace.revision_link(repository, digest),
        keyspace.tag_current(repository, label),
        keyspace.tag_index(repository, label, digest),
        keyspace.media_type(repository, digest),
        keyspace.referrer(repository, digest, other),
        keyspace.referrers_complete(repository),
        keyspace.upload(repository, "00000000-0000-0000-0000-000000000000"),
    ]
