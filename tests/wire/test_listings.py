"""Lists: tags (end-8) and the catalog, page by page."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.images import index
from tests.wire.repository import Repository
from tests.wire.wire import Reply, Wire

_TAGS = ["1", "1.0", "10", "2", "A", "Z", "_x", "a", "a-b", "a.b", "a_b", "latest", "v1", "v10", "v2"]


def _tagged(repository: Repository, tags: list[str]) -> Repository:
    value = index([])
    for tag in tags:
        repository.push(tag, value)
    return repository


def _all_pages(wire: Wire, target: str, member: str) -> tuple[list[str], list[Reply]]:
    found: list[str] = []
    replies = []
    following: str | None = target
    while following is not None:
        reply = wire.call("GET", following)
        assert reply.status == 200, reply.body
        replies.append(reply)
        found += reply.json[member]
        following = reply.next
    return found, replies


def test_all_tags_in_byte_order(repository: Repository) -> None:
    _tagged(repository, _TAGS[::-1])

    reply = repository.call("GET", "tags/list")

    assert reply.json == {"name": repository.name, "tags": sorted(_TAGS)}
    assert reply.next is None


@pytest.mark.parametrize("size", [1, 2, 4, 7, 14])
def test_following_the_links_gives_every_tag_once(repository: Repository, size: int) -> None:
    _tagged(repository, _TAGS)

    found, replies = _all_pages(repository.wire, repository[f"tags/list?n={size}"], "tags")

    assert found == sorted(_TAGS)
    assert all(len(reply.json["tags"]) == size for reply in replies[:-1])
    assert len(replies) == -(-len(_TAGS) // size)


@pytest.mark.parametrize("size", [15, 16, 100_000, 10**30])
def test_a_page_that_holds_all_has_no_next(repository: Repository, size: int) -> None:
    reply = _tagged(repository, _TAGS).call("GET", f"tags/list?n={size}")

    assert reply.json["tags"] == sorted(_TAGS)
    assert reply.next is None


def test_a_page_of_nothing_is_empty_and_has_no_next(repository: Repository) -> None:
    reply = _tagged(repository, _TAGS[:3]).call("GET", "tags/list?n=0")

    assert (reply.status, reply.json["tags"], reply.next) == (200, [], None)


@pytest.mark.parametrize("last", ["", "0", "1", "10", "9", "Zz", "a", "a-", "latest", "v1", "v2", "zzz"])
def test_a_list_begins_behind_any_tag_there_or_not(repository: Repository, last: str) -> None:
    _tagged(repository, _TAGS)
    behind = [tag for tag in sorted(_TAGS) if tag > last]

    assert repository.call("GET", f"tags/list?last={last}").json["tags"] == behind
    reply = repository.call("GET", f"tags/list?n=3&last={last}")
    assert reply.json["tags"] == behind[:3]
    assert (reply.next is not None) == (len(behind) > 3)
    if reply.next is not None:
        assert parse_qs(urlsplit(reply.next).query) == {"n": ["3"], "last": [behind[2]]}


def test_tags_of_an_unknown_repository_are_not_found(repository: Repository) -> None:
    reply = repository.call("GET", "tags/list")

    assert (reply.status, reply.codes) == (404, ["NAME_UNKNOWN"])
    assert reply.json["errors"][0]["detail"] == {"name": repository.name}


def test_a_repository_without_tags_has_an_empty_list(repository: Repository) -> None:
    repository.push_blob(b"only a blob")

    assert repository.call("GET", "tags/list").json == {"name": repository.name, "tags": []}


def test_tags_pushed_and_deleted_between_pages_neither_hide_nor_double_others(repository: Repository) -> None:
    _tagged(repository, ["a", "b", "c", "d", "e"])
    first = repository.call("GET", "tags/list?n=2")
    assert first.json["tags"] == ["a", "b"]

    repository.call("DELETE", "manifests/b")
    repository.call("DELETE", "manifests/d")
    _tagged(repository, ["aa", "cc"])

    assert first.next is not None
    assert _all_pages(repository.wire, first.next, "tags")[0] == ["c", "cc", "e"]


@pytest.mark.parametrize("parameters", ["?n=-1", "?n=x", "?n=1.5", "?n=%201", "?n=0x1"])
@pytest.mark.parametrize("path", ["tags/list", "/v2/_catalog"])
def test_a_page_size_that_is_none_is_refused(repository: Repository, path: str, parameters: str) -> None:
    repository.push("latest", index([]))

    target = path if path.startswith("/") else repository[path]
    reply = repository.wire.call("GET", target + parameters)

    assert (reply.status, reply.codes) == (400, ["UNSUPPORTED"])
    assert "number of entries" in reply.message


@pytest.fixture
def names(wire: Wire, repository: Repository) -> list[str]:
    """Repositories whose names sort in ways that surprise; all begin alike."""
    base = repository.name
    names = [
        f"{base}{rest}" for rest in ("", "-x", "-x/y", ".x", "/a", "/a-b/c", "/a/b", "/b", "0", "0/a", "_x", "a/z")
    ]
    for name in names:
        Repository(wire, name).push("latest", index([]))
    return sorted(names)


def _begins_alike(found: list[str], names: list[str]) -> list[str]:
    return [name for name in found if name.startswith(names[0])]


@pytest.mark.parametrize("size", [1, 3, 5, 1000])
def test_following_the_links_gives_every_repository_once_and_in_order(wire: Wire, names: list[str], size: int) -> None:
    found, replies = _all_pages(wire, f"/v2/_catalog?n={size}&last={names[0][:-1]}", "repositories")

    assert _begins_alike(found, names) == names
    assert found == sorted(set(found))
    assert all(len(reply.json["repositories"]) == size for reply in replies[:-1])


def test_the_catalog_begins_behind_any_name(wire: Wire, names: list[str]) -> None:
    for last in [*names, names[0] + "-", names[0] + "/a-b", names[0] + "/zz"]:
        if last.endswith("-"):
            continue  # no name, and refused as such
        found = wire.call("GET", f"/v2/_catalog?n=100&last={last}").json["repositories"]
        assert _begins_alike(found, names) == [name for name in names if name > last]


def test_a_page_of_no_repositories_is_empty_and_has_no_next(wire: Wire, names: list[str]) -> None:
    reply = wire.call("GET", "/v2/_catalog?n=0")

    assert (reply.status, reply.json, reply.next) == (200, {"repositories": []}, None)


def test_a_place_in_the_catalog_that_is_no_name_is_refused(wire: Wire) -> None:
    reply = wire.call("GET", "/v2/_catalog?last=..%2F..%2Fetc")

    assert (reply.status, reply.codes) == (400, ["NAME_INVALID"])


def test_a_repository_of_which_all_is_deleted_leaves_the_catalog(wire: Wire, names: list[str]) -> None:
    repository = Repository(wire, names[0])
    digest = repository.call("HEAD", "manifests/latest").header("Docker-Content-Digest")
    repository.call("DELETE", f"manifests/{digest}")

    found = wire.call("GET", f"/v2/_catalog?n=100&last={names[0][:-1]}").json["repositories"]

    assert _begins_alike(found, names) == names[1:]
