"""The composition root's other half: settings of authentication and access in, a guard and a token service out.

Knows settings and constructors, as `app` does; holds no rule.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.routing import Route

from auth.access import parse_actions
from auth.accounts import Accounts
from auth.authenticator import Authenticator, Sources
from auth.bearer import BearerMint, BearerOptions, BearerVerifier
from auth.directory import Directory
from auth.endpoint import JWKS_PATH, TOKEN_PATH, TokenEndpoint
from auth.errors import AccountInvalid, AuthError
from auth.events import Emit
from auth.guard import Guard
from auth.htpasswd import HtpasswdFile
from auth.issuers import IdentityRule, IssuerOptions, Issuers
from auth.jwks import JwksCache, KeySource
from auth.keys import SigningKeys
from auth.ldap_directory import LdapDirectory, LdapOptions
from auth.passwords import Passwords, check_hash
from auth.patterns import check_repositories, check_tags
from auth.policy import DEFAULT_RULES, OPEN_RULES, ImmutableTags, Policy, Rule, Subject
from auth.policy_source import PolicySource, RulesFile
from auth.refresh_tokens import RefreshTokens
from auth.remote_keys import RemoteKeys
from auth.service import TokenService
from auth.shared_key import SharedKey
from auth.throttle import Throttle
from auth.token_uses import TokenUses
from auth.users import LocalUser, LocalUsers
from config.access import AccessSettings, RuleSettings
from config.auth import AuthSettings, IssuerSettings, LdapSettings
from config.checks import Problem
from config.load import Loaded
from config.positions import Location
from config.settings import Settings
from registry.cleanup.due import done, is_due
from registry.content import keyspace
from registry.ops.housekeeping import Chore
from storage_backends.base import StorageBackend

Where = Callable[[Location], str]
_REMOTE_KEYS_FRESH_SECONDS = 60.0
_HOUR, _DAY = 3600.0, 86400.0
_SWEEP = "logins"
"""What `due` calls the removal of logins whose time is over."""


def _nowhere(_: Location) -> str:
    return ""


Signature = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """Where settings came from, and how to read them again: `read` raises `ConfigError`. `seen` is the signature that
    the file had before it was read.
    """

    file: Path
    loaded: Loaded
    read: Callable[[], Loaded]
    seen: Signature

    def signature(self) -> Signature:
        """Changes when the file does; None while it is not there."""
        return signature_of(self.file)

    def age(self) -> float:
        """For how many seconds nobody has written to the file; 0 while it is not there."""
        try:
            return time.time() - self.file.stat().st_mtime
        except OSError:
            return 0.0


def signature_of(file: Path) -> Signature:
    """Changes when the file does; None while it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class AuthParts:
    """What authentication is made of; `routes` is the token service, `chores` what that does by itself."""

    guard: Guard
    routes: Sequence[Route] = ()
    chores: Sequence[Chore] = ()


def auth_problems(settings: Settings) -> Iterator[Problem]:
    """Mistakes in the words of rules, users and issuers, each with its place: a check for `config.load.read`."""
    access = settings.access
    for number, rule in enumerate(access.rules or ()):
        yield from _problem(("access", "rules", number), partial(_rule, rule, ""))
    for number, entry in enumerate(access.immutable_tags):
        here = ("access", "immutable_tags", number)
        for pattern in entry.repositories:
            yield from _problem(here, partial(check_repositories, pattern))
        for pattern in entry.tags:
            yield from _problem(here, partial(check_tags, pattern))
    for number, user in enumerate(settings.auth.users):
        stored = user.password_hash.get_secret_value()
        yield from _problem(("auth", "users", number, "password_hash"), partial(check_hash, stored))
    for number, issuer in enumerate(settings.auth.issuers):
        yield from _problem(("auth", "issuers", number), partial(_issuer, issuer))


def build_policy(access: AccessSettings, *, logins: bool, where: Where = _nowhere) -> Policy:
    """The rules of a registry where people have to log in, or need not; `where` says where each was written. Raises
    `ScopeInvalid`.
    """
    rules: tuple[Rule, ...] = DEFAULT_RULES if logins else OPEN_RULES
    if access.rules is not None:
        rules = tuple(_rule(rule, where(("access", "rules", number))) for number, rule in enumerate(access.rules))
    return Policy(
        rules,
        {name: frozenset(members) for name, members in access.groups.items()},
        tuple(ImmutableTags(entry.repositories, entry.tags) for entry in access.immutable_tags),
        access.read_only,
    )


def build_accounts(backend: StorageBackend) -> Accounts:
    """Users and access tokens in storage."""
    return Accounts(backend, keyspace.AUTH)


def build_keys(backend: StorageBackend) -> SigningKeys:
    """Keys that sign tokens."""
    return SigningKeys(backend, keyspace.AUTH)


def build_refresh_tokens(settings: Settings, backend: StorageBackend) -> RefreshTokens:
    """Logins that last."""
    return RefreshTokens(backend, keyspace.AUTH, settings.auth.token.refresh_lifetime_seconds)


def build_token_uses(backend: StorageBackend) -> TokenUses:
    """When access tokens were used."""
    return TokenUses(backend, keyspace.AUTH)


def build_auth(
    settings: Settings,
    backend: StorageBackend,
    policy: PolicySource,
    address: Callable[[Request], str],
    emit: Emit,
    *,
    also: Callable[[str], str | None] = lambda _: None,
) -> AuthParts:
    """Everything that finds out who somebody is; `also` as `TokenService` wants it. Raises `AccountInvalid` if a file
    of users cannot be used.
    """
    auth, token = settings.auth, settings.auth.token
    accounts = build_accounts(backend)
    options = BearerOptions(
        token.issuer, (token.service, *token.further_services), token.lifetime_seconds, token.leeway_seconds
    )
    if auth.url:
        source = KeySource(auth.url, auth.url.rstrip("/") + JWKS_PATH)
        remote = RemoteKeys(JwksCache(source, _REMOTE_KEYS_FRESH_SECONDS))
        return AuthParts(Guard(BearerVerifier(options, remote), policy, None, accounts))
    keys, throttle = build_keys(backend), auth.throttle
    authenticator = Authenticator(
        build_sources(auth, accounts),
        Passwords(remember=auth.remember_password_seconds, shared=SharedKey(backend, keyspace.AUTH)),
        Throttle(throttle.per_address, throttle.per_account, throttle.window_seconds),
        build_token_uses(backend),
    )
    logins = build_refresh_tokens(settings, backend)
    service = TokenService(authenticator, BearerMint(options, keys), logins, policy, also=also)
    guard = Guard(BearerVerifier(options, keys), policy, authenticator, accounts)
    return AuthParts(
        guard, TokenEndpoint(service, keys, address, emit).routes(), [_sweeping(settings, backend, logins)]
    )


def _sweeping(settings: Settings, backend: StorageBackend, logins: RefreshTokens) -> Chore:
    """Reads every login: one process among all workers and replicas does it, once a day."""

    async def sweep() -> str:
        if not await is_due(backend, _SWEEP, _DAY, settings.cleanup.lease_seconds):
            return ""
        await done(backend, _SWEEP)
        count = await logins.sweep()
        return f"removed {count} logins whose time is over" if count else ""

    return Chore("removing logins whose time is over", sweep, _HOUR)


def build_users(auth: AuthSettings, accounts: Accounts) -> LocalUsers:
    """Users whose password hashes we hold. Raises `AccountInvalid`."""
    configured = {
        user.name: LocalUser(user.name, user.password_hash.get_secret_value(), frozenset(user.groups))
        for user in auth.users
    }
    return LocalUsers(configured, HtpasswdFile(auth.htpasswd) if auth.htpasswd else None, accounts)


def build_sources(auth: AuthSettings, accounts: Accounts) -> Sources:
    """Where identities come from. Raises `AccountInvalid`."""
    users = build_users(auth, accounts)
    directory = Directory(LdapDirectory(_ldap(auth.ldap)), auth.ldap.remember_seconds) if auth.ldap.url else None
    issuers = Issuers([_issuer(issuer) for issuer in auth.issuers]) if auth.issuers else None
    return Sources(users, accounts, directory, issuers)


def build_policy_source(
    settings: Settings, source: SettingsSource | None, *, logins: bool | None = None
) -> PolicySource:
    """The rules, read again from `source` when its file changes. Whether people have to log in is what `settings` say
    (or `logins`) for as long as the process runs, whatever becomes of the file.
    """
    logins = settings.auth.is_on if logins is None else logins
    if source is None:
        return PolicySource(build_policy(settings.access, logins=logins))

    def load(before: Policy) -> Policy:
        loaded = source.read()
        access = loaded.settings.access
        policy = build_policy(access, logins=logins, where=loaded.where)
        if policy != before and (lost := _lost(loaded.settings, settings.auth.is_on, before)):
            raise ValueError(f"{source.file}: {lost}")
        return policy

    first = build_policy(settings.access, logins=logins, where=source.loaded.where)
    return PolicySource(first, RulesFile(load, source.signature, source.age), source.seen)


def _lost(new: Settings, logins: bool, before: Policy) -> str:
    """What a file that was cut or emptied has lost, and nobody takes away from a running server; empty if nothing."""
    if logins and not new.auth.is_on:
        return "nobody would have to log in; if that is meant, restart the server"
    if not new.access.model_fields_set:
        return "it says nothing of access any more; if that is meant, restart the server"
    if new.access.rules is None and before.rules not in (DEFAULT_RULES, OPEN_RULES):
        return "access.rules are gone; if that is meant, restart the server, or write `rules: []` to allow nothing"
    return ""


def check_sources(settings: Settings, backend: StorageBackend) -> None:
    """Raise `AccountInvalid` if a file that users come from cannot be used."""
    if settings.auth.is_on:
        build_sources(settings.auth, build_accounts(backend)).close()


def fixed_realm(settings: Settings) -> str:
    """The realm that the settings fix; empty if it follows from the address that the client used."""
    if settings.auth.token.realm:
        return settings.auth.token.realm
    return settings.auth.url.rstrip("/") + TOKEN_PATH if settings.auth.url else ""


def _problem(path: Location, build: Callable[[], object]) -> Iterator[Problem]:
    try:
        build()
    except AuthError as error:
        yield Problem(path, error.message)
    except ValueError as error:
        yield Problem(path, str(error))


def _rule(rule: RuleSettings, where: str) -> Rule:
    return Rule(
        tuple(Subject.parse(text) for text in rule.who),
        tuple(check_repositories(text, "user") for text in rule.repositories),
        parse_actions(rule.actions),
        rule.effect == "deny",
        where,
    )


def _issuer(issuer: IssuerSettings) -> IssuerOptions:
    return IssuerOptions(
        name=issuer.name,
        issuer=issuer.issuer,
        audiences=issuer.audiences,
        rules=tuple(IdentityRule(item.when, item.name, item.scope) for item in issuer.identities),
        jwks_url=issuer.jwks_url,
        jwks_file=str(issuer.jwks_file or ""),
        ca_file=str(issuer.ca_file or ""),
        token_file=str(issuer.token_file or ""),
        algorithms=issuer.algorithms,
        leeway=issuer.leeway_seconds,
        max_lifetime=issuer.max_lifetime_seconds,
    )


def _ldap(ldap: LdapSettings) -> LdapOptions:
    password = ldap.bind_password.get_secret_value()
    if ldap.bind_password_file is not None:
        try:
            password = ldap.bind_password_file.read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            raise AccountInvalid(f"auth.ldap.bind_password_file cannot be read: {error.strerror}") from error
    return LdapOptions(
        url=ldap.url,
        start_tls=ldap.start_tls,
        ca_file=str(ldap.ca_file) if ldap.ca_file else None,
        timeout=ldap.timeout_seconds,
        bind_dn=ldap.bind_dn,
        bind_password=password,
        user_dn=ldap.user_dn,
        user_base=ldap.user_base,
        user_filter=ldap.user_filter,
        name_attribute=ldap.name_attribute,
        group_base=ldap.group_base,
        group_filter=ldap.group_filter,
        group_attribute=ldap.group_attribute,
        required_group=ldap.required_group,
    )
