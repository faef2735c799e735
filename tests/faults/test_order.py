"""Bytes reach the disk before their name does, and the name before the answer: the order shows what no kill can."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage_backends import durable
from storage_backends.filesystem import FilesystemBackend
from tests.faults.steps import STEPS

Trace = list[tuple[str, str]]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """Every step, with the path that it was about."""
    steps: Trace = []

    def traced(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            first = arguments[0]
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(arguments[-1])
            result = step(*arguments)
            if name in ("rename", "link"):
                steps.append(("named", str(arguments[0])))
            steps.append((name, path))
            return result

        return run

    for name in STEPS:
        monkeypatch.setattr(durable, name, traced(name, getattr(durable, name)))
    return steps


@pytest.mark.parametrize("ordered", [True, False])
def test_no_name_is_given_to_bytes_that_are_not_on_the_disk(
    tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    monkeypatch.setattr(durable, "metadata_is_ordered", lambda _: ordered)

    asyncio.run(_push(FilesystemBackend(tmp_path)))

    named = [path for step, path in trace if step == "named"]
    assert len(named) == 6
    for path in named:
        given = trace.index(("named", path))
        assert ("sync_file", path) in trace[:given], f"{path} got its name before it was synced"
        assert ("write", path) not in trace[trace.index(("sync_file", path)) : given]


@pytest.mark.parametrize("ordered", [True, False])
def test_every_change_of_a_directory_is_synced_before_the_call_returns(
    tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    monkeypatch.setattr(durable, "metadata_is_ordered", lambda _: ordered)
    backend = FilesystemBackend(tmp_path)

    for call in (_push, _delete):
        trace.clear()
        asyncio.run(call(backend))
        changed = [
            index for index, (step, _) in enumerate(trace) if step in ("rename", "link", "unlink", "make_directory")
        ]
        changed = [index for index in changed if "/cargohold/v1/tmp/" not in trace[index][1]]
        synced = [index for index, (step, _) in enumerate(trace) if step == "sync_directory"]
        if ordered:
            # the journal commits in order: the sync of the directory that was changed last covers all
            assert synced[-1] > changed[-1]
            continue
        for index in changed:
            step, path = trace[index]
            parent = os.path.dirname(path)
            later = [path for number, (step, path) in enumerate(trace) if step == "sync_directory" and number > index]
            assert parent in later or not os.path.isdir(parent), f"{step} {path} was not synced"


async def _push(backend: FilesystemBackend) -> None:
    await backend.create_upload("up/1")
    async with backend.open_upload("up/1") as upload:
        await asyncio.to_thread(upload.write, memoryview(b"layer"))
        await upload.commit("blobs/x/data", [("links/x/link", b"x")])
    await backend.put_many([("blobs/y/data", b"manifest"), ("revisions/y/link", b"y")])
    await backend.put("tags/v1/current/link", b"y")
    await backend.put("own/first", b"", if_absent=True)


async def _delete(backend: FilesystemBackend) -> None:
    await backend.delete_many(["tags/v1/current/link", "revisions/y/link"])
