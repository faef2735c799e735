"""Logging in with an account of a real LDAP directory."""

import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from auth.errors import IdentityUnavailable
from auth.ldap_directory import LdapDirectory, LdapOptions, LdapUser
from tests.directory.slapd import BASE, PASSWORDS, SERVICE_PASSWORD, RunningDirectory, directory

pytestmark = pytest.mark.anyio

TEMPLATE: dict[str, object] = {"user_dn": f"uid={{user}},ou=people,{BASE}", "user_base": ""}
OWN: dict[str, object] = {**TEMPLATE, "bind_dn": "", "bind_password": ""}
"""No service account: a user binds by the template and reads its own entry."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDirectory]:
    """A directory that all tests of this module ask."""
    with directory(tmp_path_factory.mktemp("ldap")) as found:
        yield found


@asynccontextmanager
async def asking(options: LdapOptions) -> AsyncIterator[LdapDirectory]:
    found = LdapDirectory(options)
    try:
        yield found
    finally:
        found.close()


async def test_the_right_password_gives_the_user_with_its_groups(running: RunningDirectory) -> None:
    async with asking(running.options()) as ldap:
        assert await ldap.check("alice", PASSWORDS["alice"]) == LdapUser("alice", frozenset({"dev", "ops"}))
        assert await ldap.check("bob", PASSWORDS["bob"]) == LdapUser("bob", frozenset({"dev"}))


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("alice", PASSWORDS["bob"]),
        ("nobody", "wrong"),
        ("locked", PASSWORDS["locked"]),
        ("expired", PASSWORDS["expired"]),
        ("twin", "twin"),
        ("alice", ""),
        ("", ""),
        ("", PASSWORDS["alice"]),
        ("*", PASSWORDS["alice"]),
        ("ali*", PASSWORDS["alice"]),
        ("alice)(uid=*", PASSWORDS["alice"]),
        ("alice\0", PASSWORDS["alice"]),
        ("alice,ou=people", PASSWORDS["alice"]),
        ("\\2a", PASSWORDS["alice"]),
        ("alice", "\u00ad"),
        ("alice", "control\x01character"),
        ("alice", "half a pair \udcff"),
        ("half a pair \udcff", "wrong"),
    ],
)
async def test_anything_else_gives_nobody(running: RunningDirectory, name: str, password: str) -> None:
    async with asking(running.options()) as ldap:
        assert await ldap.check(name, password) is None


@pytest.mark.parametrize("name", [name for name in PASSWORDS if not name.isalnum()])
@pytest.mark.parametrize("changes", [{}, TEMPLATE, OWN])
async def test_names_and_passwords_may_hold_what_filters_and_dns_are_written_with(
    running: RunningDirectory, name: str, changes: dict[str, object]
) -> None:
    async with asking(running.options(**changes)) as ldap:
        assert await ldap.check(name, PASSWORDS[name]) == LdapUser(name, frozenset({"odd"}))


@pytest.mark.parametrize("typed", ["ALICE", "alice ", "  alice", "alice\u00a0", "\uff41lice"])
@pytest.mark.parametrize("changes", [{}, TEMPLATE, OWN])
async def test_no_spelling_makes_another_user_of_an_account(
    running: RunningDirectory, typed: str, changes: dict[str, object]
) -> None:
    async with asking(running.options(**changes)) as ldap:
        found = await ldap.check(typed, PASSWORDS["alice"])

    assert found == LdapUser("alice", frozenset({"dev", "ops"}))


async def test_a_part_of_the_groups_is_an_outage(running: RunningDirectory) -> None:
    async with asking(running.options(group_filter="(objectClass=*)")) as ldap:  # four entries, and three are the limit
        with pytest.raises(IdentityUnavailable, match="sizeLimitExceeded"):
            await ldap.check("alice", PASSWORDS["alice"])


@pytest.mark.parametrize(("name", "allowed"), [("alice", True), ("bob", False)])
async def test_a_required_group_keeps_others_out(running: RunningDirectory, name: str, allowed: bool) -> None:
    async with asking(running.options(required_group="ops")) as ldap:
        assert (await ldap.check(name, PASSWORDS[name]) is not None) is allowed
        assert (await ldap.find(name) is not None) is allowed


async def test_without_a_service_account_the_user_is_asked_for_by_a_template(running: RunningDirectory) -> None:
    async with asking(running.options(**OWN)) as ldap:
        assert await ldap.check("alice", PASSWORDS["alice"]) == LdapUser("alice", frozenset({"dev", "ops"}))
        assert await ldap.check("alice", "wrong") is None
        assert await ldap.check("bob,ou=people", PASSWORDS["bob"]) is None
        with pytest.raises(IdentityUnavailable):
            await ldap.find("alice")


@pytest.mark.parametrize("changes", [{}, TEMPLATE])
async def test_a_user_is_found_without_a_password(running: RunningDirectory, changes: dict[str, object]) -> None:
    async with asking(running.options(**changes)) as ldap:
        assert await ldap.find("alice") == LdapUser("alice", frozenset({"dev", "ops"}))
        for name in ("nobody", "twin", "", "*", "alice\0", "half a pair \udcff"):
            assert await ldap.find(name) is None


async def test_the_connection_can_be_encrypted_in_both_ways(running: RunningDirectory) -> None:
    for options in (running.options(url=running.tls_url), running.options(start_tls=True)):
        async with asking(options) as ldap:
            assert await ldap.check("bob", PASSWORDS["bob"]) is not None


async def test_a_certificate_of_nobody_we_know_is_an_outage(running: RunningDirectory) -> None:
    for options in (running.options(url=running.tls_url), running.options(start_tls=True)):
        async with asking(replace(options, ca_file=None)) as ldap:
            with pytest.raises(IdentityUnavailable):
                await ldap.check("bob", PASSWORDS["bob"])


async def test_a_certificate_of_another_host_is_an_outage(running: RunningDirectory) -> None:
    port = running.tls_url.rpartition(":")[2]
    # all of 127/8 is this machine; the certificate names localhost and 127.0.0.1
    async with asking(running.options(url=f"ldaps://127.0.0.2:{port}")) as ldap:
        with pytest.raises(IdentityUnavailable, match="certificate"):
            await ldap.check("bob", PASSWORDS["bob"])


async def test_a_referral_is_an_outage_and_is_not_followed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        with directory(tmp_path, elsewhere=f"ldap://127.0.0.1:{other.getsockname()[1]}") as running:
            template = f"uid={{user}},ou=elsewhere,ou=people,{BASE}"
            async with asking(running.options(**{**TEMPLATE, "user_dn": template})) as ldap:
                with pytest.raises(IdentityUnavailable, match="referral"):
                    await ldap.check("alice", PASSWORDS["alice"])
            # a search that meets it on its way goes on
            async with asking(running.options()) as ldap:
                assert await ldap.check("alice", PASSWORDS["alice"]) is not None
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize(
    "changes",
    [
        {"bind_password": "wrong"},
        {"bind_password": ""},
        {"user_filter": "((("},
        {"user_base": f"ou=missing,{BASE}"},
        {"group_base": f"ou=missing,{BASE}"},
        {"name_attribute": "mail"},
        {"name_attribute": "displayName"},
        {"ca_file": "/missing/ca.pem", "start_tls": True},
        {**OWN, "name_attribute": "mail"},
    ],
)
async def test_settings_that_the_directory_does_not_accept_are_an_outage(
    running: RunningDirectory, changes: dict[str, object]
) -> None:
    async with asking(running.options(**changes)) as ldap:
        with pytest.raises(IdentityUnavailable) as refused:
            await ldap.check("alice", PASSWORDS["alice"])

    assert PASSWORDS["alice"] not in str(refused.value)
    assert SERVICE_PASSWORD not in str(refused.value)


async def test_a_directory_that_is_gone_or_silent_is_an_outage(tmp_path: Path) -> None:
    with directory(tmp_path) as running:
        async with asking(running.options(timeout=1.0)) as ldap:
            assert await ldap.check("alice", PASSWORDS["alice"]) is not None
            os.kill(running.process.pid, signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(IdentityUnavailable):
                await ldap.check("alice", PASSWORDS["alice"])
            assert time.monotonic() - began < 10
            running.process.kill()
            running.process.wait()
            with pytest.raises(IdentityUnavailable):
                await ldap.check("alice", PASSWORDS["alice"])
