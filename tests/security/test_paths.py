"""Names and tags become paths. None that is outside the grammar reaches the storage, whatever way it is written."""

from collections.abc import Iterator

import pytest

from tests.images import OCI_INDEX, OCI_MANIFEST, index
from tests.wire.repository import Repository, digest_of
from tests.wire.tree import Storage
from tests.wire.wire import Wire, raw_exchange

_DIGEST = digest_of(b"")
_NAMES = {
    "two dots": "..",
    "dots before": "../a",
    "dots behind": "a/..",
    "dots between": "a/../b",
    "many dots": "../../../../../../../../etc",
    "one dot": "a/./b",
    "encoded dots": "%2e%2e",
    "encoded dots before": "%2e%2e/a",
    "half encoded dots": ".%2e/a",
    "dots encoded twice": "%252e%252e/a",
    "encoded slash": "a%2fb",
    "encoded Slash": "a%2Fb",
    "encoded dots and slash": "..%2f..%2fetc",
    "all encoded": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "slash encoded twice": "a%252fb",
    "backslash": "a%5cb",
    "raw backslash": "a\\b",
    "dots and backslash": "..%5c..%5cb",
    "NUL": "a%00b",
    "NUL at the end": "a%00",
    "NUL for an ending": "a%00.json",
    "line feed": "a%0ab",
    "carriage return and line feed": "a%0d%0aX-Evil:%201",
    "DEL": "a%7f",
    "space": "a%20b",
    "plus": "a+b",
    "nothing": "",
    "slash behind": "a/",
    "slash before": "/a",
    "two slashes": "a//b",
    "upper case": "Team/App",
    "underscore before": "_a",
    "distribution's own": "a/_manifests",
    "distribution's uploads": "a/_uploads/x",
    "ours": "cargohold/v1/_tmp",
    "umlaut": "%c3%a4",
    "umlaut in Latin-1": "%e4",
    "full-width slash": "a%ef%bc%8fb",
    "full-width dots": "%ef%bc%8e%ef%bc%8e/a",
    "overlong dot": "%c0%ae%c0%ae/a",
    "overlong slash": "a%c0%afb",
    "lone surrogate": "a%ed%a0%80",
    "right-to-left mark": "a%e2%80%ae",
    "zero-width space": "a%e2%80%8bb",
    "overlong": "a" * 256,
    "overlong in parts": "/".join(["ab"] * 86),
    "far too long": "a" * 8000,
    "a URL": "http:%2f%2fevil",
    "a digest": "a@sha256",
    "a tag": "a:b",
    "a drive": "c:%5cwindows",
    "a query": "a%3fb",
    "a fragment": "a%23b",
    "a percent sign": "a%25",
    "a template": "%7b%7bname%7d%7d",
    "a command": "$(id)",
    "a quote": "a'%22",
}
_TAGS = {
    name: text
    for name, text in _NAMES.items()
    if "/" not in text and name not in ("upper case", "nothing", "underscore before", "a digest", "a tag", "a drive")
} | {"dash before": "-a", "dot before": ".a", "overlong": "a" * 129, "a link": "current%2flink"}


@pytest.fixture(autouse=True)
def nothing_changes(storage: Storage) -> Iterator[None]:
    """Neither on the storage nor beside it is anything afterwards that was not there."""
    beside = set() if storage.root is None else {*storage.root.parent.iterdir()}
    with storage.unchanged():
        yield
    assert storage.root is None or {*storage.root.parent.iterdir()} == beside


def _calls(name: str) -> list[tuple[str, str, bytes]]:
    manifest = index([]).manifest.data
    return [
        ("GET", f"/v2/{name}/tags/list", b""),
        ("GET", f"/v2/{name}/manifests/latest", b""),
        ("HEAD", f"/v2/{name}/manifests/{_DIGEST}", b""),
        ("PUT", f"/v2/{name}/manifests/latest", manifest),
        ("PUT", f"/v2/{name}/manifests/{digest_of(manifest)}", manifest),
        ("DELETE", f"/v2/{name}/manifests/latest", b""),
        ("GET", f"/v2/{name}/blobs/{_DIGEST}", b""),
        ("DELETE", f"/v2/{name}/blobs/{_DIGEST}", b""),
        ("POST", f"/v2/{name}/blobs/uploads/", b""),
        ("POST", f"/v2/{name}/blobs/uploads/?digest={_DIGEST}", b""),
        ("POST", f"/v2/{name}/blobs/uploads/?mount={_DIGEST}", b""),
        ("PATCH", f"/v2/{name}/blobs/uploads/11111111-2222-4333-8444-555555555555", b"data"),
        ("GET", f"/v2/{name}/referrers/{_DIGEST}", b""),
    ]


@pytest.mark.parametrize("name", _NAMES.values(), ids=_NAMES.keys())
def test_a_repository_name_outside_the_grammar(wire: Wire, name: str) -> None:
    for method, target, body in _calls(name):
        reply = wire.call(method, target, body=body, headers={"Content-Type": OCI_INDEX})

        assert reply.status in (400, 404), (method, target, reply.body)
        if method != "HEAD" and reply.status == 400:
            assert reply.codes == ["NAME_INVALID"]
            assert "repository name" in reply.message


@pytest.mark.parametrize("tag", _TAGS.values(), ids=_TAGS.keys())
def test_a_tag_outside_the_grammar(repository: Repository, tag: str) -> None:
    manifest = index([]).manifest.data
    for method, body in (("GET", b""), ("HEAD", b""), ("PUT", manifest), ("DELETE", b"")):
        reply = repository.call(method, f"manifests/{tag}", body=body, headers={"Content-Type": OCI_INDEX})

        assert reply.status in (400, 404), (method, tag)
        if method != "HEAD" and reply.status == 400:
            assert reply.codes in (["MANIFEST_INVALID"], ["DIGEST_INVALID"])
            assert "is not a tag" in reply.message or "is not a digest" in reply.message


@pytest.mark.parametrize("digest", ["sha256:..", "sha256:..%2f..", "sha256:%2e%2e", "..:..", "%00:a"])
def test_a_digest_that_is_a_path(repository: Repository, digest: str) -> None:
    for path in (f"blobs/{digest}", f"manifests/{digest}", f"referrers/{digest}"):
        reply = repository.call("GET", path)
        assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
    reply = repository.call("POST", f"blobs/uploads/?digest={digest}", body=b"data")
    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


_TARGETS = {
    "above the root": "/../../../../etc/passwd",
    "above the API": "/v2/../../../etc/passwd",
    "through a repository": "/v2/a/../../../../etc/passwd",
    "encoded": "/v2/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "behind a verb": "/v2/a/manifests/../../../../../etc/passwd",
    "behind blobs": f"/v2/a/blobs/{_DIGEST}/../../../../../etc/passwd",
    "behind an encoded verb": "/v2/a/manifests/..%2f..%2f..%2fetc%2fpasswd",
    "to our own files": "/v2/cargohold/v1/uploads/x",
    "to the layout": "/v2/docker/registry/v2/blobs/sha256",
    "two slashes": "//etc/passwd",
    "a whole URL": "http://x/v2/a/../../etc/passwd",
    "upper-case API": "/V2/../etc/passwd",
    "an encoded API": "/%76%32/../etc/passwd",
    "a parameter": "/v2/a/tags/list?last=../../../etc/passwd",
    "a path parameter": "/v2/a;x=/../etc/passwd/tags/list",
}


@pytest.mark.parametrize("target", _TARGETS.values(), ids=_TARGETS.keys())
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_target_that_climbs(wire: Wire, target: str, method: str) -> None:
    with wire.connect() as connection:
        request = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(request.encode())
        answer = connection.recv(65536)

    assert answer.split()[1] in (b"400", b"404", b"405")
    assert b"root:" not in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("byte", [b"\x00", b"\n", b"\r", b"\x0b", b"\x1b", b"\x7f", b"\x80", b"\xff", b" ", b"\t"])
def test_a_raw_byte_that_no_target_may_hold(wire: Wire, byte: bytes) -> None:
    with wire.connect() as connection:
        reply = raw_exchange(connection, b"GET /v2/a" + byte + b"b/tags/list HTTP/1.1\r\nHost: x\r\n\r\n")

    assert reply.status in (400, 404)


def test_a_location_in_an_answer_never_holds_what_a_name_may_not(wire: Wire) -> None:
    reply = wire.call("GET", "/v2/a%0d%0aX-Evil:%201/tags/list")

    assert "X-Evil" not in reply.headers
    assert reply.codes == ["NAME_INVALID"]


def test_a_file_beside_the_root_is_out_of_reach(wire: Wire, storage: Storage) -> None:
    if storage.root is None:
        pytest.skip("looks at the storage, which only works with our own")
    secret = storage.root.parent / "secret"
    secret.write_text("not for you")
    try:
        for target in (
            "/v2/a/blobs/../../../../secret",
            "/v2/a/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret/tags/list",
            "/v2/../secret/manifests/latest",
            "/v2/a/manifests/..%2f..%2f..%2f..%2f..%2f..%2f..%2fsecret",
        ):
            reply = wire.call("GET", target)
            assert reply.status in (400, 404)
            assert b"not for you" not in reply.body
    finally:
        secret.unlink()


def test_a_name_of_the_largest_size_works(wire: Wire, storage: Storage) -> None:
    """255 characters, in one component and in 128: the limits of the grammar are not beyond those of the disk."""
    before = storage.files("")
    for name in ("a" * 255, "/".join(["a"] * 128)):
        repository = Repository(wire, name)
        digest = repository.push("x" * 128, index([]))
        upload = repository.begin("?digest-algorithm=sha512")
        assert repository.tags() == ["x" * 128]
        assert repository.wire.call("DELETE", upload).status == 204
        assert repository.call("DELETE", f"manifests/{digest}").status == 202
    if storage.root is not None:
        for path in storage.files("") - before:
            (storage.root / path).unlink()


def test_a_manifest_cannot_name_a_path(repository: Repository) -> None:
    data = (
        b'{"schemaVersion": 2, "config": {"mediaType": "../../x", "digest": "sha256:../../x", "size": 1}, "layers": []}'
    )

    reply = repository.put_manifest("latest", data, OCI_MANIFEST)

    assert (reply.status, reply.codes) == (400, ["MANIFEST_INVALID"])
