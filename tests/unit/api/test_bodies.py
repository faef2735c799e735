"""Bodies that come as messages: poured whole and in large blocks, kept as far as they came, and limited."""

import asyncio
import threading

import pytest
from starlette.types import Message, Scope

from registry.api.bodies import read_manifest, upload_body
from registry.api.request import Request
from registry.api.router import Resource, Route
from registry.content.errors import ManifestTooLarge, UploadInterrupted

_GONE: Message = {"type": "http.disconnect"}


def _request(*messages: Message, headers: list[tuple[bytes, bytes]] | None = None, **scope: object) -> Request:
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    values: Scope = {"method": "PUT", "headers": headers or [], "query_string": b"", **scope}
    return Request(values, receive, Route(Resource.UPLOAD))


def _parts(*blocks: bytes) -> list[Message]:
    return [{"type": "http.request", "body": block, "more_body": True} for block in blocks]


_END: Message = {"type": "http.request"}


async def test_a_body_is_poured_in_order_and_gathered_into_large_blocks() -> None:
    blocks = [bytes([number % 251]) * 10_000 for number in range(100)]
    poured: list[bytes] = []

    total = await upload_body(_request(*_parts(*blocks), _END)).pump(lambda block: poured.append(bytes(block)))

    assert b"".join(poured) == b"".join(blocks)
    assert total == 1_000_000
    assert len(poured) == 4


@pytest.mark.parametrize("messages", [[_END], [*_parts(b"", b""), _END]])
async def test_a_body_of_nothing_is_poured_as_nothing(messages: list[Message]) -> None:
    poured: list[bytes] = []

    assert await upload_body(_request(*messages)).pump(lambda block: poured.append(bytes(block))) == 0
    assert poured == []


async def test_what_came_before_the_client_went_away_is_poured() -> None:
    poured: list[bytes] = []

    with pytest.raises(UploadInterrupted, match="the client went away"):
        await upload_body(_request(*_parts(b"one", b"two"), _GONE)).pump(lambda block: poured.append(bytes(block)))
    assert b"".join(poured) == b"onetwo"


async def test_what_writing_raises_ends_the_pump() -> None:
    def write(_: memoryview) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await upload_body(_request(*_parts(bytes(300_000), b"never read"))).pump(write)


async def test_blocks_are_written_in_a_thread_and_given_up_only_when_written() -> None:
    writing, may_end = threading.Event(), threading.Event()
    written: list[int] = []

    def write(block: memoryview) -> None:
        writing.set()
        may_end.wait(10)
        written.append(len(block))

    task = asyncio.create_task(upload_body(_request(*_parts(bytes(300_000)), _END)).pump(write))
    await asyncio.to_thread(writing.wait, 10)
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert written == [300_000]


async def test_a_body_that_the_server_pours_itself_is_taken_as_it_is() -> None:
    direct = object()

    assert upload_body(_request(extensions={"cargohold.body": direct})) is direct


def _unexpected() -> None:
    raise AssertionError("the body is small")


@pytest.mark.parametrize("announced", [[], [(b"content-length", b"70000")]])
async def test_a_large_manifest_is_taken_only_if_there_is_a_place_for_it(
    announced: list[tuple[bytes, bytes]],
) -> None:
    asked: list[int] = []
    parts = _parts(bytes(40_000), bytes(20_000), bytes(10_000))

    data = await read_manifest(_request(*parts, _END, headers=announced), 100_000, lambda: asked.append(1))
    assert (len(data), asked) == (70_000, [1])
    with pytest.raises(AssertionError, match="small"):
        await read_manifest(_request(*parts, _END, headers=announced), 100_000, _unexpected)


async def test_a_manifest_is_read_whole() -> None:
    assert await read_manifest(_request(*_parts(b"{", b"}"), _END), 2, _unexpected) == b"{}"


@pytest.mark.parametrize("announced", [b"3", b"9" * 18])
async def test_a_manifest_that_is_announced_too_large_is_not_read(announced: bytes) -> None:
    with pytest.raises(ManifestTooLarge, match="larger than the 2 bytes that this registry accepts"):
        await read_manifest(_request(headers=[(b"content-length", announced)]), 2, _unexpected)


async def test_a_manifest_that_turns_out_too_large_is_read_no_further() -> None:
    request = _request(*_parts(b"{", b"}", b"!"))

    with pytest.raises(ManifestTooLarge):
        await read_manifest(request, 2, _unexpected)


async def test_a_manifest_that_is_cut_off_is_none() -> None:
    with pytest.raises(UploadInterrupted):
        await read_manifest(_request(*_parts(b"{"), _GONE), 100, _unexpected)
