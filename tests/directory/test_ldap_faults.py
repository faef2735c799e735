"""Logging in while the directory, or who stands in its place, says what it should not."""

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import anyio
import pytest

from auth.errors import IdentityUnavailable
from auth.ldap_directory import LdapDirectory, LdapOptions

pytestmark = pytest.mark.anyio

PASSWORD, SERVICE_PASSWORD = "right or wrong", "of the service"
_BIND_REQUEST, _BIND, _STARTTLS = 0x60, 0x61, 0x78


@dataclass
class Impostor:
    """Answers each request with the next of its replies, and with the last one from then on."""

    port: int
    received: bytearray = field(default_factory=bytearray)
    connections: int = 0

    def options(self, **changes: object) -> LdapOptions:
        values: dict[str, object] = {
            "url": f"ldap://127.0.0.1:{self.port}",
            "start_tls": False,
            "ca_file": None,
            "timeout": 5.0,
            "bind_dn": "",
            "bind_password": "",
            "user_dn": "uid={user},dc=example",
            "user_base": "",
            "user_filter": "(uid={user})",
            "name_attribute": "uid",
            "group_base": "",
            "group_filter": "",
            "group_attribute": "cn",
            "required_group": "",
            **changes,
        }
        return LdapOptions(**values)  # type: ignore[arg-type]


@contextmanager
def impostor(answer: Callable[[socket.socket, bytes, Event], None]) -> Iterator[Impostor]:
    """A server that lets `answer` write to each connection what it likes, once a request has come."""
    over = Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Impostor(listening.getsockname()[1])
        threads: list[Thread] = []

        def talk(connection: socket.socket) -> None:
            with connection:
                try:
                    while request := connection.recv(65536):
                        found.received += request
                        answer(connection, request, over)
                except (ConnectionError, BrokenPipeError):
                    return  # the client has had enough, as some tests want

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                if over.is_set():
                    connection.close()
                    return
                found.connections += 1
                threads.append(Thread(target=talk, args=(connection,)))
                threads[-1].start()

        server = Thread(target=serve)
        server.start()
        try:
            yield found
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", found.port)).close()  # wakes `accept`
            for thread in (server, *threads):
                thread.join(10)
                assert not thread.is_alive()


@asynccontextmanager
async def asking(options: LdapOptions, threads: int = 4) -> AsyncIterator[LdapDirectory]:
    found = LdapDirectory(options, threads)
    try:
        yield found
    finally:
        found.close()


def result(request: bytes, kind: int, code: int) -> bytes:
    """An LDAPResult (RFC 4511, section 4.1.9) with the number of the request."""
    assert request[1] < 0x80  # so short that the number is where we look for it
    number = request[2 : 4 + request[3]]
    body = number + bytes((kind, 7, 0x0A, 1, code, 4, 0, 4, 0))
    return bytes((0x30, len(body))) + body


def says(reply: bytes) -> Callable[[socket.socket, bytes, Event], None]:
    return lambda connection, request, over: connection.sendall(reply)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 64,
        b"\x30\x05\x02\x01\x01\x61\x00",
        b"\x30\x0c\x02\x01\x07\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x84\x7f\xff\xff\xff",
        b"\xff" * 300,
    ],
    ids=["http", "zeros", "no result", "of another request", "two gigabytes to come", "ones"],
)
async def test_nonsense_is_an_outage(reply: bytes) -> None:
    with impostor(says(reply)) as there:
        async with asking(there.options(timeout=1.0)) as ldap:
            with pytest.raises(IdentityUnavailable) as refused:
                await ldap.check("alice", PASSWORD)

    assert PASSWORD not in str(refused.value)


# 1 operationsError, 3 timeLimitExceeded, 8 strongerAuthRequired, 10 referral, 13 confidentialityRequired, 51 busy,
# 52 unavailable, 80 other
@pytest.mark.parametrize("code", [1, 3, 8, 10, 13, 51, 52, 80])
async def test_a_result_that_is_not_about_the_password_is_an_outage(code: int) -> None:
    with impostor(lambda connection, request, over: connection.sendall(result(request, _BIND, code))) as there:
        async with asking(there.options()) as ldap:
            with pytest.raises(IdentityUnavailable, match="bind: "):
                await ldap.check("alice", PASSWORD)


# 19 constraintViolation, 49 invalidCredentials, 53 unwillingToPerform: locked, wrong or expired
@pytest.mark.parametrize("code", [19, 49, 53])
async def test_a_result_that_says_no_to_the_user_is_a_refusal(code: int) -> None:
    with impostor(lambda connection, request, over: connection.sendall(result(request, _BIND, code))) as there:
        async with asking(there.options()) as ldap:
            assert await ldap.check("alice", PASSWORD) is None


@pytest.mark.parametrize("code", [1, 2, 52, 53])
async def test_where_starttls_is_refused_no_password_is_sent(code: int) -> None:
    with impostor(lambda connection, request, over: connection.sendall(result(request, _STARTTLS, code))) as there:
        options = there.options(start_tls=True, bind_dn="cn=service", bind_password=SERVICE_PASSWORD)
        async with asking(options) as ldap:
            with pytest.raises(IdentityUnavailable, match="startTLS failed"):
                await ldap.check("alice", PASSWORD)

    assert there.connections == 1
    assert b"1.3.6.1.4.1.1466.20037" in there.received
    assert PASSWORD.encode() not in there.received
    assert SERVICE_PASSWORD.encode() not in there.received


async def test_where_encryption_fails_after_starttls_no_password_is_sent() -> None:
    def agree_and_go_on_in_plain_text(connection: socket.socket, request: bytes, over: Event) -> None:
        connection.sendall(result(request, _STARTTLS, 0))

    with impostor(agree_and_go_on_in_plain_text) as there:
        async with asking(there.options(start_tls=True, timeout=1.0)) as ldap:
            with pytest.raises(IdentityUnavailable, match="wrap socket error"):
                await ldap.check("alice", PASSWORD)

    assert PASSWORD.encode() not in there.received


async def test_a_password_of_nothing_is_never_sent() -> None:
    with impostor(lambda connection, request, over: connection.sendall(result(request, _BIND, 0))) as there:
        async with asking(there.options()) as ldap:
            assert await ldap.check("alice", "") is None
        async with asking(there.options(bind_dn="cn=service", bind_password="")) as ldap:
            with pytest.raises(IdentityUnavailable):
                await ldap.check("alice", PASSWORD)

    assert bytes((_BIND_REQUEST,)) not in there.received


async def test_an_answer_that_comes_drop_by_drop_holds_neither_the_login_nor_its_thread() -> None:
    dripping = True

    def drip(connection: socket.socket, request: bytes, over: Event) -> None:
        if not dripping:
            connection.sendall(result(request, _BIND, 49))
            return
        connection.sendall(b"\x30\x84\x00\xff\xff\xff")
        while not over.wait(0.1):
            connection.sendall(b"\x00")

    with impostor(drip) as there:
        async with asking(there.options(timeout=1.0), threads=1) as ldap:
            began = time.monotonic()
            with pytest.raises(IdentityUnavailable, match="within 1 seconds"):
                await ldap.check("alice", PASSWORD)
            assert time.monotonic() - began < 3
            dripping = False
            assert await ldap.check("alice", PASSWORD) is None  # by the one thread that there is


async def test_who_waits_for_a_thread_waits_no_longer_than_for_an_answer() -> None:
    silent = says(b"")
    with impostor(silent) as there:
        async with asking(there.options(timeout=1.0), threads=1) as ldap, anyio.create_task_group() as group:
            began = time.monotonic()
            for _ in range(10):
                group.start_soon(_expect_outage, ldap)
        assert time.monotonic() - began < 4


async def _expect_outage(ldap: LdapDirectory) -> None:
    with pytest.raises(IdentityUnavailable):
        await ldap.check("alice", PASSWORD)
