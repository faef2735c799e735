"""Pulling through a server from a real registry elsewhere: once, while it comes, through every trouble."""

import re
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead

import pytest

from tests.counting_proxy import CountingProxy, Fault
from tests.images import Content, artifact, index, random_bytes, random_image
from tests.mirror.conftest import MakeMirror, hub
from tests.mirror.mirror_server import partial_files
from tests.wire.repository import Repository
from tests.wire.wire import Wire

_MIB = 1024 * 1024
IMAGE = random_image(1, layers=2, layer_size=3 * _MIB // 2)
LARGE = Content("application/octet-stream", random_bytes(20 * _MIB, 7))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_fifty_pulls_of_an_image_at_once_fetch_each_blob_once(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror, workers: str
) -> None:
    there.push("v1", IMAGE)
    here = hub(start_mirror(arguments=["--workers", workers]))

    with ThreadPoolExecutor(50) as clients:
        for done in [clients.submit(here.assert_holds, "v1", IMAGE) for _ in range(50)]:
            done.result()

    fetched = {text: number for text, number in proxy.requests().items() if "GET" in text and "/blobs/" in text}
    assert fetched == {f"GET /v2/team/app/blobs/{blob.digest}": 1 for blob in IMAGE.blobs}
    assert proxy.count("GET .*/manifests/") <= 2 * int(workers)


def test_what_was_pulled_once_is_there_without_the_upstream(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    both = index([IMAGE, random_image(2, architecture="arm64")])
    there.push("v1", both)
    server = start_mirror()
    hub(server).assert_holds("v1", both)
    proxy.close()

    server.restart()

    hub(server).assert_holds("v1", both)


def test_a_client_gets_the_beginning_of_a_blob_while_the_rest_is_held_up(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push_blob(LARGE.data)
    here = hub(start_mirror())
    connection = here.wire.connect()
    proxy.fail(Fault("GET .*/blobs/", cut=16 * _MIB))
    proxy.hold_after(4 * _MIB)

    connection.sendall(f"GET {here[f'blobs/{LARGE.digest}']} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    beginning = b""
    while len(beginning) < _MIB:
        beginning += connection.recv(65536)
    connection.close()
    proxy.release()

    assert b"200 OK" in beginning
    reply = here.call("GET", f"blobs/{LARGE.digest}")
    assert reply.body == LARGE.data
    assert proxy.count("GET .*/blobs/") == 2  # it was cut once, and the rest was asked for


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push_blob(LARGE.data)
    here = hub(start_mirror())
    proxy.fail(Fault("GET .*/blobs/", times=3, cut=5 * _MIB))

    reply = here.call("GET", f"blobs/{LARGE.digest}")

    assert reply.body == LARGE.data
    assert proxy.count("GET .*/blobs/") == 4
    assert proxy.passed() < len(LARGE.data) + 4 * _MIB


def test_an_upstream_that_dies_in_the_middle_leaves_nothing_and_the_next_pull_brings_it(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push_blob(LARGE.data)
    server = start_mirror(mirror={"attempts": 1})
    here = hub(server)
    proxy.fail(Fault("GET .*/blobs/", cut=5 * _MIB))
    proxy.fail(Fault("GET .*/blobs/", times=100, status=503))

    with pytest.raises(IncompleteRead):
        here.call("GET", f"blobs/{LARGE.digest}")
    refused = here.call("GET", f"blobs/{LARGE.digest}")

    assert (refused.status, refused.codes) == (503, ["UNAVAILABLE"])
    assert refused.headers["Retry-After"]
    assert partial_files(server) == []
    proxy.mend()
    assert here.call("GET", f"blobs/{LARGE.digest}").body == LARGE.data


def test_wrong_bytes_are_never_sent_whole_and_not_kept(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    there.push_blob(LARGE.data)
    server = start_mirror()
    here = hub(server)
    proxy.fail(Fault("GET ", times=4, corrupt=True))

    with pytest.raises(IncompleteRead):
        here.call("GET", f"blobs/{LARGE.digest}")
    small = here.call("GET", f"blobs/{IMAGE.config.digest}")
    manifest = here.call("GET", f"manifests/{IMAGE.manifest.digest}")

    assert (small.status, small.codes) == (502, ["UNAVAILABLE"])
    assert (manifest.status, manifest.codes) == (502, ["UNAVAILABLE"])
    assert partial_files(server) == []
    proxy.mend()
    here.assert_holds("v1", IMAGE)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(".", times=1000, status=429, headers={"Retry-After": "60"}),
        Fault(".", times=1000, status=429),
        Fault(".", times=1000, status=503),
        Fault(".", times=1000, status=401),
    ],
    ids=["429-with-retry-after", "429", "503", "401"],
)
def test_what_is_cached_is_served_with_a_warning_while_the_upstream_refuses(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror, fault: Fault
) -> None:
    there.push("v1", IMAGE)
    here = hub(start_mirror(mirror={"tag_ttl_seconds": 0}))
    here.assert_holds("v1", IMAGE)

    proxy.fail(fault)
    stale = here.call("GET", "manifests/v1")
    missing = here.call("GET", "manifests/v2")

    assert (stale.status, stale.body) == (200, IMAGE.manifest.data)
    assert stale.header("Warning").startswith(f'299 - "{proxy.address} ')
    assert missing.status in {429, 503, 403}
    assert fault.status != 429 or missing.status == 429
    assert missing.headers["Retry-After"] or fault.status == 401
    here.call("GET", f"blobs/{IMAGE.layers[0].digest}")


def test_an_upstream_that_is_down_does_not_keep_what_is_cached_from_being_served(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    here = hub(start_mirror(mirror={"tag_ttl_seconds": 0, "attempts": 1}))
    here.assert_holds("v1", IMAGE)
    proxy.close()

    stale, tags, missing = (here.call("GET", path) for path in ("manifests/v1", "tags/list", "manifests/v2"))

    assert (stale.status, stale.body) == (200, IMAGE.manifest.data)
    assert tags.json["tags"] == ["v1"]
    assert stale.header("Warning")
    assert tags.header("Warning")
    assert (missing.status, missing.codes) == (503, ["UNAVAILABLE"])


def test_stale_answers_are_counted_for_prometheus(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    server = start_mirror(mirror={"tag_ttl_seconds": 0, "attempts": 1}, metrics={"networks": ["127.0.0.1"]})
    here = hub(server)
    here.assert_holds("v1", IMAGE)
    proxy.close()

    for _ in range(3):
        here.call("GET", "manifests/v1")

    counted = Wire(server.url).call("GET", "/metrics").body.decode()
    assert f'cargohold_mirror_events_total{{event="stale_answers",upstream="{proxy.address}"}} 3.0' in counted
    fetched = re.search(r'^cargohold_mirror_fetched_bytes_total\{upstream="[^"]+"\} (\S+)$', counted, re.MULTILINE)
    assert fetched is not None
    assert float(fetched[1]) == sum(len(blob.data) for blob in IMAGE.blobs)


def test_a_tag_is_asked_for_by_head_before_and_after_its_manifest_in_its_time_to_live(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    server = start_mirror(arguments=["--workers", "2"], mirror={"tag_ttl_seconds": 3600})
    here = hub(server)

    for _ in range(10):
        here.assert_holds("v1", IMAGE)

    assert proxy.count("HEAD .*/manifests/v1") <= 4  # both workers may ask before there is an answer
    assert proxy.count("GET .*/manifests/v1") == 0


def test_a_tag_that_moves_over_there_moves_here_after_its_time_to_live(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    here = hub(start_mirror(mirror={"tag_ttl_seconds": 0}))
    here.assert_holds("v1", IMAGE)
    proxy.forget()
    here.call("GET", "manifests/v1")
    asked = proxy.requests()
    moved = random_image(3)
    there.push("v1", moved)

    here.assert_holds("v1", moved)

    assert asked == {"HEAD /v2/team/app/manifests/v1": 1}


def test_a_server_that_is_killed_in_the_middle_shows_nothing_partial_and_fetches_the_rest(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push_blob(LARGE.data)
    server = start_mirror()
    here = hub(server)
    proxy.hold_after(8 * _MIB)
    connection = here.wire.connect()
    connection.sendall(f"GET {here[f'blobs/{LARGE.digest}']} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    connection.recv(65536)

    server.kill()
    connection.close()
    proxy.release()
    blobs = list((server.root / "docker").rglob("data"))
    server.start()
    reply = here.call("GET", f"blobs/{LARGE.digest}")

    assert blobs == []
    assert reply.body == LARGE.data
    assert partial_files(server) == []


def test_a_client_that_goes_away_does_not_end_the_fetch(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push_blob(LARGE.data)
    here = hub(start_mirror())
    proxy.hold_after(4 * _MIB)
    connection = here.wire.connect()
    connection.sendall(f"GET {here[f'blobs/{LARGE.digest}']} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    connection.recv(65536)

    connection.close()
    proxy.release()

    assert here.call("GET", f"blobs/{LARGE.digest}").body == LARGE.data
    assert proxy.count("GET .*/blobs/") == 1


def test_ranges_of_a_blob_that_is_not_cached_are_answered(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push_blob(LARGE.data)
    here = hub(start_mirror())

    head = here.call("HEAD", f"blobs/{LARGE.digest}")
    heads = proxy.requests()
    reply = here.call("GET", f"blobs/{LARGE.digest}", headers={"Range": "bytes=1000-2000999"})

    assert int(head.header("Content-Length")) == len(LARGE.data)
    assert heads == {f"HEAD /v2/team/app/blobs/{LARGE.digest}": 1}
    assert reply.status == 206
    assert reply.header("Content-Range") == f"bytes 1000-2000999/{len(LARGE.data)}"
    assert reply.body == LARGE.data[1000:2001000]


def test_containerd_names_the_registry_that_it_means(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    server = start_mirror(source={"ns": ["registry.example"]})
    wire = Wire(server.url)

    for namespace in ("registry.example", proxy.address):
        reply = wire.call("GET", f"/v2/team/app/manifests/v1?ns={namespace}")
        blob = wire.call("GET", f"/v2/team/app/blobs/{IMAGE.config.digest}?ns={namespace}")

        assert (reply.status, reply.body) == (200, IMAGE.manifest.data)
        assert blob.body == IMAGE.config.data
        assert reply.header("OCI-Namespace") == blob.header("OCI-Namespace") == namespace
    other = wire.call("GET", "/v2/team/app/manifests/v1?ns=elsewhere.example")
    plain = wire.call("GET", "/v2/hub/team/app/manifests/v1")

    assert (other.status, other.codes) == (404, ["NAME_UNKNOWN"])
    assert "OCI-Namespace" not in other.headers
    assert "OCI-Namespace" not in plain.headers


def test_names_without_a_prefix_are_ours_first_and_then_the_default_upstreams(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    server = start_mirror(mirror={"default": "hub"})
    own = random_image(9)

    hub(server, "team/app").assert_holds("v1", IMAGE)
    hub(server, "team/app").push("v2", own)

    hub(server, "team/app").assert_holds("v2", own)
    hub(server, "team/app").assert_holds("v1", IMAGE)
    assert hub(server, "team/none").call("GET", "manifests/v1").status == 404
    assert hub(server, "team/new").call("HEAD", f"blobs/{IMAGE.config.digest}").status == 404


def test_a_push_works_that_asks_before_while_the_default_upstream_is_down(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    own = hub(start_mirror(mirror={"default": "hub", "attempts": 1}), "team/app")
    before = own.call("HEAD", f"blobs/{IMAGE.config.digest}")
    proxy.close()

    asked = own.call("HEAD", "manifests/v1")
    got = own.call("GET", "manifests/v1")
    own.push("v1", IMAGE)

    assert (before.status, asked.status, got.status) == (404, 404, 503)
    own.assert_holds("v1", IMAGE)


def test_pushes_beside_the_mirror_work_and_into_it_are_refused(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    server = start_mirror()

    hub(server, "team/own").push("v1", IMAGE)
    refused = hub(server).call("POST", "blobs/uploads/")
    manifest = hub(server).put_manifest("v1", IMAGE.manifest.data, IMAGE.manifest.media_type)

    hub(server, "team/own").assert_holds("v1", IMAGE)
    assert (refused.status, refused.codes) == (405, ["UNSUPPORTED"])
    assert refused.message.startswith(f"hub/team/app mirrors {proxy.address}: push to {proxy.address}")
    assert (manifest.status, manifest.codes) == (405, ["UNSUPPORTED"])
    assert proxy.requests() == {}


def test_signatures_are_there_when_the_upstream_is_gone(
    there: Repository, proxy: CountingProxy, start_mirror: MakeMirror
) -> None:
    there.push("v1", IMAGE)
    cosign = random_image(4, layers=1)
    tag = IMAGE.manifest.digest.replace(":", "-") + ".sig"
    there.push(tag, cosign)
    attached = artifact(b"signed", "application/vnd.sig", subject=IMAGE.manifest)
    there.push("signature", attached)
    schema_tag = IMAGE.manifest.digest.replace(":", "-")
    there.push_content(schema_tag, index([attached]).manifest)
    server = start_mirror(mirror={"signatures": True})
    here = hub(server)
    here.assert_holds("v1", IMAGE)
    wanted = {f"GET .*/blobs/{blob.digest}" for blob in (*cosign.blobs, *attached.blobs)}
    proxy.wait_for(wanted)

    server.stop()
    proxy.close()
    server.start()

    here.assert_holds(tag, cosign)
    listed = here.call("GET", f"referrers/{IMAGE.manifest.digest}")
    assert [entry["digest"] for entry in listed.json["manifests"]] == [attached.manifest.digest]
    for blob in attached.blobs:
        assert here.call("GET", f"blobs/{blob.digest}").body == blob.data
