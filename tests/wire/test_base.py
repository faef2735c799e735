"""end-1, and what holds for every resource: methods, versions, HEAD."""

import pytest

from tests.images import random_image
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Wire


@pytest.mark.parametrize("target", ["/v2/", "/v2/?ns=docker.io"])
def test_the_base_says_that_this_is_a_registry(wire: Wire, target: str) -> None:
    reply = wire.call("GET", target)

    assert reply.status == 200
    assert reply.header("Docker-Distribution-API-Version") == "registry/2.0"
    assert reply.header("Content-Type") == "application/json"
    assert reply.json == {}


def test_every_get_has_a_head_of_the_same_length(repository: Repository, seed: int) -> None:
    image = random_image(seed)
    digest = repository.push("latest", image)
    layer = image.layers[0].digest

    for target in (
        "/v2/",
        "/v2/_catalog?n=1",
        repository["tags/list"],
        repository["manifests/latest"],
        repository[f"manifests/{digest}"],
        repository[f"blobs/{layer}"],
        repository[f"referrers/{digest}"],
    ):
        got, head = (repository.wire.call(method, target) for method in ("GET", "HEAD"))
        assert (got.status, head.status) == (200, 200)
        assert head.body == b""
        assert head.header("Content-Length") == str(len(got.body))
        for name in ("Content-Type", "Docker-Content-Digest", "ETag", "Docker-Distribution-API-Version", "Link"):
            assert head.headers.get(name) == got.headers.get(name)


def test_a_head_of_what_is_not_there_has_no_body(repository: Repository) -> None:
    nowhere = digest_of(b"nowhere")

    for path in ("manifests/latest", f"manifests/{nowhere}", f"blobs/{nowhere}", "tags/list"):
        reply = repository.call("HEAD", path)
        assert (reply.status, reply.body) == (404, b"")
        assert reply.header("Docker-Distribution-API-Version") == "registry/2.0"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "manifests/latest", "GET, HEAD, PUT, DELETE"),
        ("PUT", "tags/list", "GET, HEAD"),
        ("PATCH", f"blobs/{digest_of(b'')}", "GET, HEAD, DELETE"),
        ("GET", "blobs/uploads/", "POST"),
        ("DELETE", f"referrers/{digest_of(b'')}", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_possible_is_answered_with_those_that_are(
    repository: Repository, method: str, path: str, allowed: str
) -> None:
    reply = repository.call(method, path)

    assert (reply.status, reply.codes) == (405, ["UNSUPPORTED"])
    assert reply.header("Allow") == allowed


@pytest.mark.parametrize("target", ["/v2/nothing/here", "/v2/a/b/c/d", "/v2/a/manifests"])
def test_where_nothing_is_the_answer_is_not_found(wire: Wire, target: str) -> None:
    assert wire.call("GET", target).status == 404
