"""What bad manifests get: the spec's code, a message that helps, and nothing left on the storage."""

import json
from collections.abc import Iterator

import pytest

from tests.images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, image, index
from tests.wire.bystander import bystander
from tests.wire.repository import Repository, digest_of
from tests.wire.tree import Storage
from tests.wire.wire import Wire, raw_exchange

_EMPTY_INDEX = json.loads(index([]).manifest.data)
_IMAGE = json.loads(image([]).manifest.data)
_DEEP = 30_000
_DEEPER = 100_000
_LAYER: dict[str, object] = {"mediaType": "a/b", "digest": digest_of(b""), "size": 0}


@pytest.fixture(autouse=True)
def earlier_content_reads_back(wire: Wire, seed: int) -> Iterator[None]:
    with bystander(wire, seed):
        yield


def _with(document: dict[str, object], **members: object) -> bytes:
    return json.dumps({**document, **members}).encode()


_BAD: list[tuple[str, str, bytes, str]] = [
    ("nothing", OCI_INDEX, b"", "not valid JSON"),
    ("no JSON", OCI_INDEX, b"{", "not valid JSON: "),
    ("an array", OCI_INDEX, b"[]", "must be a JSON object"),
    ("HTML", OCI_INDEX, b"<html></html>", "line 1 column 1"),
    ("NaN", OCI_INDEX, b'{"schemaVersion": NaN}', "NaN is not JSON"),
    ("two documents", OCI_INDEX, json.dumps(_EMPTY_INDEX).encode() * 2, "Extra data"),
    ("UTF-16", OCI_INDEX, json.dumps(_EMPTY_INDEX).encode("utf-16"), "not UTF-8"),
    ("a byte order mark", OCI_INDEX, json.dumps(_EMPTY_INDEX).encode("utf-8-sig"), "BOM"),
    ("broken UTF-8", OCI_INDEX, b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    ("deep arrays", OCI_INDEX, b"[" * _DEEP + b"]" * _DEEP, "nested too deeply"),
    ("deeper arrays", OCI_INDEX, b"[" * _DEEPER + b"]" * _DEEPER, "too many values for its size"),
    ("deep objects", OCI_INDEX, b'{"a":' * _DEEPER + b"1" + b"}" * _DEEPER, "nested too deeply"),
    (
        "depth in a member",
        OCI_INDEX,
        _with(_EMPTY_INDEX)[:-1] + b',"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
        "too deeply",
    ),
    ("a huge number", OCI_INDEX, b'{"schemaVersion": ' + b"9" * 100_000 + b"}", "not valid JSON"),
    ("a key twice", OCI_INDEX, _with(_EMPTY_INDEX)[:-1] + b',"manifests": []}', "the key 'manifests' stands twice"),
    ("a key twice below", OCI_INDEX, _with(_EMPTY_INDEX)[:-1] + b',"annotations": {"a": "1", "a": "2"}}', "twice"),
    ("annotations that are no strings", OCI_INDEX, _with(_EMPTY_INDEX, annotations={"a": 5}), "annotations must be"),
    ("another media type", OCI_MANIFEST, _with(_EMPTY_INDEX), "the Content-Type is"),
    (
        "a type of nobody's",
        "application/json",
        _with({**_EMPTY_INDEX, "mediaType": "application/json"}),
        "must be one of",
    ),
    ("an index as an image", OCI_MANIFEST, _with({"schemaVersion": 2, "manifests": []}), "has no `manifests`"),
    ("an image as an index", OCI_INDEX, _with({"schemaVersion": 2, "config": {}, "layers": []}), "has no `config`"),
    ("an image as a list", DOCKER_LIST, _with({"schemaVersion": 2, "config": {}, "layers": []}), "has no `config`"),
    ("both", OCI_MANIFEST, _with(_IMAGE, manifests=[]), "has no `manifests`"),
    ("schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", b'{"schemaVersion": 1}', "Docker 1.10"),
    ("version 3", OCI_INDEX, _with(_EMPTY_INDEX, schemaVersion=3), "schemaVersion must be 2"),
    ("no config", DOCKER_MANIFEST, b'{"schemaVersion": 2, "layers": []}', "config must be a descriptor"),
    ("a bad digest", OCI_MANIFEST, _with(_IMAGE, layers=[{**_LAYER, "digest": "sha256:.."}]), "layers[0].digest"),
    ("a negative size", OCI_MANIFEST, _with(_IMAGE, layers=[{**_LAYER, "size": -1}]), "layers[0].size"),
    ("a size beyond all", OCI_MANIFEST, _with(_IMAGE, layers=[{**_LAYER, "size": 2**70}]), "layers[0].size"),
    ("a subject that is none", OCI_INDEX, _with(_EMPTY_INDEX, subject="latest"), "subject must be a descriptor"),
]


@pytest.mark.parametrize(("media_type", "data", "word"), [case[1:] for case in _BAD], ids=[case[0] for case in _BAD])
def test_a_manifest_that_is_none(
    repository: Repository, storage: Storage, media_type: str, data: bytes, word: str
) -> None:
    with storage.unchanged():
        for reference in ("latest", digest_of(data), f"{digest_of(data)}?tag=latest"):
            reply = repository.put_manifest(reference, data, media_type)
            assert (reply.status, reply.codes) == (400, ["MANIFEST_INVALID"])
            assert word in reply.message
            assert len(reply.body) < 2000


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_of_another_digest(repository: Repository, storage: Storage, algorithm: str) -> None:
    data = _with(_EMPTY_INDEX)
    with storage.unchanged():
        reply = repository.put_manifest(f"{digest_of(b'other', algorithm)}?tag=latest", data, OCI_INDEX)

    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
    assert digest_of(data, algorithm) in reply.message


@pytest.mark.parametrize("reference", ["md5:" + "a" * 32, "sha256:abc", "sha256:" + "A" * 64])
def test_a_reference_that_is_no_digest(repository: Repository, storage: Storage, reference: str) -> None:
    with storage.unchanged():
        reply = repository.put_manifest(reference, _with(_EMPTY_INDEX), OCI_INDEX)

    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("tag", ["..", "a%2Fb", "-a", "a" * 129, "", "a%00", "%C3%A4"])
def test_a_tag_parameter_that_is_no_tag(repository: Repository, storage: Storage, tag: str) -> None:
    data = _with(_EMPTY_INDEX)
    with storage.unchanged():
        reply = repository.put_manifest(f"{digest_of(data)}?tag=good&tag={tag}", data, OCI_INDEX)

    assert (reply.status, reply.codes) == (400, ["MANIFEST_INVALID"])
    assert "is not a tag" in reply.message


def test_a_manifest_whose_references_are_not_there(repository: Repository, storage: Storage) -> None:
    document = {**_IMAGE, "layers": [{"mediaType": "a/b", "digest": digest_of(b"nowhere"), "size": 7}]}
    with storage.unchanged():
        reply = repository.put_manifest("latest", json.dumps(document).encode())

    assert (reply.status, set(reply.codes)) == (404, {"MANIFEST_BLOB_UNKNOWN"})
    assert "push it before the manifest" in reply.message


def test_ten_thousand_references_that_are_not_there(repository: Repository, storage: Storage) -> None:
    layers = [{"mediaType": "a/b", "digest": digest_of(b"%d" % number), "size": 7} for number in range(10_000)]
    with storage.unchanged():
        reply = repository.put_manifest("latest", json.dumps({**_IMAGE, "layers": layers}).encode())

    assert (reply.status, set(reply.codes)) == (404, {"MANIFEST_BLOB_UNKNOWN"})
    assert len(reply.codes) == 1001, "the first thousand by name, and that there may be more"
    assert reply.json["errors"][-1]["message"] == "more may be missing"
    assert len(reply.body) < 500_000


def test_annotations_as_large_as_fits_are_kept(repository: Repository) -> None:
    for annotations in (
        {"text": "x" * 4_000_000},
        {"é" * 900_000: "ä" * 900_000},
        {str(n): "v" for n in range(200_000)},
    ):
        data = json.dumps({**_EMPTY_INDEX, "annotations": annotations}, ensure_ascii=False).encode()

        assert repository.put_manifest("latest", data, OCI_INDEX).status == 201
        assert repository.call("GET", "manifests/latest").body == data


def test_annotations_beyond_the_limit(repository: Repository, storage: Storage) -> None:
    data = _with(_EMPTY_INDEX, annotations={"text": "x" * 4 * 1024 * 1024})
    with storage.unchanged():
        for body in (data, [data[:100_000], data[100_000:]]):
            reply = repository.call("PUT", "manifests/latest", body=body, headers={"Content-Type": OCI_INDEX})
            assert (reply.status, reply.codes) == (413, ["MANIFEST_INVALID"])


@pytest.mark.parametrize("announced", [4 * 1024 * 1024 + 1, 10**12, 10**17])
def test_a_manifest_that_is_announced_too_large_is_not_waited_for(
    repository: Repository, storage: Storage, announced: int
) -> None:
    head = f"PUT {repository['manifests/latest']} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
    with storage.unchanged(), repository.wire.connect() as connection:
        reply = raw_exchange(connection, head.encode())

    assert (reply.status, reply.codes) == (413, ["MANIFEST_INVALID"])


@pytest.mark.parametrize("sent", [0, 10])
def test_a_manifest_that_is_cut_off(repository: Repository, storage: Storage, sent: int) -> None:
    data = _with(_EMPTY_INDEX)
    head = f"PUT {repository['manifests/latest']} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    with storage.unchanged():
        with repository.wire.connect() as connection:
            connection.sendall(head.encode() + data[:sent])
        assert repository.call("GET", "manifests/latest").status == 404
        assert repository.call("GET", f"manifests/{digest_of(data)}").status == 404


def test_a_hostile_media_type_goes_nowhere(repository: Repository, storage: Storage) -> None:
    with storage.unchanged():
        for media_type in ("a/b\x7f", "é/é", "x" * 10_000, "a/b,c/d", f"{OCI_INDEX}, {OCI_MANIFEST}"):
            reply = repository.put_manifest("latest", _with({"schemaVersion": 2, "manifests": []}), media_type)
            assert reply.status == 400
            assert len(reply.body) < 12_000
