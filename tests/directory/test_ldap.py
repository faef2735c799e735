"""Logging in with an account of a real LDAP directory."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from auth.errors import IdentityUnavailable
from auth.ldap_directory import LdapDirectory, LdapOptions, LdapUser
from tests.directory.slapd import BASE, PASSWORDS, RunningDirectory, directory

pytestmark = pytest.mark.anyio


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
    ],
)
async def test_anything_else_gives_nobody(running: RunningDirectory, name: str, password: str) -> None:
    async with asking(running.options()) as ldap:
        assert await ldap.check(name, password) is None


async def test_a_name_is_the_one_that_the_directory_has(running: RunningDirectory) -> None:
    async with asking(running.options()) as ldap:
        found = await ldap.check("ALICE", PASSWORDS["alice"])

    assert found is not None
    assert found.name == "alice"


async def test_names_may_hold_what_filters_are_written_with(running: RunningDirectory) -> None:
    async with asking(running.options()) as ldap:
        found = await ldap.check("o'hara (jr)", PASSWORDS["o'hara (jr)"])

    assert found == LdapUser("o'hara (jr)", frozenset())


@pytest.mark.parametrize(("name", "allowed"), [("alice", True), ("bob", False)])
async def test_a_required_group_keeps_others_out(running: RunningDirectory, name: str, allowed: bool) -> None:
    async with asking(running.options(required_group="ops")) as ldap:
        assert (await ldap.check(name, PASSWORDS[name]) is not None) is allowed
        assert (await ldap.find(name) is not None) is allowed


async def test_without_a_service_account_the_user_is_asked_for_by_a_template(running: RunningDirectory) -> None:
    options = running.options(bind_dn="", bind_password="", user_dn=f"uid={{user}},ou=people,{BASE}", user_base="")
    async with asking(options) as ldap:
        assert await ldap.check("alice", PASSWORDS["alice"]) == LdapUser("alice", frozenset({"dev", "ops"}))
        assert await ldap.check("alice", "wrong") is None
        assert await ldap.check("bob,ou=people", PASSWORDS["bob"]) is None
        with pytest.raises(IdentityUnavailable):
            await ldap.find("alice")


async def test_a_user_is_found_without_a_password(running: RunningDirectory) -> None:
    async with asking(running.options()) as ldap:
        assert await ldap.find("alice") == LdapUser("alice", frozenset({"dev", "ops"}))
        assert await ldap.find("nobody") is None


async def test_the_connection_can_be_encrypted_in_both_ways(running: RunningDirectory) -> None:
    for options in (running.options(url=running.tls_url), running.options(start_tls=True)):
        async with asking(options) as ldap:
            assert await ldap.check("bob", PASSWORDS["bob"]) is not None


async def test_a_certificate_of_nobody_we_know_is_an_outage(running: RunningDirectory) -> None:
    for options in (running.options(url=running.tls_url), running.options(start_tls=True)):
        async with asking(replace(options, ca_file=None)) as ldap:
            with pytest.raises(IdentityUnavailable):
                await ldap.check("bob", PASSWORDS["bob"])


@pytest.mark.parametrize("changes", [{"bind_password": "wrong"}, {"user_filter": "((("}])
async def test_settings_that_the_directory_does_not_accept_are_an_outage(
    running: RunningDirectory, changes: dict[str, object]
) -> None:
    async with asking(running.options(**changes)) as ldap:
        with pytest.raises(IdentityUnavailable) as refused:
            await ldap.check("alice", PASSWORDS["alice"])

    assert PASSWORDS["alice"] not in str(refused.value)


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
