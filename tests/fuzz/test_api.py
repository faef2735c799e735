"""Any request at all gets an answer of the spec's form: no path, query, header or body makes the server fail."""

import asyncio
import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.api.locations import Locations
from registry.api.options import ApiOptions
from registry.content.digest import Digest
from registry.content.repository import Registry, Rules
from registry.proxies import Proxies, networks
from storage_backends.memory import MemoryBackend
from tests.unit.api.asgi_client import Reply, call
from tests.unit.api.opened import open_api
from tests.unit.content.documents import encoded, image, index

_DIGEST = str(Digest.of(b"data"))
_ID = "11111111-2222-4333-8444-555555555555"
_WORDS = [
    "a",
    "b",
    "tags",
    "list",
    "manifests",
    "latest",
    "blobs",
    "uploads",
    "referrers",
    "_catalog",
    _DIGEST,
    _ID,
    "",
]
_ODD = ["..", "%2e%2e", "%2f", "%", "%00", "%ff", "%c3%a9", "\xe9", "A", "sha256:", "sha512:" + "0" * 128, "x" * 300]
_METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "get", ""]
_LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0?#"), max_size=6)
_SEGMENT = st.sampled_from(_WORDS) | st.sampled_from(_ODD) | _LATIN
_KNOWN = st.sampled_from(
    [
        "a/manifests/latest",
        f"a/manifests/{_DIGEST}",
        f"a/blobs/{_DIGEST}",
        "a/blobs/uploads/",
        f"a/blobs/uploads/{_ID}",
        "a/tags/list",
        f"a/referrers/{_DIGEST}",
        "_catalog",
    ]
)
_PATH = _KNOWN | st.lists(_SEGMENT, max_size=6).map("/".join)
_KEY = st.sampled_from(["n", "last", "digest", "mount", "from", "tag", "artifactType", "digest-algorithm", "x"])
_VALUE = st.sampled_from([*_WORDS, *_ODD, "0", "-1", "5", "9" * 30, "sha256", "sha512"]) | _LATIN
_QUERY = st.lists(st.tuples(_KEY, _VALUE).map("=".join) | _LATIN, max_size=4).map("&".join)
_NUMBERS = st.sampled_from(["0-4", "5-9", "0-3", "bytes=0-1", "bytes=-1", "bytes=9-", "5", "0", "x", "", "9" * 40])
_ETAGS = st.sampled_from([f'"{_DIGEST}"', "*", "W/", '"', ","])
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Range": _NUMBERS | _LATIN,
        "Content-Length": _NUMBERS | _LATIN,
        "Range": _NUMBERS | _LATIN,
        "If-Range": _ETAGS | _LATIN,
        "If-None-Match": _ETAGS | _LATIN,
        "Content-Type": st.sampled_from(["application/vnd.oci.image.index.v1+json", "text/plain", ";", ""]) | _LATIN,
        "Host": _LATIN,
        "Forwarded": _LATIN,
        "X-Forwarded-Host": _LATIN,
        "X-Forwarded-Prefix": _LATIN,
    },
)
_BODY = st.sampled_from([b"", b"data", encoded(index()), encoded(image()), b"{", b"[" * 2000]) | st.binary(max_size=20)


async def _answer(method: str, target: str, body: bytes, headers: dict[str, str]) -> Reply:
    backend = MemoryBackend()
    options = ApiOptions(Locations(False, "", Proxies(networks(["127.0.0.0/8"]))), True, 8, 10, 100)
    api = open_api(Registry(backend, Rules()), options)
    await call(api, "POST", f"/v2/a/blobs/uploads/?digest={_DIGEST}", body=b"data")
    await call(api, "PUT", "/v2/a/manifests/latest", body=encoded(index()))
    await backend.create_upload(f"cargohold/v1/uploads/{_ID}.x")
    before = dict(backend._objects)

    reply = await call(api, method, target, body=body, headers=headers)

    if reply.status >= 400:
        assert backend._objects == before, "a refused request changed the storage"
    return reply


@settings(max_examples=500)
@given(st.sampled_from(_METHODS), _PATH, _QUERY, _BODY, _FIELDS)
@example("GET", f"a/referrers/{_DIGEST}", "n=0", b"", {})
@example("PUT", "a/manifests/x", "tag=y", b"[" * 100_000, {})
@example("PATCH", f"a/blobs/uploads/{_ID}", "", b"data", {"Content-Range": "0-4", "Content-Length": "5"})
@example("GET", f"a/blobs/{_DIGEST}", "", b"", {"Range": "bytes=" + "9" * 400 + "-"})
@example("PUT", "a/manifests/x", "", b"{}", {"Content-Length": "\xb2"})
def test_every_request_is_answered_and_a_refused_one_changes_nothing(
    method: str, path: str, query: str, body: bytes, headers: dict[str, str]
) -> None:
    target = f"/v2/{path}?{query}".replace(" ", "%20")

    reply = asyncio.run(_answer(method, target, body, headers))

    assert 200 <= reply.status < 500, reply.body
    for name, value in reply.headers.items():
        assert not set(value) & set("\r\n\0"), (name, value)
    if reply.status >= 400 and method != "HEAD":
        for error in json.loads(reply.body)["errors"]:
            assert error["code"]
            assert error["message"]
