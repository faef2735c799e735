"""Tags: the last writer wins, a half-made tag is none, and the list is in order."""

from pathlib import Path

import pytest

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.names import RepositoryName, Tag
from registry.content.tag_store import TagStore
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend

_ONE, _TWO = Digest.of(b"one"), Digest.of(b"two", "sha512")
_LATEST = Tag("latest")


@pytest.fixture
def tags(backend: MemoryBackend) -> TagStore:
    return TagStore(backend)


async def test_a_tag_names_what_it_was_moved_to_last(tags: TagStore, name: RepositoryName) -> None:
    for digest in (_ONE, _TWO, _ONE):
        await tags.move(name, _LATEST, digest)

        assert await tags.resolve(name, _LATEST) == digest


async def test_a_tag_remembers_what_it_has_named(backend: MemoryBackend, tags: TagStore, name: RepositoryName) -> None:
    await tags.move(name, _LATEST, _ONE)
    await tags.move(name, _LATEST, _TWO)

    for digest in (_ONE, _TWO):
        link = await backend.get(keyspace.tag_index(name, _LATEST, digest))
        assert link.data == str(digest).encode()


async def test_a_tag_belongs_to_its_repository(tags: TagStore, name: RepositoryName) -> None:
    await tags.move(name, _LATEST, _ONE)

    with pytest.raises(ManifestUnknown, match="tag 'latest' is not in repository other"):
        await tags.resolve(RepositoryName.parse("other"), _LATEST)


@pytest.mark.parametrize("link", [b"", b"sha256:", b"\xff\xfe", b"md5:00", str(_ONE).encode()[:-1]])
async def test_a_link_that_a_crash_left_unfinished_names_nothing(
    backend: MemoryBackend, tags: TagStore, name: RepositoryName, link: bytes
) -> None:
    await backend.put(keyspace.tag_current(name, _LATEST), link)

    with pytest.raises(ManifestUnknown):
        await tags.resolve(name, _LATEST)


async def test_a_tag_of_which_only_history_is_left_is_not_listed(
    backend: MemoryBackend, tags: TagStore, name: RepositoryName
) -> None:
    await backend.put(keyspace.tag_index(name, _LATEST, _ONE), str(_ONE).encode())
    await backend.put(keyspace.tag_current(name, Tag("empty")), b"")
    await tags.move(name, Tag("whole"), _ONE)

    assert (await tags.page(name, "", 10)).names == ("whole",)


async def test_the_list_is_in_byte_order_and_begins_behind_any_text(tags: TagStore, name: RepositoryName) -> None:
    made = ["1", "10", "2", "A", "_a", "a", "a-b", "a.b", "b"]
    for text in reversed(made):
        await tags.move(name, Tag(text), _ONE)

    for after in ["", "1", "10", "3", "Z", "a", "a-", "a-b", "b", "zz", "ä", "../", "\x00", "\ud800"]:
        page = await tags.page(name, after, 100)
        assert list(page.names) == [text for text in sorted(made) if text > after]


async def test_removing_a_tag_takes_its_history_and_nothing_else(
    backend: MemoryBackend, tags: TagStore, name: RepositoryName
) -> None:
    await tags.move(name, Tag("other"), _ONE)
    before = await backend.list("")
    await tags.move(name, _LATEST, _ONE)
    await tags.move(name, _LATEST, _TWO)

    await tags.remove(name, _LATEST)

    assert await backend.list("") == before


async def test_a_long_history_goes_whole(backend: MemoryBackend, tags: TagStore, name: RepositoryName) -> None:
    for number in range(1100):
        await tags.move(name, _LATEST, Digest.of(b"%d" % number))

    await tags.remove(name, _LATEST)

    assert (await backend.list("")).entries == ()


async def test_tags_that_name_a_manifest_now_are_found(tags: TagStore, name: RepositoryName) -> None:
    for text in ("a", "b", "c"):
        await tags.move(name, Tag(text), _ONE)
    await tags.move(name, Tag("b"), _TWO)

    assert await tags.naming(name, _ONE) == ["a", "c"]
    assert await tags.naming(name, _TWO) == ["b"]
    assert await tags.naming(name, Digest.of(b"other")) == []


@pytest.mark.parametrize("stray", [".DS_Store", ".snapshot/x", "lost+found/current/link", "a b/current/link"])
async def test_what_cannot_be_a_tag_is_passed_over(tmp_path: Path, name: RepositoryName, stray: str) -> None:
    tags = TagStore(FilesystemBackend(tmp_path))
    await tags.move(name, _LATEST, _ONE)
    path = tmp_path / keyspace.tags(name) / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("stray")

    assert (await tags.page(name, "", 10)).names == ("latest",)
    assert await tags.naming(name, _ONE) == ["latest"]
