"""Each step of each change fails once: the caller is told with an error of the storage's own, never a system's."""

import errno
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from storage_backends.base import StorageBackend
from storage_backends.errors import Unavailable
from tests.contract.directory import open_directory
from tests.faults.steps import Steps, fail_with


async def _upload(backend: StorageBackend) -> None:
    async with backend.new_upload("new/target") as writer:
        writer.write(memoryview(b"bytes"))
        await writer.commit("new/target", first=[("new/link", b"")])


_CHANGES: dict[str, Callable[[StorageBackend], Awaitable[object]]] = {
    "put": lambda backend: backend.put("new/a", b"1"),
    "put, if absent": lambda backend: backend.put("new/a", b"1", if_absent=True),
    "put several": lambda backend: backend.put_many([("new/a", b"1"), ("there/b", b"2")]),
    "delete": lambda backend: backend.delete("there/a"),
    "delete several": lambda backend: backend.delete_many(["there/a", "there/c"]),
    "copy": lambda backend: backend.copy("there/a", "new/a"),
    "begin an upload": lambda backend: backend.create_upload("new/upload"),
    "a whole upload": _upload,
}


@pytest.mark.anyio
@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_a_failing_step_of_a_change_is_an_error_of_the_storage(
    change: Callable[[StorageBackend], Awaitable[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0
    for number in itertools.count(1):
        backend = open_directory(tmp_path / str(number))
        await backend.put_many([("there/a", b"1"), ("there/c", b"3")])
        steps = Steps(number, fail_with(errno.EIO))
        with monkeypatch.context() as patch:
            steps.wrap(patch.setattr)
            try:
                await change(backend)
            except Unavailable:
                refused += 1
        if not steps.met:
            break

    assert refused >= 2
