"""Users and groups of an LDAP directory: a password is right if the directory lets the user bind with it.

Source: RFC 4511 (protocol), 4513 (authentication), 4514 and 4515 (escaping). ldap3 blocks, so it runs in threads of its
own. A directory that is down, slow or answers what we do not understand is an outage and never a wrong password.
"""

import asyncio
import math
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from auth.errors import IdentityUnavailable

T = TypeVar("T")
_WRONG_CREDENTIALS = 49
_SUCCESS = 0
_NO_SUCH_OBJECT = 32
_REFUSING = frozenset({_NO_SUCH_OBJECT, 48, _WRONG_CREDENTIALS, 50, 53})
"""Results of a bind that say no to this user: no such object, inappropriate authentication, invalid credentials,
insufficient access rights, unwilling to perform (a locked account)."""


@dataclass(frozen=True, slots=True)
class LdapOptions:
    """A directory; `timeout` in seconds. `{user}` and `{dn}` in `user_dn` and the filters are filled in, escaped."""

    url: str
    start_tls: bool
    ca_file: str | None
    timeout: float
    bind_dn: str
    bind_password: str
    user_dn: str
    user_base: str
    user_filter: str
    name_attribute: str
    group_base: str
    group_filter: str
    group_attribute: str
    required_group: str


@dataclass(frozen=True, slots=True)
class LdapUser:
    """A user as the directory knows them."""

    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Entry:
    dn: str
    name: str


class LdapDirectory:
    """Asks a directory."""

    def __init__(self, options: LdapOptions, threads: int = 4) -> None:
        self._options = options
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ldap")

    @property
    def can_find(self) -> bool:
        """True if users can be looked up without their passwords."""
        return bool(self._options.bind_dn)

    async def check(self, name: str, password: str) -> LdapUser | None:
        """The user, if the password is right; None for a wrong name or password alike. Raises `IdentityUnavailable`."""
        if not name or not password or "\0" in name:
            return None  # an empty password would bind anonymously (RFC 4513, section 5.1.2), which succeeds
        return await self._in_thread(lambda: self._check(name, password))

    async def find(self, name: str) -> LdapUser | None:
        """The user with the groups of now, without a password; None if there is none. Raises `IdentityUnavailable`.

        Without an account that may search, the directory cannot be asked, and that is an outage too.
        """
        return await self._in_thread(lambda: self._find(name))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except IdentityUnavailable:
            raise
        except Exception as error:  # the border: ldap3 raises what it meets, down to struct.error
            raise IdentityUnavailable(f"the directory {self._options.url} cannot be asked: {error}") from error

    def _check(self, name: str, password: str) -> LdapUser | None:
        entry = self._entry(name)
        # for a name that is not there the same work: a bind that cannot succeed
        dn = entry.dn if entry is not None else f"cn=nobody,{self._options.user_base or 'o=nowhere'}"
        with self._connected(dn, password) as connection:
            if connection is None or entry is None:
                return None
            if self._options.bind_dn:
                return self._with_groups(entry)
            return self._member(entry, self._groups(connection, entry))

    def _find(self, name: str) -> LdapUser | None:
        if not self.can_find:
            raise IdentityUnavailable("auth.ldap.bind_dn is not set, so nobody can be looked up without a password")
        entry = self._entry(name)
        return None if entry is None else self._with_groups(entry)

    def _entry(self, name: str) -> _Entry | None:
        """The user's entry; by template, or by the one search result."""
        from ldap3.utils.conv import escape_filter_chars  # noqa: PLC0415  # it takes long to load, and few need it
        from ldap3.utils.dn import escape_rdn  # noqa: PLC0415

        options = self._options
        if options.user_dn and not options.user_base:
            return _Entry(options.user_dn.replace("{user}", escape_rdn(name)), name.lower())
        wanted = options.user_filter.replace("{user}", escape_filter_chars(name))
        with self._as_service() as connection:
            found = _search(connection, options.user_base, wanted, options.name_attribute, limit=2)
        if len(found) != 1:
            return None  # nobody, or not clear who
        [entry] = found
        values = entry["attributes"].get(options.name_attribute) or []
        canonical = str(values[0] if isinstance(values, list) else values) if values else ""
        return _Entry(entry["dn"], canonical) if canonical else None

    def _with_groups(self, entry: _Entry) -> LdapUser | None:
        with self._as_service() as connection:
            return self._member(entry, self._groups(connection, entry))

    def _groups(self, connection: Any, entry: _Entry) -> frozenset[str]:
        from ldap3.utils.conv import escape_filter_chars  # noqa: PLC0415  # see `_entry`

        options = self._options
        if not options.group_base:
            return frozenset()
        wanted = options.group_filter.replace("{dn}", escape_filter_chars(entry.dn))
        wanted = wanted.replace("{user}", escape_filter_chars(entry.name))
        found = _search(connection, options.group_base, wanted, options.group_attribute, limit=0)
        names: set[str] = set()
        for group in found:
            values = group["attributes"].get(options.group_attribute) or []
            names.update(map(str, values if isinstance(values, list) else [values]))
        return frozenset(names)

    def _member(self, entry: _Entry, groups: frozenset[str]) -> LdapUser | None:
        required = self._options.required_group
        return LdapUser(entry.name, groups) if not required or required in groups else None

    @contextmanager
    def _as_service(self) -> Iterator[Any]:
        with self._connected(self._options.bind_dn, self._options.bind_password) as connection:
            if connection is None:
                raise IdentityUnavailable(f"{self._options.url} does not accept auth.ldap.bind_dn and its password")
            yield connection

    @contextmanager
    def _connected(self, dn: str, password: str) -> Iterator[Any]:
        """A connection bound as `dn` (nobody in particular if that is empty), or None if the directory refuses it."""
        import ldap3  # noqa: PLC0415  # see `_entry`
        from ldap3.core.exceptions import LDAPException  # noqa: PLC0415

        options = self._options
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=options.ca_file)
        server = ldap3.Server(options.url, tls=tls, connect_timeout=math.ceil(options.timeout), get_info=ldap3.NONE)
        connection = ldap3.Connection(
            server,
            user=dn or None,
            password=password if dn else None,
            authentication=ldap3.SIMPLE if dn else ldap3.ANONYMOUS,
            auto_referrals=False,
            receive_timeout=math.ceil(options.timeout),
            raise_exceptions=False,
            read_only=True,
        )
        try:
            connection.open()
            if options.start_tls and not connection.start_tls():
                raise LDAPException("StartTLS was refused")
            bound = connection.bind()
            if not bound and connection.result["result"] not in _REFUSING:
                raise LDAPException(f"bind: {connection.result['description']}")
            yield connection if bound else None
        finally:
            connection.unbind()
            if connection.socket is not None:  # ldap3 leaves it open where the encryption came to nothing
                connection.socket.close()


def _search(connection: Any, base: str, wanted: str, attribute: str, *, limit: int) -> Sequence[Any]:
    """Entries below `base` that fit, without referrals. A base that is not there has none."""
    from ldap3.core.exceptions import LDAPException  # noqa: PLC0415  # see `LdapDirectory._entry`

    connection.search(base, wanted, attributes=[attribute], size_limit=limit)
    result = connection.result["result"]
    # 4: the limit was reached, which is what it is for
    if result not in (_SUCCESS, 4, _NO_SUCH_OBJECT):
        raise LDAPException(f"search: {connection.result['description']}")
    return [entry for entry in connection.response or [] if entry["type"] == "searchResEntry"]
