"""Upload sessions against a dictionary: several processes, cut connections, failing disks and restarts in any order."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from registry.content import keyspace
from registry.content.digest import Digest
from registry.content.errors import DigestInvalid, RangeOutOfOrder, SizeInvalid, UploadInterrupted, UploadUnknown
from registry.content.leases import Leases
from registry.content.names import RepositoryName
from registry.content.upload_sessions import ChunkRange, Session, UploadSessions
from storage_backends.errors import NotFound, StorageFull, Unavailable
from tests.unit.content.failing import FailingBackend
from tests.unit.content.pouring import Poured

T = TypeVar("T")
_PROCESSES = 2
_NAME = RepositoryName.parse("team/app")
_BLOCKS = st.lists(st.binary(max_size=6), max_size=3)
_PROCESS = st.integers(0, _PROCESSES - 1)


class Uploads(RuleBasedStateMachine):
    """The model is what each session holds, and which blobs were acknowledged."""

    sessions = Bundle("sessions")

    @initialize()
    def start(self) -> None:
        """Empty storage, fresh processes."""
        self._loop = asyncio.new_event_loop()
        self._backend = FailingBackend()
        self._processes = [UploadSessions(self._backend, Leases(self._backend, 3600)) for _ in range(_PROCESSES)]
        self._held: dict[Session, bytes] = {}
        self._blobs: set[bytes] = set()

    def teardown(self) -> None:
        """Hypothesis calls it at the end of a run."""
        if hasattr(self, "_loop"):
            self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    @rule(target=sessions, process=_PROCESS, algorithm=st.sampled_from(["sha256", "sha512"]))
    def begin(self, process: int, algorithm: str) -> Session:
        """end-4."""
        session = self._run(self._processes[process].begin(_NAME, algorithm))
        self._held[session] = b""
        return session

    @rule(session=sessions, process=_PROCESS, blocks=_BLOCKS, in_range=st.booleans())
    def append(self, session: Session, process: int, blocks: list[bytes], in_range: bool) -> None:
        """A chunk, with its place said or not."""
        held, data = self._held[session], b"".join(blocks)
        chunk = ChunkRange(len(held), len(held) + len(data) - 1) if in_range and data else None
        assert self._run(self._processes[process].append(session, Poured(*blocks), chunk)) == len(held + data)
        self._held[session] += data

    @rule(session=sessions, process=_PROCESS, blocks=_BLOCKS)
    def is_cut(self, session: Session, process: int, blocks: list[bytes]) -> None:
        """The client goes away in the middle: what arrived stays."""
        try:
            self._run(self._processes[process].append(session, Poured(*blocks, cut=True)))
        except UploadInterrupted:
            self._held[session] += b"".join(blocks)
        else:
            raise AssertionError("the cut went unnoticed")

    @rule(session=sessions, process=_PROCESS, off=st.sampled_from([-2, -1, 1, 5]))
    def comes_out_of_order(self, session: Session, process: int, off: int) -> None:
        """A chunk from elsewhere changes nothing."""
        first = max(len(self._held[session]) + off, 0)
        if first == len(self._held[session]):
            return
        try:
            self._run(self._processes[process].append(session, Poured(b"lie"), ChunkRange(first, first + 2)))
        except RangeOutOfOrder as error:
            assert error.offset == len(self._held[session])
        else:
            raise AssertionError("a chunk out of order was taken")

    @rule(session=sessions, process=_PROCESS, blocks=_BLOCKS, off=st.sampled_from([-1, 1]))
    def is_not_as_long_as_said(self, session: Session, process: int, blocks: list[bytes], off: int) -> None:
        """A body that does not fit its range changes nothing."""
        first, length = len(self._held[session]), sum(map(len, blocks)) + off
        if length < 1:
            return
        try:
            self._run(self._processes[process].append(session, Poured(*blocks), ChunkRange(first, first + length - 1)))
        except SizeInvalid:
            return
        raise AssertionError("a body of another length was taken")

    @rule(session=sessions, process=_PROCESS, blocks=_BLOCKS, room=st.integers(0, 12), full=st.booleans())
    def meets_a_failing_disk(self, session: Session, process: int, blocks: list[bytes], room: int, full: bool) -> None:
        """A full disk changes nothing; after another error the session holds what reached the disk."""
        data = b"".join(blocks)
        self._backend.write_error = StorageFull("full") if full else Unavailable("broken")
        self._backend.room = room
        try:
            self._run(self._processes[process].append(session, Poured(*blocks)))
        except StorageFull:
            assert len(data) > room
        except Unavailable:
            self._held[session] += data[:room]
        else:
            self._held[session] += data
        finally:
            self._backend.write_error = None

    @rule(process=_PROCESS)
    def restart(self, process: int) -> None:
        """A process ends; another takes its place and remembers nothing."""
        self._processes[process] = UploadSessions(self._backend, Leases(self._backend, 3600))

    @rule(session=consumes(sessions), process=_PROCESS, blocks=_BLOCKS, algorithm=st.sampled_from(["sha256", "sha512"]))
    def finish(self, session: Session, process: int, blocks: list[bytes], algorithm: str) -> None:
        """end-6: acknowledged only with the right digest."""
        data = self._held.pop(session) + b"".join(blocks)
        self._run(self._processes[process].finish(session, Digest.of(data, algorithm), Poured(*blocks)))
        self._blobs.add(data)
        assert self._run(self._backend.get(keyspace.blob(Digest.of(data, algorithm)))).data == data

    @rule(session=consumes(sessions), process=_PROCESS, blocks=_BLOCKS)
    def finish_as_something_else(self, session: Session, process: int, blocks: list[bytes]) -> None:
        """A wrong digest ends the session and shows nothing."""
        wrong = Digest.of(self._held.pop(session) + b"".join(blocks) + b"!")
        try:
            self._run(self._processes[process].finish(session, wrong, Poured(*blocks)))
        except DigestInvalid:
            self._is_unknown(session)
        else:
            raise AssertionError("a digest lied")

    @rule(session=consumes(sessions), process=_PROCESS)
    def cancel(self, session: Session, process: int) -> None:
        """end-14."""
        del self._held[session]
        self._run(self._processes[process].cancel(session))
        self._is_unknown(session)

    @invariant()
    def every_process_sees_what_every_session_holds(self) -> None:
        """And no blob is there but those that were acknowledged, each under its own digest."""
        if not hasattr(self, "_held"):
            return
        for session, held in self._held.items():
            for process in self._processes:
                assert self._run(process.offset(session)) == len(held)
        for key in self._run(self._backend.list("docker/registry/v2/blobs/")).entries:
            data = self._run(self._backend.get(key)).data
            assert data in self._blobs
            assert key in {keyspace.blob(Digest.of(data, algorithm)) for algorithm in ("sha256", "sha512")}

    def _is_unknown(self, session: Session) -> None:
        for process in self._processes:
            try:
                self._run(process.offset(session))
            except (UploadUnknown, NotFound):
                continue
            raise AssertionError("the session is still there")


Uploads.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestUploads = Uploads.TestCase
