"""What settings have to fit together. Each problem names the setting to change and says what to do.

Knows settings only; `missing_files` is the one look at the world outside.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.addresses import TcpAddress
from config.positions import Location
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that does not go with the others."""

    path: Location
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.message}"


def problems(settings: Settings) -> Iterator[Problem]:
    """Everything that does not fit together."""
    yield from _access(settings)
    yield from _auth(settings)
    yield from _ldap(settings)
    yield from _issuers(settings)
    yield from _tls(settings)
    yield from _s3(settings)
    yield from _upstreams(settings)
    if settings.registry.catalog_page_size > settings.registry.max_page_size:
        yield Problem(
            ("registry", "catalog_page_size"),
            f"is larger than registry.max_page_size ({settings.registry.max_page_size}): make one fit the other",
        )


def notes(settings: Settings) -> Iterator[Problem]:
    """What is no mistake, and may be more than was meant."""
    source = next((source for source in settings.mirror.online if source.prefix == settings.mirror.default), None)
    if source is not None and _has_own_images(settings):
        yield Problem(
            ("mirror", "default"),
            f"a name that nothing here has, such as a mistyped one, is answered with what {source.upstream} has under"
            " it, whoever made it there; only docker's registry-mirrors need that",
        )


def _has_own_images(settings: Settings) -> bool:
    """True if somebody may push what is no mirror's."""
    rules, mirrored = settings.access.rules, tuple(f"{source.prefix}/" for source in settings.mirror.sources)
    return rules is None or any(
        rule.effect == "allow"
        and not {"push", "admin", "*"}.isdisjoint(rule.actions)
        and not all(pattern.startswith(mirrored) for pattern in rule.repositories)
        for rule in rules
    )


def missing_files(settings: Settings) -> Iterator[Problem]:
    """Files that the settings name and this process cannot read; and that of the audit log if it cannot be written."""
    for location, path in _files(settings):
        if path is not None and not os.access(path, os.R_OK):
            reason = "cannot be read by this user" if _may_exist(path) else "is not there"
            yield Problem(location, f"{path} {reason}")
    if settings.log.audit not in ("auto", "stdout", "off"):
        path = Path(settings.log.audit)
        if reason := _why_not_to_be_written(path):
            yield Problem(("log", "audit"), f"{path} {reason}: name another file, stdout, or off")


def _may_exist(path: Path) -> bool:
    """False if it is not there; this user may be kept from looking."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _why_not_to_be_written(path: Path) -> str:
    """Empty if lines can be added to this file, which need not be there."""
    if _may_exist(path):
        if not os.access(path, os.W_OK):
            return "cannot be written by this user"
        return "is a directory" if path.is_dir() else ""
    if not path.parent.is_dir():
        return f"cannot be made, for {path.parent} is not there"
    return "" if os.access(path.parent, os.W_OK | os.X_OK) else f"cannot be made by this user in {path.parent}"


def _files(settings: Settings) -> Iterator[tuple[Location, Path | None]]:
    tls, auth = settings.server.tls, settings.auth
    for name in ("certificate", "key", "client_ca"):
        yield ("server", "tls", name), getattr(tls, name)
    yield ("auth", "htpasswd"), auth.htpasswd
    for name in ("ca_file", "bind_password_file"):
        yield ("auth", "ldap", name), getattr(auth.ldap, name)
    for name in ("ca_file", "secret_access_key_file"):
        yield ("storage", "s3", name), getattr(settings.storage.s3, name)
    for number, issuer in enumerate(auth.issuers):
        for name in ("jwks_file", "ca_file", "token_file"):
            yield ("auth", "issuers", number, name), getattr(issuer, name)
    for number, upstream in enumerate(settings.upstreams):
        for name in ("password_file", "ca_file"):
            yield ("upstreams", number, name), getattr(upstream, name)


def _access(settings: Settings) -> Iterator[Problem]:
    address = settings.server.address
    if not isinstance(address, TcpAddress) or address.is_loopback:
        return
    closed = settings.auth.is_on or settings.server.tls.client_ca is not None
    if closed or settings.access.allow_anonymous_writes:
        return
    yield Problem(
        ("server", "listen"),
        f"{address} can be reached from other machines, and no authentication is configured: anyone there could push"
        " and delete. Say who may log in (auth.htpasswd, or auth.enabled and `cargohold user add`), ask for client"
        " certificates (server.tls.client_ca), listen on 127.0.0.1 or on a Unix socket, or, if that is what you want,"
        " say so: access.allow_anonymous_writes: true, or --allow-anonymous-writes, or"
        " CARGOHOLD_ACCESS__ALLOW_ANONYMOUS_WRITES=true",
    )


def _auth(settings: Settings) -> Iterator[Problem]:
    auth, rules = settings.auth, settings.access.rules
    if rules is not None and not auth.is_on:
        yield Problem(
            ("access", "rules"),
            "would not be asked: nobody has to log in. Say who may (auth.htpasswd, auth.ldap, …), or set auth.enabled"
            " and make users with `cargohold user add`",
        )
    if not auth.url:
        return
    if auth.htpasswd or auth.users or auth.ldap.url or auth.issuers:
        yield Problem(("auth", "url"), "names another token service, which is where users, ldap and issuers belong")
    if rules is None:
        yield Problem(
            ("auth", "url"),
            "names another token service: write the rules that this registry keeps to as access.rules, the same as"
            " there",
        )


def _ldap(settings: Settings) -> Iterator[Problem]:
    ldap = settings.auth.ldap
    if not ldap.url:
        return
    if not ldap.url.startswith(("ldap://", "ldaps://")):
        yield Problem(("auth", "ldap", "url"), "begins with ldap:// or ldaps://")
    if not ldap.user_dn and not ldap.user_base:
        yield Problem(("auth", "ldap", "url"), "needs auth.ldap.user_base, where users are looked for, or user_dn")
    if ldap.bind_password.get_secret_value() and ldap.bind_password_file:
        yield Problem(("auth", "ldap", "bind_password"), "is given, and bind_password_file, too: keep one of them")
    if ldap.required_group and not ldap.group_base:
        yield Problem(("auth", "ldap", "required_group"), "lets nobody in without auth.ldap.group_base")
    if ldap.bind_dn and not (ldap.bind_password.get_secret_value() or ldap.bind_password_file):
        yield Problem(("auth", "ldap", "bind_dn"), "needs its password: set auth.ldap.bind_password_file, too")
    if ldap.start_tls and ldap.url.startswith("ldaps://"):
        yield Problem(("auth", "ldap", "start_tls"), "goes with ldap://; ldaps:// is encrypted from the beginning")


def _issuers(settings: Settings) -> Iterator[Problem]:
    names: set[str] = set()
    for number, issuer in enumerate(settings.auth.issuers):
        if issuer.name in names:
            yield Problem(("auth", "issuers", number, "name"), f"{issuer.name} is the name of another issuer already")
        names.add(issuer.name)
        if any(issuer.issuer == other.issuer for other in settings.auth.issuers[:number]):
            message = "is there already: give that entry these identities, too"
            yield Problem(("auth", "issuers", number, "issuer"), message)
        if issuer.jwks_url and issuer.jwks_file:
            yield Problem(("auth", "issuers", number, "jwks_url"), "is given, and jwks_file, too: keep one of them")
        if not issuer.issuer.startswith(("https://", "http://")) and not (issuer.jwks_url or issuer.jwks_file):
            yield Problem(
                ("auth", "issuers", number, "issuer"), "is no URL: say where its keys are (jwks_url, jwks_file)"
            )


def _upstreams(settings: Settings) -> Iterator[Problem]:
    names: set[str] = set()
    for number, upstream in enumerate(settings.upstreams):
        here = ("upstreams", number)
        if upstream.name in names:
            yield Problem((*here, "name"), f"{upstream.name} is the name of another upstream already")
        names.add(upstream.name)
        password, file = bool(upstream.password.get_secret_value()), upstream.password_file is not None
        if password + file + bool(upstream.credential_command) > 1:
            yield Problem(
                (*here, "username"),
                "has password, password_file or credential_command more than once: keep one of them",
            )
        if (password or file) and not upstream.username:
            yield Problem((*here, "name"), f"{upstream.name} has a password and no username")
        if upstream.username and not (password or file or upstream.credential_command):
            yield Problem((*here, "username"), "needs its password: set password_file, too")


def _s3(settings: Settings) -> Iterator[Problem]:
    s3 = settings.storage.s3
    here = ("storage", "s3")
    if not s3.bucket:
        if s3.model_copy(update={"bucket": ""}) != type(s3)():
            yield Problem((*here, "bucket"), "is not set: without it the data lies in storage.root, not in a bucket")
        return
    secret, file = bool(s3.secret_access_key.get_secret_value()), s3.secret_access_key_file is not None
    if secret and file:
        yield Problem((*here, "secret_access_key"), "is given, and secret_access_key_file, too: keep one of them")
    if bool(s3.access_key_id) != (secret or file):
        yield Problem((*here, "access_key_id"), "and its secret (secret_access_key_file) go together")
    if s3.access_key_id and s3.profile:
        yield Problem((*here, "profile"), "is given, and access_key_id, too: keep one of them")
    if s3.kms_key_id and s3.encryption != "aws:kms":
        yield Problem((*here, "kms_key_id"), "is used with storage.s3.encryption: aws:kms only")
    if s3.single_writer and settings.server.workers > 1:
        yield Problem((*here, "single_writer"), "means one process, and server.workers asks for more: keep one of them")


def _tls(settings: Settings) -> Iterator[Problem]:
    tls = settings.server.tls
    if tls.certificate is not None and tls.key is None:
        yield Problem(("server", "tls", "certificate"), "needs its private key: set server.tls.key, too")
    if tls.key is not None and tls.certificate is None:
        yield Problem(("server", "tls", "key"), "needs its certificate: set server.tls.certificate, too")
    if tls.client_ca is not None and tls.certificate is None:
        yield Problem(
            ("server", "tls", "client_ca"),
            "asks for client certificates, which only TLS has: set server.tls.certificate and server.tls.key, too",
        )
