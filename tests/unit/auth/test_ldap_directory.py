"""What is asked of an LDAP directory, and what is not even asked."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import IdentityUnavailable
from auth.ldap_directory import LdapDirectory, LdapOptions, group_filter, user_dn, user_filter

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def options(**changes: object) -> LdapOptions:
    """A directory that nobody can reach: a question is an outage."""
    values: dict[str, object] = {
        "url": "ldap://",
        "start_tls": False,
        "ca_file": None,
        "timeout": 1.0,
        "bind_dn": "",
        "bind_password": "very secret",
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


@given(NAMES)
def test_a_name_in_a_dn_is_one_value_and_that_name(name: str) -> None:
    dn = user_dn("uid={user},dc=example", name)

    value = dn.removeprefix("uid=").removesuffix(",dc=example")
    assert re.fullmatch(r"(?:[A-Za-z0-9]|\\[0-9a-f]{2})+", value)
    assert _unescaped(value) == name


@given(NAMES)
def test_a_name_in_a_filter_is_one_value_and_that_name(name: str) -> None:
    wanted = user_filter("(&(objectClass=person)(uid={user}))", name)

    value = wanted.removeprefix("(&(objectClass=person)(uid=").removesuffix("))")
    assert not set(value) & set("*()\0")
    assert _unescaped(value) == name


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert group_filter("(|(member={dn})(memberUid={user}))", "uid={user},dc=x", "{dn}") == (
        "(|(member=uid={user},dc=x)(memberUid={dn}))"
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "password"), [("", "x"), ("alice", ""), ("a\0", "x"), ("\udcff", "x"), ("a", "\udcff")]
)
async def test_what_cannot_be_right_is_not_asked(name: str, password: str) -> None:
    ldap = LdapDirectory(options())
    try:
        assert await ldap.check(name, password) is None
    finally:
        ldap.close()


@pytest.mark.anyio
async def test_a_directory_that_cannot_be_asked_never_answers_that_somebody_is_not_there() -> None:
    ldap = LdapDirectory(options())
    try:
        assert not ldap.can_find
        with pytest.raises(IdentityUnavailable):
            await ldap.find("alice")
        with pytest.raises(IdentityUnavailable):
            await ldap.check("alice", "secret")
    finally:
        ldap.close()
    with pytest.raises(IdentityUnavailable):
        await ldap.check("alice", "secret")


def test_the_password_of_the_service_account_is_not_shown() -> None:
    assert "very secret" not in repr(options())


def _unescaped(value: str) -> str:
    # by the byte: what is not ASCII may stand as it is, or as the bytes of its UTF-8
    return re.sub(rb"\\([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), value.encode()).decode()
