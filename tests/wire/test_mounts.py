"""Mounting: end-11, from a repository and from any."""

import pytest

from tests.images import random_bytes
from tests.wire.repository import Repository, digest_of


@pytest.fixture
def data(seed: int) -> bytes:
    return random_bytes(50_000, seed)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_is_mounted_from_the_repository_that_has_it(
    repository: Repository, other: Repository, data: bytes, algorithm: str
) -> None:
    digest = other.push_blob(data, algorithm)

    reply = repository.call("POST", f"blobs/uploads/?mount={digest}&from={other.name}")

    assert reply.status == 201
    assert reply.header("Docker-Content-Digest") == digest
    assert repository.wire.call("GET", reply.header("Location")).body == data


def test_a_blob_is_mounted_from_anywhere_if_no_repository_is_named(
    repository: Repository, other: Repository, data: bytes
) -> None:
    """distribution-spec, "Mounting a blob from another repository": automatic content discovery."""
    digest = other.push_blob(data)

    assert repository.call("POST", f"blobs/uploads/?mount={digest}").status == 201
    assert repository.call("GET", f"blobs/{digest}").body == data


@pytest.mark.parametrize("source", ["&from=wire/nowhere", "&from={other}", ""])
def test_what_cannot_be_mounted_can_be_uploaded_at_once(
    repository: Repository, other: Repository, data: bytes, source: str
) -> None:
    other.push_blob(b"something else")
    digest = digest_of(data)

    reply = repository.call("POST", f"blobs/uploads/?mount={digest}{source.format(other=other.name)}")

    assert reply.status == 202
    assert repository.call("HEAD", f"blobs/{digest}").status == 404
    assert repository.finish(reply.header("Location"), digest, data).status == 201


def test_a_blob_is_not_mounted_from_a_repository_that_lacks_it(
    repository: Repository, other: Repository, data: bytes
) -> None:
    digest = Repository(other.wire, f"{other.name}/third").push_blob(data)

    assert repository.call("POST", f"blobs/uploads/?mount={digest}&from={other.name}").status == 202
    assert repository.call("HEAD", f"blobs/{digest}").status == 404


def test_a_blob_may_be_mounted_where_it_is(repository: Repository, data: bytes) -> None:
    digest = repository.push_blob(data)

    assert repository.call("POST", f"blobs/uploads/?mount={digest}&from={repository.name}").status == 201
    assert repository.call("GET", f"blobs/{digest}").body == data


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("?mount=nonsense&from=a", "DIGEST_INVALID"),
        ("?mount=&from=a", "DIGEST_INVALID"),
        (f"?mount={digest_of(b'')}&from=UPPER", "NAME_INVALID"),
        (f"?mount={digest_of(b'')}&from=../a", "NAME_INVALID"),
        (f"?mount={digest_of(b'')}&from=a%2F..%2Fb", "NAME_INVALID"),
        (f"?mount={digest_of(b'')}&from=a%00", "NAME_INVALID"),
    ],
)
def test_a_mount_of_nonsense_is_refused(repository: Repository, parameters: str, code: str) -> None:
    reply = repository.call("POST", f"blobs/uploads/{parameters}")

    assert (reply.status, reply.codes) == (400, [code])
