"""Settings of authentication: who is who, and for how long a login lasts."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

from config.fields import FilePath, LongSeconds, Seconds, Section, Url, Words


def _patterns(value: Any) -> Any:
    """`claim: "a/*"` and `claim: ["a/*", "b/*"]` are the same; a number or a boolean is its text."""
    return [str(value).lower()] if isinstance(value, bool) else [str(value)] if isinstance(value, int | str) else value


class UserSettings(Section):
    """A user in the settings; `password_hash` is bcrypt's, as `htpasswd -nB` prints it."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    password_hash: SecretStr
    groups: Words = ()


class TokenSettings(Section):
    """Bearer and refresh tokens."""

    service: Annotated[str, Field(min_length=1, max_length=255)] = "cargohold"
    further_services: Words = ()
    issuer: Annotated[str, Field(min_length=1, max_length=255)] = "cargohold"
    realm: Url = ""
    lifetime_seconds: Annotated[Seconds, Field(ge=60, le=3600)] = 300
    refresh_lifetime_seconds: LongSeconds = 30 * 86400
    leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30


class ThrottleSettings(Section):
    """How many logins may fail, by address and by account, within a time."""

    per_address: Annotated[int, Field(ge=1)] = 60
    per_account: Annotated[int, Field(ge=1)] = 50
    window_seconds: Seconds = 60


class LdapSettings(Section):
    """A directory. Used if `url` is set."""

    url: str = ""
    start_tls: bool = False
    ca_file: FilePath | None = None
    timeout_seconds: Seconds = 5
    bind_dn: str = ""
    bind_password: SecretStr = SecretStr("")
    bind_password_file: FilePath | None = None
    user_dn: str = ""
    user_base: str = ""
    user_filter: str = "(&(objectClass=person)(uid={user}))"
    name_attribute: str = "uid"
    group_base: str = ""
    group_filter: str = "(&(objectClass=groupOfNames)(member={dn}))"
    group_attribute: str = "cn"
    required_group: str = ""
    remember_seconds: Seconds = 60


class IdentitySettings(Section):
    """What a token of an issuer becomes, if its claims fit."""

    when: Annotated[
        dict[str, Annotated[tuple[str, ...], BeforeValidator(_patterns), Field(strict=False)]], Field(min_length=1)
    ]
    name: Annotated[str, Field(min_length=1)]
    scope: Annotated[tuple[str, ...], BeforeValidator(_patterns), Field(strict=False, min_length=1)]


class IssuerSettings(Section):
    """An issuer of identity tokens whose word counts here."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    issuer: Annotated[str, Field(min_length=1)]
    audiences: Annotated[Words, Field(min_length=1)]
    identities: Annotated[tuple[IdentitySettings, ...], Field(strict=False, min_length=1)]
    jwks_url: Url = ""
    jwks_file: FilePath | None = None
    ca_file: FilePath | None = None
    token_file: FilePath | None = None
    algorithms: Words = ("RS256", "ES256", "EdDSA")
    leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 60
    max_lifetime_seconds: Annotated[float, Field(ge=0)] = 0


class AuthSettings(Section):
    """Who is who."""

    enabled: bool = False
    url: Url = ""
    htpasswd: FilePath | None = None
    users: Annotated[tuple[UserSettings, ...], Field(strict=False)] = ()
    ldap: LdapSettings = LdapSettings()
    issuers: Annotated[tuple[IssuerSettings, ...], Field(strict=False)] = ()
    token: TokenSettings = TokenSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    remember_password_seconds: Seconds = 300

    @property
    def is_on(self) -> bool:
        """True if clients have to say who they are: it was asked for, or there is somebody whom they can be."""
        return bool(self.enabled or self.url or self.htpasswd or self.users or self.ldap.url or self.issuers)
