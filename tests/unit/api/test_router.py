"""Every path of the spec leads where it should, and no path, however made, raises or makes borders of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.api.router import Resource, Route, match

_DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2", Route(Resource.BASE)),
        ("/v2/", Route(Resource.BASE)),
        ("/v2/_catalog", Route(Resource.CATALOG)),
        ("/admin/gc", Route(Resource.GARBAGE)),
        ("/v2/a/tags/list", Route(Resource.TAGS, "a")),
        ("/v2/a/b/c/tags/list", Route(Resource.TAGS, "a/b/c")),
        ("/v2/a/b/manifests/latest", Route(Resource.MANIFEST, "a/b", "latest")),
        (f"/v2/a/manifests/{_DIGEST}", Route(Resource.MANIFEST, "a", _DIGEST)),
        (f"/v2/a/blobs/{_DIGEST}", Route(Resource.BLOB, "a", _DIGEST)),
        (f"/v2/a/referrers/{_DIGEST}", Route(Resource.REFERRERS, "a", _DIGEST)),
        ("/v2/a/blobs/uploads", Route(Resource.UPLOADS, "a")),
        ("/v2/a/blobs/uploads/", Route(Resource.UPLOADS, "a")),
        ("/v2/a/b/blobs/uploads/id", Route(Resource.UPLOAD, "a/b", "id")),
    ],
)
def test_the_paths_of_the_spec(path: str, route: Route) -> None:
    assert match(path) == route


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/tags/list/tags/list", Route(Resource.TAGS, "tags/list")),
        ("/v2/manifests/manifests/manifests", Route(Resource.MANIFEST, "manifests", "manifests")),
        ("/v2/blobs/uploads/blobs/uploads/", Route(Resource.UPLOADS, "blobs/uploads")),
        ("/v2/blobs/uploads/manifests/uploads", Route(Resource.MANIFEST, "blobs/uploads", "uploads")),
        ("/v2/a/blobs/uploads/manifests/latest", Route(Resource.MANIFEST, "a/blobs/uploads", "latest")),
        ("/v2/a/blobs/uploads/tags/list", Route(Resource.TAGS, "a/blobs/uploads")),
        ("/v2/_catalog/tags/list", Route(Resource.TAGS, "_catalog")),
        ("/v2/a/tags/manifests/list", Route(Resource.MANIFEST, "a/tags", "list")),
    ],
)
def test_names_may_consist_of_the_words_of_the_api(path: str, route: Route) -> None:
    assert match(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1/",
        "/v2x",
        "/v2x/",
        "/V2/",
        "v2/",
        "//v2/",
        "/v2/a",
        "/v2/a/",
        "/v2/a/b",
        "/v2/a/b/c",
        "/v2/tags/list",
        "/v2/_catalog/",
        "/v2/a/tags/lists",
        "/v2/a/tag/list",
        "/v2/a/tags/list/",
        "/v2/a/blobs/upload/x",
        "/v2/a/uploads/x",
        "/v2/a/manifests/latest/",
        "/v2/a/manifests/latest/x",
        "/v2/manifests/latest",
    ],
)
def test_nothing_else_is_there(path: str) -> None:
    assert match(path) is None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/%61/tags/list", Route(Resource.TAGS, "a")),
        ("/v2/a/%74ags/list", Route(Resource.TAGS, "a")),
        ("/v2/a/manifests/sha256%3A00", Route(Resource.MANIFEST, "a", "sha256:00")),
        ("/v2/a%2Fb/tags/list", Route(Resource.TAGS, "a%2Fb")),
        ("/v2/a%2fb/tags/list", Route(Resource.TAGS, "a%2fb")),
        ("/v2/a/manifests/..%2f..%2fb", Route(Resource.MANIFEST, "a", "..%2f..%2fb")),
        ("/v2/a/manifests%2Flatest", None),
        ("/v2/a%2Ftags%2Flist", None),
        ("/v2%2Fa/tags/list", None),
        ("/v2/a/%2e%2e/manifests/latest", Route(Resource.MANIFEST, "a/..", "latest")),
        ("/v2/a/../manifests/latest", Route(Resource.MANIFEST, "a/..", "latest")),
        ("/v2/a/%252e%252e/manifests/latest", Route(Resource.MANIFEST, "a/%2e%2e", "latest")),
        ("/v2/a%00/tags/list", Route(Resource.TAGS, "a\x00")),
        ("/v2/a%/tags/list", Route(Resource.TAGS, "a%")),
        ("/v2/a%zz/tags/list", Route(Resource.TAGS, "a%zz")),
        ("/v2//tags/list", Route(Resource.TAGS, "")),
        ("/v2/a//tags/list", Route(Resource.TAGS, "a/")),
    ],
)
def test_what_is_encoded_is_decoded_once_and_never_becomes_a_border(path: str, route: Route | None) -> None:
    assert match(path) == route


_PIECES = ["v2", "a", "b-c", "tags", "list", "manifests", "blobs", "uploads", "referrers", "_catalog", "", ".", ".."]
_ODD = ["%2f", "%2F", "%2e", "%", "%00", "%ff", "%c3%a9", "\xff", ":", "?", "%25", "%2525", "\\"]
_PART = st.one_of(st.sampled_from(_PIECES), st.sampled_from(_ODD), st.text(max_size=3))
_PATHS = st.lists(_PART, max_size=12).map("/".join) | st.lists(_PART | st.just("/"), max_size=20).map("".join)


@given(st.sampled_from(["/v2/", "/v2", ""]), _PATHS)
def test_no_path_raises_and_no_route_has_more_borders_than_the_path(prefix: str, rest: str) -> None:
    path = prefix + rest

    route = match(path)

    if route is None:
        return
    assert path.startswith("/v2")
    assert "/" not in route.argument
    assert route.name.count("/") + 2 <= path.count("/") or route.resource in (Resource.BASE, Resource.CATALOG)


@given(st.text(), st.text())
def test_an_encoded_slash_never_moves_a_request_to_another_repository(left: str, right: str) -> None:
    for slash in ("%2f", "%2F"):
        route = match(f"/v2/x/{left.replace('/', '')}{slash}{right.replace('/', '')}/manifests/latest")

        assert route is not None
        assert route.name.count("/") == 1
