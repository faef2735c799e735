"""Answers onto the wire: whole, of the announced length, without copies where possible, and nothing left open."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from starlette.types import Message

from registry.api.request import Answer
from registry.api.sending import send_answer
from storage_backends.sendable import ByteStream, FileRegion

_DATA = bytes(range(256)) * 4096
_ZERO_COPY: dict[str, dict[str, str]] = {"http.response.zerocopysend": {}}


def _region(path: Path, offset: int = 0, length: int | None = None) -> FileRegion:
    path.write_bytes(_DATA)
    fd = os.open(path, os.O_RDONLY)
    return FileRegion(fd, offset, len(_DATA) - offset if length is None else length, len(_DATA))


async def _send(answer: Answer, method: str = "GET", extensions: object = None, fail: bool = False) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if fail and len(sent) == 2:
            raise ConnectionResetError("the client is gone")

    await send_answer(answer, {"method": method, "extensions": extensions or {}}, send)
    return sent


def _length(sent: list[Message]) -> str | None:
    fields = dict(sent[0]["headers"])
    return fields[b"content-length"].decode() if b"content-length" in fields else None


def _body(sent: list[Message]) -> bytes:
    return b"".join(message["body"] for message in sent[1:])


async def test_bytes_are_sent_with_their_length() -> None:
    sent = await _send(Answer(200, [(b"a", b"b")], b"body"))

    assert sent[0]["status"] == 200
    assert (b"a", b"b") in sent[0]["headers"]
    assert (_length(sent), _body(sent)) == ("4", b"body")


async def test_to_a_head_the_length_is_sent_alone() -> None:
    assert (_length(sent := await _send(Answer(200, [], b"body"), "HEAD")), _body(sent)) == ("4", b"")
    assert (_length(sent := await _send(Answer(200, [], length=12345), "HEAD")), _body(sent)) == ("12345", b"")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_have_no_length(status: int) -> None:
    assert _length(await _send(Answer(status))) is None


@pytest.mark.parametrize(("offset", "length"), [(0, None), (100, 300_000), (0, 0), (len(_DATA) - 1, 1)])
async def test_a_file_is_sent_block_by_block_where_the_server_cannot_do_better(
    tmp_path: Path, offset: int, length: int | None
) -> None:
    region = _region(tmp_path / "blob", offset, length)

    sent = await _send(Answer(200, [], region))

    expected = _DATA[offset:] if length is None else _DATA[offset : offset + length]
    assert _body(sent) == expected
    assert _length(sent) == str(len(expected))
    assert sent[-1].get("more_body", False) is False
    assert all(len(message["body"]) <= 256 * 1024 for message in sent[1:])
    assert region.fd == -1


async def test_a_file_is_handed_to_a_server_that_sends_without_copying(tmp_path: Path) -> None:
    region = _region(tmp_path / "blob", 100, 500)
    fd = region.fd

    sent = await _send(Answer(206, [], region), extensions=_ZERO_COPY)

    assert sent[1] == {
        "type": "http.response.zerocopysend",
        "file": fd,
        "offset": 100,
        "count": 500,
        "more_body": False,
    }
    assert region.fd == -1


async def test_a_stream_is_sent_as_it_comes() -> None:
    async def blocks() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b"two"

    sent = await _send(Answer(200, [], ByteStream(blocks(), 6, 6)), extensions=_ZERO_COPY)

    assert (_length(sent), _body(sent)) == ("6", b"onetwo")


@pytest.mark.parametrize("extensions", [{}, _ZERO_COPY])
async def test_a_file_is_closed_when_the_client_goes_away(tmp_path: Path, extensions: object) -> None:
    region = _region(tmp_path / "blob")

    with pytest.raises(ConnectionResetError):
        await _send(Answer(200, [], region), extensions=extensions, fail=True)

    assert region.fd == -1


async def test_a_file_is_closed_when_only_its_head_is_asked_for(tmp_path: Path) -> None:
    region = _region(tmp_path / "blob")

    sent = await _send(Answer(200, [], region), "HEAD", _ZERO_COPY)

    assert (_length(sent), _body(sent)) == (str(len(_DATA)), b"")
    assert region.fd == -1


async def test_a_file_that_is_shorter_than_it_was_never_looks_whole(tmp_path: Path) -> None:
    region = _region(tmp_path / "blob")
    os.truncate(tmp_path / "blob", 1000)

    sent = await _send(Answer(200, [], region))

    assert _length(sent) == str(len(_DATA))
    assert _body(sent) == _DATA[:1000]
