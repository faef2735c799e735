"""One line for each request: right, on one line, without secrets, and cheap."""

import asyncio
import errno
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.ops.access_log import AccessLog
from registry.ops.line_writer import LineWriter
from registry.ops.requests import Requests
from registry.proxies import Proxies


class Lines(LineWriter):
    """Keeps the lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.kept: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.kept.append(line)


def request(path: bytes = b"/v2/", query: bytes = b"", *, method: str = "GET", **fields: bytes) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "client": ("192.0.2.1", 4711),
        "headers": [(name.replace("_", "-").encode(), value) for name, value in fields.items()],
        "state": {},
    }


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def log(scope: dict[str, Any], app: ASGIApp = hello, *messages: Message) -> tuple[dict[str, Any], list[Message]]:
    """The line about a request, and what the client was sent."""
    lines, sent, waiting = Lines(), list[Message](), list(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return waiting.pop(0)

    async def scenario() -> None:
        try:
            await Requests(app, [AccessLog(lines, json_lines=True)], Proxies().client)(scope, receive, send)
        except (LookupError, ConnectionError, asyncio.CancelledError):
            assert app is not hello

    asyncio.run(scenario())
    (line,) = lines.kept
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    found: dict[str, Any] = json.loads(line)
    return found, sent


def test_line_says_who_asked_for_what_and_what_came_of_it() -> None:
    line, _ = log(request(b"/v2/a/tags/list", b"n=5&last=x", user_agent=b"docker/28"))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 <= line.pop("ms") < 1000
    assert re.fullmatch(r"[0-9a-f]{8}-1", line.pop("id"))
    assert line == {
        "level": "info",
        "message": "request",
        "client": "192.0.2.1",
        "method": "GET",
        "target": "/v2/a/tags/list?n=5&last=x",
        "status": 200,
        "sent": 5,
        "received": 0,
        "agent": "docker/28",
    }


def test_id_of_the_client_is_kept_if_it_is_harmless_and_reaches_application_and_answer() -> None:
    scope = request(x_request_id=b"Ab.1_2-3")
    line, sent = log(scope)

    assert line["id"] == scope["state"]["request_id"] == "Ab.1_2-3"
    assert (b"x-request-id", b"Ab.1_2-3") in sent[0]["headers"]


@pytest.mark.parametrize("given", [b"", b"a b", b'"', b"x" * 65, b"a\x1b[2J", "ä".encode()])
def test_id_of_the_client_is_replaced_if_it_is_not(given: bytes) -> None:
    line, sent = log(request(x_request_id=given))

    assert re.fullmatch(r"[0-9a-f]{8}-1", line["id"])
    assert (b"x-request-id", line["id"].encode()) in sent[0]["headers"]


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        (b"digest=sha256:ab&mount=c&from=d/e", "digest=sha256:ab&mount=c&from=d/e"),
        (b"token=secret&n=1", "token=***&n=1"),
        (b"X-Amz-Signature=secret", "X-Amz-Signature=***"),
        (b"%74oken=secret", "%74oken=***"),
        (b"secret", "***"),
        (b"digest=a=secret", "digest=a=secret"),
        (b"&&n=1", "&&n=1"),
    ],
)
def test_of_the_query_only_harmless_values_are_logged(query: bytes, logged: str) -> None:
    assert log(request(query=query))[0]["target"] == f"/v2/?{logged}"


def test_headers_are_not_logged() -> None:
    line, _ = log(request(authorization=b"Basic secret", cookie=b"secret", referer=b"secret"))

    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    "evil", [b'a" b\\', b"a\nforged", b"a\r\nforged", b"a\x1b[31m", "a\u2028\u202eb".encode(), b"\xff"]
)
def test_nothing_that_a_client_sends_ends_a_line_or_reaches_a_terminal(evil: bytes) -> None:
    for json_lines in (True, False):
        lines = Lines()
        scope = request(b"/" + evil, b"n=" + evil, user_agent=evil)

        async def scenario(lines: Lines = lines, scope: Scope = scope, json_lines: bool = json_lines) -> None:
            async def nothing(*_: object) -> Any:
                return None

            await Requests(hello, [AccessLog(lines, json_lines=json_lines)], Proxies().client)(scope, nothing, nothing)

        asyncio.run(scenario())
        (line,) = lines.kept
        assert line.endswith(b"\n")
        assert line[:-1].decode("ascii").isprintable()


def test_endless_fields_are_cut_so_that_a_line_stays_whole_among_others() -> None:
    lines = Lines()

    async def scenario() -> None:
        async def nothing(*_: object) -> Any:
            return None

        scope = request(b'/"' * 10_000, b'n="' * 10_000, user_agent=b"\xff" * 10_000)
        await Requests(hello, [AccessLog(lines, json_lines=True)], Proxies().client)(scope, nothing, nothing)

    asyncio.run(scenario())
    assert len(lines.kept[0]) <= 4096


def test_bytes_are_counted_both_ways() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        await send({"type": "http.response.start", "status": 201})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.zerocopysend", "file": 0, "offset": 0, "count": 100})

    body: list[Message] = [
        {"type": "http.request", "body": b"12345", "more_body": True},
        {"type": "http.request", "body": b"67"},
    ]
    line, _ = log(request(method="PUT"), app, *body)

    assert (line["status"], line["sent"], line["received"]) == (201, 103, 7)


def test_upload_that_stays_in_the_socket_is_counted() -> None:
    class Poured:
        received = 1234

    scope = request(method="PUT")
    scope["extensions"] = {"cargohold.body": Poured()}

    assert log(scope)[0]["received"] == 1234


def test_request_of_a_client_that_went_away_is_marked() -> None:
    async def before(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionAbortedError

    async def midway(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        error = ConnectionAbortedError()
        error.sent = 40  # type: ignore[attr-defined]
        raise error

    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    line, _ = log(request(), before)
    assert (line["status"], line["aborted"], line["sent"]) == (499, True, 0)
    line, _ = log(request(), midway)
    assert (line["status"], line["aborted"], line["sent"]) == (200, True, 43)
    line, _ = log(request(), cancelled)
    assert (line["status"], line["aborted"]) == (499, True)


def test_error_of_the_application_is_a_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    line, _ = log(request(), app)
    assert line["status"] == 500


def test_lines_are_written_soon_and_at_the_end_at_once() -> None:
    reading, writing = os.pipe()

    async def scenario() -> None:
        lines = LineWriter(writing)
        lines.write(b"one\n")
        lines.write(b"two\n")
        os.set_blocking(reading, False)
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        arrived = asyncio.Event()
        asyncio.get_running_loop().add_reader(reading, arrived.set)
        async with asyncio.timeout(5):
            await arrived.wait()
        asyncio.get_running_loop().remove_reader(reading)
        assert os.read(reading, 100) == b"one\ntwo\n"
        lines.write(b"three\n")
        lines.close()
        assert os.read(reading, 100) == b"three\n"
        lines.write(b"four\n")
        assert os.read(reading, 100) == b"four\n"

    asyncio.run(scenario())
    os.close(reading)
    os.close(writing)


def test_lines_of_several_writers_stay_whole() -> None:
    reading, writing = os.pipe()

    def write(letter: bytes) -> None:
        lines = LineWriter(writing)
        for _ in range(50):
            lines._lines += [letter * 150 + b"\n"] * 20
            lines.flush()

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    seen: list[bytes] = []
    with open(reading, "rb", closefd=True) as stream:
        while len(seen) < 2000:
            seen.append(stream.readline().strip())
    for writer in writers:
        writer.join()
    os.close(writing)

    assert len(seen) == 2000
    assert set(seen) == {b"a" * 150, b"b" * 150}


def test_reader_that_goes_away_costs_the_log_and_not_the_server(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = LineWriter(writing)
    lines.close()

    async def scenario() -> None:
        lines.write(b"one\n")
        lines.write(b"two\n")

    asyncio.run(scenario())
    os.close(writing)
    assert caplog.text.count("cannot be written") == 1


def test_a_disk_that_was_full_for_a_while_costs_only_the_lines_of_that_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write, room = os.write, [100]
    file = (tmp_path / "audit.log").open("ab", buffering=0)
    lines = LineWriter(file.fileno(), "audit log")
    lines.close()

    def limited(fd: int, data: bytes) -> int:
        if fd != file.fileno():
            return write(fd, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, data[: room[0]])
        room[0] -= written
        return written

    async def scenario() -> None:
        for letter, left in [(b"a", 100), (b"b", 30), (b"c", 0), (b"d", 10), (b"e", 1000), (b"f", 1000)]:
            room[0] = left
            lines.write(letter * 50 + b"\n")

    monkeypatch.setattr(os, "write", limited)
    asyncio.run(scenario())
    monkeypatch.undo()
    file.close()

    written = (tmp_path / "audit.log").read_bytes().splitlines()
    assert written == [letter * 50 for letter in (b"a", b"b", b"e", b"f")]
    assert caplog.text.count("cannot be written") == 1
    assert "2 lines are lost" in caplog.text


def test_logging_costs_less_than_a_request_by_far() -> None:
    lines = Lines()
    logged = Requests(hello, [AccessLog(lines, json_lines=True)], Proxies().client)
    count = 2000

    async def nothing(*_: object) -> Any:
        return None

    async def seconds_each(app: ASGIApp) -> float:
        best = 1.0
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(count):
                await app(request(user_agent=b"docker/28", accept=b"*/*", host=b"a"), nothing, nothing)
            best = min(best, (time.perf_counter() - begun) / count)
        return best

    async def scenario() -> float:
        return await seconds_each(logged) - await seconds_each(hello)

    cost = asyncio.run(scenario())
    print(f"{cost * 1e6:.1f} microseconds")
    assert cost < 50e-6  # 9 on the machine of docs/performance.md; room for slow and busy ones
