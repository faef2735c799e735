"""Users and groups of an LDAP directory: a password is right if the directory lets the user bind with it.

Source: RFC 4511 (protocol), 4513 (authentication), 4514 and 4515 (escaping). ldap3 blocks, so it runs in threads of its
own. A directory that is down, slow or answers what we do not understand is an outage and never a wrong password. What a
user is called is read from the entry and never taken as typed: a directory finds one entry by many spellings.
"""

import asyncio
import math
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from auth.errors import IdentityUnavailable

T = TypeVar("T")
_WRONG_CREDENTIALS = 49
_SUCCESS = 0
_NO_SUCH_OBJECT = 32
_SIZE_LIMIT_EXCEEDED = 4
_REFUSING = frozenset({19, _NO_SUCH_OBJECT, 48, _WRONG_CREDENTIALS, 50, 53})
"""Results of a bind that say no to this user: constraint violation (389 Directory Server: too many failures), no such
object, inappropriate authentication, invalid credentials, insufficient access rights, unwilling to perform (a locked
account)."""
_BLANK = re.compile(r"\{(user|dn)\}")


@dataclass(frozen=True, slots=True)
class LdapOptions:
    """A directory. `{user}` and `{dn}` in `user_dn` and the filters are filled in, escaped.

    `timeout`, in seconds, is for a whole question, however many requests it takes. With `user_base` users are searched
    for, by `bind_dn` if it is set; without it they are where `user_dn` says.
    """

    url: str
    start_tls: bool
    ca_file: str | None
    timeout: float
    bind_dn: str
    bind_password: str = field(repr=False)
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
    names: tuple[str, ...]


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
        if not (_is_unicode(name) and _is_unicode(password)):
            return None
        question = _Question(self._options)
        return await self._in_thread(question, lambda: question.check(name, password))

    async def find(self, name: str) -> LdapUser | None:
        """The user with the groups of now, without a password; None if there is none. Raises `IdentityUnavailable`.

        Without an account that may search, the directory cannot be asked, and that is an outage too: to answer None
        would say that the user is gone.
        """
        if not self.can_find:
            raise IdentityUnavailable("auth.ldap.bind_dn is not set, so nobody can be looked up without a password")
        if not name or "\0" in name or not _is_unicode(name):
            return None
        question = _Question(self._options)
        return await self._in_thread(question, lambda: question.find(name))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, question: "_Question", work: Callable[[], T]) -> T:
        url, seconds = self._options.url, self._options.timeout
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except IdentityUnavailable:
            raise
        except TimeoutError as error:
            raise IdentityUnavailable(f"the directory {url} has not answered within {seconds:g} seconds") from error
        except Exception as error:  # the border: ldap3 raises what it meets, down to struct.error
            raise IdentityUnavailable(f"the directory {url} cannot be asked: {error}") from error
        finally:
            question.abandon()


class _Question:
    """One question, in one thread, over at most two connections; another thread may abandon it."""

    def __init__(self, options: LdapOptions) -> None:
        self._options = options
        self._connections: list[Any] = []
        self._abandoned = False

    def abandon(self) -> None:
        """Nobody waits for the answer any more: what is on the wire ends at once, and the thread is free.

        The timeout of a socket is not enough, for it begins anew with each byte.
        """
        self._abandoned = True
        for connection in tuple(self._connections):
            _hang_up(connection.socket)

    def check(self, name: str, password: str) -> LdapUser | None:
        """See `LdapDirectory.check`."""
        options = self._options
        if not (options.bind_dn or options.user_base):
            return self._check_by_user(name, password)
        with self._as_service() as service:
            entry = self._entry(service, name)
            # for a name that is not there the same work: a bind that cannot succeed
            dn = entry.dn if entry is not None else _dn_of_nobody(options, name)
            with self._connected(dn, password) as own:
                if own is None or entry is None:
                    return None
                return self._user(service if options.bind_dn else own, entry)

    def _check_by_user(self, name: str, password: str) -> LdapUser | None:
        dn = user_dn(self._options.user_dn, name)
        with self._connected(dn, password) as own:
            if own is None:
                return None
            entry = self._entry(own, name)
            if entry is None:
                raise IdentityUnavailable(f"{dn} may not read its own entry, or there is none: set auth.ldap.bind_dn")
            return self._user(own, entry)

    def find(self, name: str) -> LdapUser | None:
        """See `LdapDirectory.find`."""
        with self._as_service() as service:
            entry = self._entry(service, name)
            return None if entry is None else self._user(service, entry)

    def _entry(self, connection: Any, name: str) -> _Entry | None:
        """The user's entry: the only one that the filter finds, or the one that the template names."""
        options = self._options
        if options.user_base:
            wanted = user_filter(options.user_filter, name)
            found = _search(connection, options.user_base, wanted, options.name_attribute, limit=2)
        else:
            base = user_dn(options.user_dn, name)
            found = _search(connection, base, "(objectClass=*)", options.name_attribute, scope="BASE")
        if len(found) != 1:
            return None  # nobody, or not clear who
        return _Entry(found[0]["dn"], _texts(found[0], options.name_attribute))

    def _user(self, connection: Any, entry: _Entry) -> LdapUser | None:
        """Who that is, with groups; None outside the required group."""
        options = self._options
        if len(entry.names) != 1:  # values have no order (RFC 4511, section 4.1.7): none of several is the first
            raise IdentityUnavailable(
                f"{entry.dn} has {len(entry.names)} values of auth.ldap.name_attribute ({options.name_attribute}) that"
                " we may read: name one that has one value"
            )
        [name] = entry.names
        groups: set[str] = set()
        if options.group_base:
            wanted = group_filter(options.group_filter, entry.dn, name)
            for group in _search(connection, options.group_base, wanted, options.group_attribute):
                groups.update(_texts(group, options.group_attribute))
        if options.required_group and options.required_group not in groups:
            return None
        return LdapUser(name, frozenset(groups))

    @contextmanager
    def _as_service(self) -> Iterator[Any]:
        with self._connected(self._options.bind_dn, self._options.bind_password) as connection:
            if connection is None:
                raise IdentityUnavailable(f"{self._options.url} does not accept auth.ldap.bind_dn and its password")
            yield connection

    @contextmanager
    def _connected(self, dn: str, password: str) -> Iterator[Any]:
        """A connection bound as `dn` (nobody in particular if that is empty), or None if the directory refuses it."""
        import ldap3  # noqa: PLC0415  # it takes long to load, and few need it
        from ldap3.core.exceptions import LDAPException  # noqa: PLC0415

        options = self._options
        seconds = math.ceil(options.timeout)
        server = ldap3.Server(options.url, tls=_tls(options), connect_timeout=seconds, get_info=ldap3.NONE)
        connection = ldap3.Connection(
            server,
            user=dn or None,
            # bytes go out as they are; of a text ldap3 would make another one first (SASLprep), as no other client does
            password=password.encode() if dn else None,
            authentication=ldap3.SIMPLE if dn else ldap3.ANONYMOUS,
            auto_referrals=False,
            receive_timeout=seconds,
            raise_exceptions=False,
            read_only=True,
        )
        self._connections.append(connection)
        try:
            if self._abandoned:
                raise LDAPException("nobody waits for the answer any more")
            connection.open()
            if options.start_tls and not connection.start_tls():
                raise LDAPException("StartTLS was refused")
            bound = connection.bind()
            if not bound and connection.result["result"] not in _REFUSING:
                raise LDAPException(f"bind: {connection.result['description']}")
            yield connection if bound else None
        finally:
            self._connections.remove(connection)
            try:
                with suppress(LDAPException, OSError):  # the answer is known; whether the directory hears us go is not
                    connection.unbind()
            finally:
                if connection.socket is not None:  # ldap3 leaves it open where connecting or unbinding has failed
                    connection.socket.close()


def _tls(options: LdapOptions) -> Any:
    """Encryption as Python does it by itself, which checks the certificate and its names before anything is sent."""
    import ldap3  # noqa: PLC0415  # see `_Question._connected`

    class Verified(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
        """Without ldap3's own check of names, which comes late and leaves the socket open where it fails."""

        def wrap_socket(self, connection: Any, do_handshake: bool = True) -> None:
            context = ssl.create_default_context(cafile=options.ca_file)
            name = urlsplit(options.url).hostname
            # else a small request after the handshake waits for an acknowledgement of what went before: 40 ms
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.socket = context.wrap_socket(
                connection.socket, do_handshake_on_connect=do_handshake, server_hostname=name
            )

    return Verified(validate=ssl.CERT_REQUIRED)


def user_dn(template: str, name: str) -> str:
    """The template with `{user}` filled in, escaped (RFC 4514, section 2.4)."""
    return _fill(template, {"user": _escape_dn(name)})


def user_filter(template: str, name: str) -> str:
    """The filter with `{user}` filled in, escaped (RFC 4515, section 3)."""
    return _fill(template, {"user": _escape_filter(name)})


def group_filter(template: str, dn: str, name: str) -> str:
    """The filter with `{dn}` and `{user}` filled in, escaped (RFC 4515, section 3)."""
    return _fill(template, {"dn": _escape_filter(dn), "user": _escape_filter(name)})


def _fill(template: str, values: Mapping[str, str]) -> str:
    # in one pass: what is filled in is not looked at again
    return _BLANK.sub(lambda found: values.get(found[1], found[0]), template)


def _escape_dn(value: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "".join(f"\\{b:02x}" for b in c.encode()) for c in value)


def _escape_filter(value: str) -> str:
    return "".join(f"\\{ord(c):02x}" if c in "\\*()\0" else c for c in value)


def _is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which no directory has anywhere."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _dn_of_nobody(options: LdapOptions, name: str) -> str:
    return f"cn=nobody,{options.user_base}" if options.user_base else user_dn(options.user_dn, name)


def _texts(entry: Any, attribute: str) -> tuple[str, ...]:
    values = entry["attributes"].get(attribute) or []
    return tuple(value for value in (values if isinstance(values, list) else [values]) if isinstance(value, str))


def _search(
    connection: Any, base: str, wanted: str, attribute: str, *, limit: int = 0, scope: str = "SUBTREE"
) -> Sequence[Any]:
    """Entries at or below `base` that fit, without referrals; of more than `limit` as many.

    A base that is not there is a mistake in the settings, but for one that a user's name is part of.
    """
    from ldap3.core.exceptions import LDAPException  # noqa: PLC0415  # see `_Question._connected`

    connection.search(base, wanted, search_scope=scope, attributes=[attribute], size_limit=limit)
    result = connection.result["result"]
    if scope == "BASE" and result == _NO_SUCH_OBJECT:
        return []
    # a part of the groups would be worse than none: a rule that denies may hang on one that is missing
    if result != _SUCCESS and not (limit and result == _SIZE_LIMIT_EXCEEDED):
        raise LDAPException(f"search below {base}: {connection.result['description']}")
    return [entry for entry in connection.response or [] if entry["type"] == "searchResEntry"]


def _hang_up(connected: socket.socket | None) -> None:
    if connected is None:
        return
    with suppress(OSError):  # it is closed already, which is what we want
        # not SSLSocket's own, which takes the encryption away from under the other thread
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
