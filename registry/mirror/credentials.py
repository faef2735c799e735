"""Credentials for registries elsewhere: given ones, those that a command prints, and those that `docker login` keeps.

Knows docker's and podman's files and the protocol of credential helpers; sends nothing. A secret is in no message.

Sources: docker/cli, cli/config/configfile; docker/docker-credential-helpers, README "Usage"; containers-auth.json(5).
"""

import asyncio
import base64
import binascii
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from registry.content.image_references import DOCKER_HUB
from registry.mirror.errors import CredentialsInvalid

_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # noqa: S105  # a word of the protocol
"""The user name with which a credential helper says that its secret is an identity token."""
_HELPER_TIMEOUT = 60.0
FRESH_SECONDS = 900.0
"""For so long credentials are used without asking where they come from."""
_MAX_OUTPUT = 1024 * 1024
_HELPER_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody logs in with: a name and a password, or one of docker's tokens."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """Obtained at a login in place of the password; traded for tokens."""
    registry_token: str = field(default="", repr=False)
    """Sent to the registry as it is."""


class CredentialSource(Protocol):
    """Where credentials come from."""

    async def get(self, *, anew: bool = False) -> Credentials | None:
        """The credentials, None for nobody; `anew` if the last ones were refused. Raises `CredentialsInvalid`."""
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """Credentials that are known from the beginning, or none."""

    credentials: Credentials | None = None

    async def get(self, *, anew: bool = False) -> Credentials | None:
        """See `CredentialSource`."""
        return self.credentials


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A password that lies in a file, read at each login, so that it can be changed while we run."""

    username: str
    path: Path

    async def get(self, *, anew: bool = False) -> Credentials | None:
        """See `CredentialSource`."""
        try:
            return Credentials(self.username, self.path.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsInvalid(f"the password cannot be read from {self.path}: {_reason(error)}") from error


class Remembered:
    """Credentials that are dear to find out: asked for once in a quarter of an hour, and when they are refused.

    Those of clouds end after some hours, and some registries do not say so in a way that asks for others.
    """

    def __init__(self, source: CredentialSource, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = source
        self._clock = clock
        self._known: Credentials | None = None
        self._ends = -1.0
        self._lock = asyncio.Lock()

    async def get(self, *, anew: bool = False) -> Credentials | None:
        """See `CredentialSource`."""
        async with self._lock:
            if anew or self._clock() >= self._ends:
                self._known = await self.source.get(anew=anew)
                self._ends = self._clock() + FRESH_SECONDS
            return self._known


@dataclass(frozen=True, slots=True)
class Command:
    """Credentials that a command prints: a password, or JSON as a credential helper has it."""

    command: Sequence[str]
    username: str = ""

    async def get(self, *, anew: bool = False) -> Credentials | None:
        """See `CredentialSource`."""
        return self._read((await _run(self.command)).strip())

    def _read(self, text: str) -> Credentials:
        if not text.startswith("{"):
            if not text or "\n" in text:
                raise CredentialsInvalid(f"{self.command[0]} must print a password in one line, or JSON")
            return Credentials(self.username, text)
        return _of_helper(text, self.command[0], self.username)


@dataclass(frozen=True, slots=True)
class DockerLogins:
    """What `docker login` and `podman login` have left on this machine, for one registry."""

    host: str
    files: Sequence[Path]

    async def get(self, *, anew: bool = False) -> Credentials | None:
        """See `CredentialSource`. The first file that has something for the registry counts."""
        for path in self.files:
            document = _document(path)
            found = await self._from(document, path) if document else None
            if found is not None:
                return found
        return None

    async def _from(self, document: Mapping[str, object], path: Path) -> Credentials | None:
        helpers, store = document.get("credHelpers"), document.get("credsStore")
        for key in _keys(self.host):
            if isinstance(helpers, dict) and isinstance(helper := helpers.get(key), str):
                return await _ask_helper(helper, key)
        if isinstance(store, str) and store:
            for key in _keys(self.host):
                if (found := await _ask_helper(store, key)) is not None:
                    return found
        auths = document.get("auths")
        for key in _keys(self.host):
            if isinstance(auths, dict) and isinstance(entry := auths.get(key), dict) and entry:
                return _of_entry(entry, key, path)
        return None


def login_files(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> list[Path]:
    """The files in which logins of docker and podman lie, in the order in which they are asked."""
    home = home or Path(environment.get("HOME") or "/")
    docker = Path(environment["DOCKER_CONFIG"]) if environment.get("DOCKER_CONFIG") else home / ".docker"
    if environment.get("REGISTRY_AUTH_FILE"):
        return [Path(environment["REGISTRY_AUTH_FILE"])]
    files = [docker / "config.json"]
    if environment.get("XDG_RUNTIME_DIR"):
        files.append(Path(environment["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    elif os.getuid() == 0:  # `sudo` and services have none; others than root may not look into /run/containers
        files.append(Path("/run/containers/0/auth.json"))
    config = Path(environment["XDG_CONFIG_HOME"]) if environment.get("XDG_CONFIG_HOME") else home / ".config"
    return [*files, config / "containers" / "auth.json"]


def _keys(host: str) -> list[str]:
    """What a registry may be called in such a file."""
    if host == DOCKER_HUB:
        return [_HUB_KEY, "index.docker.io", DOCKER_HUB, "registry-1.docker.io"]
    return [host, f"https://{host}", f"https://{host}/", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]


def _document(path: Path) -> Mapping[str, object]:
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsInvalid(f"the logins in {path} cannot be read: {_reason(error)}") from error
    try:
        document = json.loads(text or "{}")
    except ValueError as error:
        raise CredentialsInvalid(f"the logins in {path} cannot be read: it is not JSON") from error
    return document if isinstance(document, dict) else {}


def _of_entry(entry: Mapping[str, object], key: str, path: Path) -> Credentials:
    """An entry of `auths`. A name and password may also stand there as they are."""
    texts = {name: value for name, value in entry.items() if isinstance(value, str)}
    username, password = texts.get("username", ""), texts.get("password", "")
    if texts.get("auth"):
        try:
            username, colon, password = base64.b64decode(texts["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise CredentialsInvalid(f"the login of {key} in {path} is not base64: log in again") from error
        if not colon:
            raise CredentialsInvalid(f"the login of {key} in {path} is no NAME:PASSWORD: log in again")
    return Credentials(username, password.strip("\0"), texts.get("identitytoken", ""), texts.get("registrytoken", ""))


async def _ask_helper(name: str, key: str) -> Credentials | None:
    """What `docker-credential-NAME get` knows of a registry; None if that is nothing."""
    if not name or not _HELPER_NAME.issuperset(name):
        raise CredentialsInvalid(f"{name[:80]!r} is not the name of a credential helper")
    program = f"docker-credential-{name}"
    try:
        text = await _run((program, "get"), key)
    except _NothingKnown:
        return None
    return _of_helper(text, program, "")


def _of_helper(text: str, program: str, username: str) -> Credentials:
    try:
        document = json.loads(text)
        by_name = {key.lower(): value for key, value in document.items() if isinstance(value, str)}
    except (ValueError, AttributeError) as error:
        raise CredentialsInvalid(f"{program} printed something that is not JSON") from error
    username = by_name.get("username", username)
    secret = by_name.get("secret") or by_name.get("password") or ""
    if not secret:
        raise CredentialsInvalid(f"{program} printed JSON without a `Secret`")
    if username == _TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(username, secret)


class _NothingKnown(Exception):
    """A helper has no credentials for the registry."""


async def _run(command: Sequence[str], text: str = "") -> str:
    """What a command prints, with `text` as its input. What it says on stderr goes to ours."""
    program = shutil.which(command[0])
    if program is None:
        raise CredentialsInvalid(f"{command[0]}, which has the credentials, is not there: install it, or log in again")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(program, *command[1:], stdin=pipe, stdout=pipe)
    try:
        output, _ = await asyncio.wait_for(process.communicate(text.encode()), _HELPER_TIMEOUT)
    except TimeoutError as error:
        raise CredentialsInvalid(f"{command[0]} did not answer within {_HELPER_TIMEOUT:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    printed = output[:_MAX_OUTPUT].decode("utf-8", "replace")
    if process.returncode != 0:
        # helpers say on stdout that they know nothing, in these words
        if "credentials not found" in printed:
            raise _NothingKnown
        raise CredentialsInvalid(f"{command[0]} failed with exit code {process.returncode}")
    return printed


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unknown" if isinstance(error, OSError) else "it is not UTF-8 text"
