"""The API as one callable: methods, options of the operator, and the border at which everything becomes an answer."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import Message

from registry.api.asgi import RegistryApi
from registry.api.locations import Locations
from registry.api.options import ApiOptions
from registry.content.digest import Digest
from registry.content.repository import Registry, Rules
from registry.proxies import Proxies, networks
from storage_backends.errors import StorageFull
from storage_backends.memory import MemoryBackend
from tests.unit.api.asgi_client import Reply, call
from tests.unit.api.opened import open_api
from tests.unit.content.documents import encoded, index

MakeApi = Callable[..., RegistryApi]

_DIGEST = str(Digest.of(b"blob"))
_INDEX = encoded(index())


async def _begin(api: RegistryApi, target: str = "/v2/a/blobs/uploads/") -> str:
    reply = await call(api, "POST", target)
    assert reply.status == 202, reply.body
    return reply.headers["location"]


async def _push(api: RegistryApi, name: str = "a", tag: str = "latest") -> Reply:
    reply = await call(api, "PUT", f"/v2/{name}/manifests/{tag}", body=_INDEX)
    assert reply.status == 201, reply.body
    return reply


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/a/tags/list", "GET, HEAD"),
        (f"/v2/a/referrers/{_DIGEST}", "GET, HEAD"),
        ("/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        (f"/v2/a/blobs/{_DIGEST}", "GET, HEAD, DELETE"),
        ("/v2/a/blobs/uploads/", "POST"),
        ("/v2/a/blobs/uploads/id", "GET, HEAD, PATCH, PUT, DELETE"),
    ],
)
async def test_another_method_is_answered_with_those_that_are_possible(
    api: RegistryApi, path: str, allowed: str
) -> None:
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} - {
        *allowed.split(", ")
    }:
        reply = await call(api, method, path)

        assert reply.status == 405
        assert reply.headers["allow"] == allowed
        assert reply.body == b"" if method == "HEAD" else reply.codes == ["UNSUPPORTED"]


@pytest.mark.parametrize("path", ["/v2/nothing", "/v2/a/b/c/d", "/v2x"])
async def test_where_nothing_is_the_answer_says_so(api: RegistryApi, path: str) -> None:
    reply = await call(api, "GET", path)

    assert (reply.status, reply.codes) == (404, ["UNSUPPORTED"])


@pytest.mark.parametrize("target", ["/v2/", "/v2/nothing", "/v2/a/tags/list", "/v2/A/tags/list"])
async def test_every_answer_names_the_api(api: RegistryApi, target: str) -> None:
    for method in ("GET", "POST"):
        reply = await call(api, method, target)
        assert reply.headers["docker-distribution-api-version"] == "registry/2.0"


async def test_where_deleting_is_switched_off_nothing_is_deleted(make_api: MakeApi) -> None:
    api = make_api(allow_delete=False)
    digest = (await _push(api)).headers["docker-content-digest"]

    for path in ("manifests/latest", f"manifests/{digest}", f"blobs/{digest}"):
        reply = await call(api, "DELETE", f"/v2/a/{path}")
        assert (reply.status, reply.codes) == (405, ["UNSUPPORTED"])
        assert "allow_delete" in reply.json["errors"][0]["message"]
    assert (await call(api, "GET", "/v2/a/manifests/latest")).body == _INDEX
    assert (await call(api, "DELETE", await _begin(api))).status == 204, "cancelling an upload is no deletion"


async def test_more_uploads_than_are_allowed_are_asked_to_come_again(make_api: MakeApi) -> None:
    api = make_api(max_uploads=1)
    first, second = await _begin(api), await _begin(api)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        started.set()
        await go_on.wait()
        return {"type": "http.request", "body": b"blob"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"method": "PATCH", "path": first, "raw_path": first.encode(), "query_string": b"", "headers": []}
    running = asyncio.create_task(api({"type": "http", **scope}, receive, send))
    await started.wait()
    for method, target in [
        ("PATCH", second),
        ("PUT", f"{second}?digest={_DIGEST}"),
        ("POST", f"/v2/a/blobs/uploads/?digest={_DIGEST}"),
    ]:
        reply = await call(api, method, target, body=b"blob")
        assert (reply.status, reply.codes) == (429, ["TOOMANYREQUESTS"])
        assert int(reply.headers["retry-after"]) > 0
    go_on.set()
    await running

    assert sent[0]["status"] == 202
    assert (await call(api, "PUT", f"{first}?digest={_DIGEST}")).status == 201
    assert (await call(api, "PUT", f"{second}?digest={_DIGEST}", body=b"blob")).status == 201


async def test_a_body_that_is_cut_off_is_an_invalid_upload_that_can_go_on(api: RegistryApi) -> None:
    location = await _begin(api)
    messages: list[Message] = [{"type": "http.request", "body": b"bl", "more_body": True}, {"type": "http.disconnect"}]

    reply = await call(api, "PATCH", location, body=messages)

    assert (reply.status, reply.codes) == (400, ["BLOB_UPLOAD_INVALID"])
    assert (await call(api, "GET", location)).headers["range"] == "0-1"


async def test_what_nobody_foresaw_is_an_answer_with_the_id_of_the_request(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MemoryBackend()

    async def broken(_: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(backend, "stat", broken)

    reply = await call(make_api(backend), "HEAD", f"/v2/a/blobs/{_DIGEST}", state={"request_id": "abc-1"})
    assert (reply.status, reply.body) == (500, b"")
    reply = await call(make_api(backend), "GET", f"/v2/a/blobs/{_DIGEST}", state={"request_id": "abc-1"})
    assert (reply.status, reply.codes) == (500, ["UNKNOWN"])
    assert b"abc-1" in reply.body
    assert b"secret" not in reply.body


async def test_a_full_storage_is_an_answer_and_not_a_failure(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MemoryBackend()

    async def full(_: object) -> None:
        raise StorageFull("no room is left on the storage; free some, then try again")

    monkeypatch.setattr(backend, "put_many", full)

    reply = await call(make_api(backend), "PUT", "/v2/a/manifests/latest", body=_INDEX)
    assert (reply.status, reply.codes) == (507, ["UNAVAILABLE"])
    assert "free some" in reply.json["errors"][0]["message"]


async def test_pages_are_as_large_as_the_options_say(make_api: MakeApi) -> None:
    api = make_api(default_page_size=2, max_page_size=3)
    for number in range(5):
        await _push(api, f"r{number}", f"t{number}")
        await _push(api, "tags", f"t{number}")

    assert (await call(api, "GET", "/v2/_catalog")).json["repositories"] == ["r0", "r1"]
    assert (await call(api, "GET", "/v2/_catalog?n=100")).json["repositories"] == ["r0", "r1", "r2"]
    assert len((await call(api, "GET", "/v2/tags/tags/list")).json["tags"]) == 5, "without n: all, as the spec says"
    reply = await call(api, "GET", "/v2/tags/tags/list?n=100")
    assert len(reply.json["tags"]) == 3
    assert reply.headers["link"] == '</v2/tags/tags/list?n=3&last=t2>; rel="next"'


async def test_a_link_to_the_next_page_goes_the_way_that_the_request_came(make_api: MakeApi) -> None:
    locations = Locations(relative=False, external_url="", proxies=Proxies(networks(["127.0.0.1"])))
    api = make_api(locations=locations)
    for tag in "ab":
        await _push(api, "a/b", tag)
    headers = {
        "Host": "in",
        "X-Forwarded-Host": "out.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/p",
    }

    reply = await call(api, "GET", "/v2/a/b/tags/list?n=1", headers=headers)
    assert reply.headers["link"] == '<https://out.example/p/v2/a/b/tags/list?n=1&last=a>; rel="next"'
    reply = await call(api, "POST", "/v2/a/b/blobs/uploads/", headers=headers)
    assert reply.headers["location"].startswith("https://out.example/p/v2/a/b/blobs/uploads/")


async def test_parameters_are_read_as_the_client_wrote_them(api: RegistryApi) -> None:
    for number in range(3):
        await _push(api, "a", f"t{number}")

    for target, tags in [
        ("?n=1&n=2", ["t0"]),
        ("?last=t%30", ["t1", "t2"]),
        ("?last=&n=", ["t0", "t1", "t2"]),
        ("?LAST=t0", ["t0", "t1", "t2"]),
        ("?last=%ff", []),
        ("?last=t0%00", ["t1", "t2"]),
        ("?&&=&n", ["t0", "t1", "t2"]),
    ]:
        assert (await call(api, "GET", f"/v2/a/tags/list{target}")).json["tags"] == tags


async def test_a_failure_while_an_answer_is_sent_is_not_answered_twice(api: RegistryApi) -> None:
    await _push(api)

    async def send(_: Message) -> None:
        raise ConnectionResetError("the client is gone")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/v2/", "raw_path": b"/v2/", "query_string": b"", "headers": []}
    with pytest.raises(ConnectionResetError):
        await api(scope, receive, send)


async def test_a_server_that_gives_no_raw_path_is_served_as_well(api: RegistryApi) -> None:
    await _push(api)

    assert (await call(api, "GET", "/v2/a/tags/list", raw_path=None)).json["tags"] == ["latest"]


async def test_large_manifests_beyond_their_places_are_asked_to_come_again_and_small_ones_are_not(
    api: RegistryApi,
) -> None:
    large = encoded(index(padding="x" * 70_000))
    go_on = asyncio.Event()
    waiting = 0
    all_wait = asyncio.Event()

    def push(tag: str) -> asyncio.Task[list[Message]]:
        sent: list[Message] = []
        parts = [large[:66_000], large[66_000:]]

        async def receive() -> Message:
            nonlocal waiting
            if len(parts) == 1:
                waiting += 1
                if waiting == 6:
                    all_wait.set()
                await go_on.wait()
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Message) -> None:
            sent.append(message)

        path = f"/v2/a/manifests/{tag}"
        scope = {"method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}

        async def run() -> list[Message]:
            await api({"type": "http", **scope}, receive, send)
            return sent

        return asyncio.create_task(run())

    running = [push(f"t{number}") for number in range(6)]
    await all_wait.wait()
    reply = await call(api, "PUT", "/v2/a/manifests/large", body=large)
    assert (reply.status, reply.codes) == (429, ["TOOMANYREQUESTS"])
    await _push(api, "a", "small")
    go_on.set()

    assert [(await task)[0]["status"] for task in running] == [201] * 6
    assert (await call(api, "PUT", "/v2/a/manifests/large", body=large)).status == 201


@pytest.mark.parametrize(("headers", "noted"), [({}, 1), ({"Cargohold-Pull": "yes"}, 1), ({"Cargohold-Pull": "no"}, 0)])
async def test_who_only_looks_at_a_manifest_does_not_count_as_pulling_it(
    backend: MemoryBackend, headers: dict[str, str], noted: int
) -> None:
    registry = Registry(backend, Rules())
    options = ApiOptions(Locations(relative=True, external_url="", proxies=Proxies()), True, 64, 100, 1000)
    api = open_api(registry, options)
    await _push(api)

    for method in ("GET", "HEAD"):
        assert (await call(api, method, "/v2/a/manifests/latest", headers=headers)).status == 200

    assert await registry.pulls.write() == noted
