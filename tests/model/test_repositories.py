"""Repositories against dictionaries: two processes push, mount, tag, delete and list in any order, on every backend."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry.content import mediatypes
from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, ManifestUnknown, NameUnknown, ReferencesUnknown
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.base import StorageBackend
from storage_backends.filesystem import FilesystemBackend
from storage_backends.memory import MemoryBackend
from tests.unit.content.documents import descriptor, encoded, image, index
from tests.unit.content.pouring import Poured

T = TypeVar("T")
_NAMES = [RepositoryName.parse(text) for text in ("a", "a-b", "a/b", "b")]
_BLOBS = [b"{}", b"one", b"two"]
_SUBJECT = b"subject"
_MANIFESTS = {
    "image": (encoded(image(b"{}", [b"one"])), [b"{}", b"one"]),
    "larger image": (encoded(image(b"{}", [b"one", b"two"])), [b"{}", b"one", b"two"]),
    "index": (encoded(index()), []),
    "referrer": (encoded(index(subject=descriptor(_SUBJECT, mediatypes.OCI_MANIFEST))), []),
    "image that refers": (
        encoded(image(b"{}", [], subject=descriptor(_SUBJECT, mediatypes.OCI_MANIFEST))),
        [b"{}"],
    ),
}
_REFERRERS = {Digest.of(_MANIFESTS[kind][0]) for kind in ("referrer", "image that refers")}
_NAME = st.sampled_from(_NAMES)
_TAG = st.sampled_from([Tag("1"), Tag("a"), Tag("latest")])
_PROCESS = st.integers(0, 1)
_KIND = st.sampled_from(sorted(_MANIFESTS))


class Repositories(RuleBasedStateMachine):
    """The model is, by repository: its blobs, its manifests by digest, and what its tags name."""

    def make_backend(self) -> StorageBackend:
        """The storage under test."""
        return MemoryBackend()

    @initialize()
    def start(self) -> None:
        """Empty storage, two processes."""
        self._loop = asyncio.new_event_loop()
        backend = self.make_backend()
        self._processes = [Registry(backend, Rules()) for _ in range(2)]
        self._blobs: dict[RepositoryName, set[bytes]] = {name: set() for name in _NAMES}
        self._manifests: dict[RepositoryName, dict[Digest, bytes]] = {name: {} for name in _NAMES}
        self._tags: dict[RepositoryName, dict[Tag, Digest]] = {name: {} for name in _NAMES}

    def teardown(self) -> None:
        """Hypothesis calls it at the end of a run."""
        if hasattr(self, "_loop"):
            self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    @rule(process=_PROCESS, name=_NAME, data=st.sampled_from(_BLOBS))
    def push_blob(self, process: int, name: RepositoryName, data: bytes) -> None:
        """end-4b."""
        self._run(self._processes[process].uploads.push(name, Digest.of(data), Poured(data)))
        self._blobs[name].add(data)

    @rule(process=_PROCESS, name=_NAME, source=_NAME, data=st.sampled_from(_BLOBS))
    def mount_blob(self, process: int, name: RepositoryName, source: RepositoryName, data: bytes) -> None:
        """end-11."""
        done = self._run(self._processes[process].mount(name, Digest.of(data), source))
        assert done == (data in self._blobs[source])
        if done:
            self._blobs[name].add(data)

    @rule(process=_PROCESS, name=_NAME, data=st.sampled_from(_BLOBS))
    def delete_blob(self, process: int, name: RepositoryName, data: bytes) -> None:
        """end-10."""
        try:
            self._run(self._processes[process].blobs.unlink(name, Digest.of(data)))
        except BlobUnknown:
            assert data not in self._blobs[name]
        else:
            self._blobs[name].remove(data)

    @rule(process=_PROCESS, name=_NAME, kind=_KIND, tag=_TAG, by_digest=st.booleans())
    def push_manifest(self, process: int, name: RepositoryName, kind: str, tag: Tag, by_digest: bool) -> None:
        """end-7."""
        data, needed = _MANIFESTS[kind]
        digest = Digest.of(data)
        registry = self._processes[process]
        push = registry.put_manifest(name, digest if by_digest else tag, data, None, [tag] if by_digest else [])
        try:
            self._run(push)
        except ReferencesUnknown as error:
            assert set(error.missing) == {str(Digest.of(blob)) for blob in needed if blob not in self._blobs[name]}
            assert error.missing
        else:
            assert self._blobs[name].issuperset(needed)
            self._manifests[name][digest] = data
            self._tags[name][tag] = digest

    @rule(process=_PROCESS, name=_NAME, tag=_TAG)
    def delete_tag(self, process: int, name: RepositoryName, tag: Tag) -> None:
        """end-9, by tag."""
        try:
            self._run(self._processes[process].delete_tag(name, tag))
        except ManifestUnknown:
            assert tag not in self._tags[name]
        else:
            del self._tags[name][tag]

    @rule(process=_PROCESS, name=_NAME, kind=_KIND)
    def delete_manifest(self, process: int, name: RepositoryName, kind: str) -> None:
        """end-9, by digest: tags go with it."""
        digest = Digest.of(_MANIFESTS[kind][0])
        try:
            self._run(self._processes[process].delete_manifest(name, digest))
        except ManifestUnknown:
            assert digest not in self._manifests[name]
        else:
            del self._manifests[name][digest]
            self._tags[name] = {tag: named for tag, named in self._tags[name].items() if named != digest}

    @rule(process=_PROCESS, after=st.sampled_from(["", "a", "a-b", "a/b"]), limit=st.integers(1, 5))
    def list_repositories(self, process: int, after: str, limit: int) -> None:
        """The catalog shows what has manifests."""
        page = self._run(self._processes[process].repositories(after, limit))
        behind = sorted(name for name in _NAMES if self._manifests[name] and name > after)
        assert list(page.names) == behind[:limit]
        assert page.more == (len(behind) > limit)

    @rule(process=_PROCESS, name=_NAME)
    def list_referrers(self, process: int, name: RepositoryName) -> None:
        """end-12."""
        page = self._run(self._processes[process].referrers(name, Digest.of(_SUBJECT), None, "", 10))
        assert [entry["digest"] for entry in page.descriptors] == sorted(
            map(str, _REFERRERS & self._manifests[name].keys())
        )

    @rule(process=_PROCESS, name=_NAME)
    def list_tags(self, process: int, name: RepositoryName) -> None:
        """end-8."""
        try:
            page = self._run(self._processes[process].tags(name, "", 10))
        except NameUnknown:
            assert not self._manifests[name]
            assert not self._blobs[name]
        else:
            assert list(page.names) == sorted(self._tags[name])

    @invariant()
    def all_processes_serve_what_was_acknowledged(self) -> None:
        """Every blob, manifest and tag, and none that was deleted."""
        if not hasattr(self, "_tags"):
            return
        for registry in self._processes:
            for name in _NAMES:
                self._check(registry, name)

    def _check(self, registry: Registry, name: RepositoryName) -> None:
        for data in _BLOBS:
            assert self._run(registry.blobs.has(name, Digest.of(data))) == (data in self._blobs[name])
        for data, _ in _MANIFESTS.values():
            found = self._get(registry, name, Digest.of(data))
            assert found == self._manifests[name].get(Digest.of(data))
        for tag in (Tag("1"), Tag("a"), Tag("latest")):
            named = self._tags[name].get(tag)
            assert self._get(registry, name, tag) == (None if named is None else self._manifests[name][named])

    def _get(self, registry: Registry, name: RepositoryName, reference: Digest | Tag) -> bytes | None:
        try:
            return self._run(registry.get_manifest(name, reference)).data
        except ManifestUnknown:
            return None


class RepositoriesOnDisk(Repositories):
    """The same on a directory."""

    def make_backend(self) -> StorageBackend:
        """A directory of this run's own."""
        self._directory = Path(tempfile.mkdtemp(prefix="cargohold-model-"))
        return FilesystemBackend(self._directory)

    def teardown(self) -> None:
        """Remove the directory as well."""
        super().teardown()
        if hasattr(self, "_directory"):
            shutil.rmtree(self._directory)


Repositories.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
RepositoriesOnDisk.TestCase.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)
TestRepositories = Repositories.TestCase
TestRepositoriesOnDisk = RepositoriesOnDisk.TestCase
