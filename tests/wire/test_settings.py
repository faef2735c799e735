"""What an operator may set, seen from the wire."""

import json
from collections.abc import Callable

import pytest

from tests.images import OCI_INDEX, OCI_MANIFEST, image, index, random_image
from tests.wire.repository import Repository, digest_of

Configured = Callable[..., Repository]


def test_manifests_are_as_large_as_the_setting_says(configured: Configured) -> None:
    repository = configured(registry__max_manifest_bytes="5MiB")
    data = index([]).manifest.data
    large = data + b" " * (5 * 1024 * 1024 - len(data))

    assert repository.put_manifest("latest", large, OCI_INDEX).status == 201
    assert repository.call("GET", "manifests/latest").body == large
    assert repository.put_manifest("latest", large + b" ", OCI_INDEX).status == 413


def test_blobs_are_as_large_as_the_setting_says(configured: Configured, seed: int) -> None:
    repository = configured(registry__max_blob_bytes="100000")
    fits, larger = bytes(100_000), bytes(100_001)

    repository.push_blob(fits)
    for reply in (
        repository.finish(repository.begin(), digest_of(larger), larger),
        repository.finish(repository.begin(), digest_of(larger), [larger]),
        repository.append(repository.begin(), larger),
        repository.append(repository.begin(), larger, "0-100000"),
        repository.call("POST", f"blobs/uploads/?digest={digest_of(larger)}", body=larger),
    ):
        assert (reply.status, reply.codes) == (413, ["SIZE_INVALID"])
        assert "100000 bytes" in reply.message
    assert repository.call("HEAD", f"blobs/{digest_of(larger)}").status == 404


@pytest.mark.parametrize("setting", ["registry__allow_sparse_indexes", "registry__check_references"])
def test_a_sparse_index_is_taken_where_that_is_set(configured: Configured, seed: int, setting: str) -> None:
    repository = configured(**{setting: "true" if "allow" in setting else "false"})
    here, absent = random_image(seed, layer_size=100), random_image(seed + 1, layer_size=100)
    repository.push("here", here)

    assert repository.push_content("latest", index([here, absent]).manifest).status == 201

    assert repository.call("GET", f"manifests/{here.manifest.digest}").status == 200
    assert repository.call("GET", f"manifests/{absent.manifest.digest}").status == 404


def test_an_image_without_its_layers_is_taken_only_where_nothing_is_checked(configured: Configured, seed: int) -> None:
    absent = random_image(seed, layer_size=100)

    sparse = configured(registry__allow_sparse_indexes="true").push_content("latest", absent.manifest)
    unchecked = configured(registry__check_references="false").push_content("latest", absent.manifest)

    assert (sparse.status, unchecked.status) == (404, 201)


_NOT_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


@pytest.mark.parametrize(
    "layer",
    [
        {"mediaType": "a/b", "digest": digest_of(b"far"), "size": 3, "urls": ["https://example.com/layer"]},
        {"mediaType": _NOT_DISTRIBUTABLE, "digest": digest_of(b"far"), "size": 3},
    ],
)
def test_layers_that_lie_elsewhere_may_be_absent_unless_that_is_unset(
    configured: Configured, layer: dict[str, object]
) -> None:
    base = image([])
    data = json.dumps({**json.loads(base.manifest.data), "layers": [layer]}).encode()
    statuses = []
    for setting in ("true", "false"):
        repository = configured(registry__allow_foreign_layers=setting)
        repository.push_blob(base.config.data)
        statuses.append(repository.put_manifest("latest", data, OCI_MANIFEST).status)

    assert statuses == [201, 404]


def test_where_deleting_is_switched_off_nothing_can_be_deleted(configured: Configured, seed: int) -> None:
    repository = configured(registry__allow_delete="false")
    value = random_image(seed, layer_size=100)
    digest = repository.push("latest", value)

    for path in ("manifests/latest", f"manifests/{digest}", f"blobs/{value.config.digest}"):
        reply = repository.call("DELETE", path)
        assert (reply.status, reply.codes) == (405, ["UNSUPPORTED"])
    repository.assert_holds("latest", value)
    assert repository.wire.call("DELETE", repository.begin()).status == 204, "an upload can still be cancelled"


def test_pages_are_as_large_as_the_settings_say(configured: Configured) -> None:
    repository = configured(registry__catalog_page_size="2", registry__max_page_size="3")
    for number in range(5):
        Repository(repository.wire, f"{repository.name}/r{number}").push("latest", index([]))
        repository.push(f"t{number}", index([]))

    assert len(repository.wire.call("GET", "/v2/_catalog").json["repositories"]) == 2
    assert len(repository.wire.call("GET", "/v2/_catalog?n=10").json["repositories"]) == 3
    reply = repository.call("GET", "tags/list?n=10")
    assert (len(reply.json["tags"]), reply.next) == (3, repository["tags/list?n=3&last=t2"])
    assert len(repository.tags()) == 5


def test_requests_have_ids_also_where_they_are_not_logged(configured: Configured) -> None:
    repository = configured(log__access="false")

    given = repository.call("GET", "tags/list", headers={"X-Request-Id": "mine-1"})
    made = [repository.call("GET", "tags/list").header("X-Request-Id") for _ in range(2)]

    assert given.header("X-Request-Id") == "mine-1"
    assert all(made)
    assert made[0] != made[1]
