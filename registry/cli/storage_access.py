"""How commands reach the accounts in a storage, and what they do about a storage that another user owns."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from registry.cli import output
from registry.cli.failure import INTERRUPTED, MISUSED, Failure
from registry.cli.settings_options import load_settings

if TYPE_CHECKING:
    from config.settings import Settings
    from storage_backends.base import StorageBackend

T = TypeVar("T")


def with_storage(
    config: Path | None,
    root: Path | None,
    work: "Callable[[Settings, StorageBackend], Coroutine[Any, Any, T]]",
    *,
    begins: bool = False,
) -> T:
    """Do `work` on the storage that the settings name, which need not be there if the work `begins` it. Raises
    `Failure`.
    """
    from auth.errors import AuthError  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from storage_backends.errors import StorageError  # noqa: PLC0415

    settings = load_settings(config, {"--root": root})
    if not begins:
        check_there(settings)
    check_owner(settings)
    try:
        return asyncio.run(work(settings, build_backend(settings)))
    except AuthError as error:
        raise Failure(error.message) from error
    except StorageError as error:
        raise Failure(f"the storage failed: {error}") from error


def check_there(settings: "Settings", further: str = "") -> None:
    """A directory whose name is mistyped is no empty storage. Raises `Failure`; `further` ends what is said."""
    root = settings.storage.root
    if not settings.storage.s3.bucket and not root.is_dir():
        raise Failure(
            f"{root} is not there: name the directory of the data with --root, the settings with --config{further}",
            MISUSED,
        )


def check_owner(settings: "Settings") -> None:
    """What root writes, a server that runs as somebody else cannot read, or cannot write to: a look leaves locks
    behind, too. Raises `Failure`.
    """
    root = settings.storage.root
    if settings.storage.s3.bucket or os.geteuid() != 0 or not root.exists():
        return
    owner = root.stat().st_uid
    if owner != 0:
        raise Failure(
            f"{root} belongs to user {owner}, whose server could neither read nor change what root writes there. Run"
            f" this as that user: setpriv --reuid={owner} --clear-groups cargohold …",
            MISUSED,
        )


def note_who_is_asked(settings: "Settings") -> None:
    """Tell who makes an account that nobody can log in with it, or not here."""
    if settings.auth.url:
        output.note(f"note: {settings.auth.url} is where people log in: this counts if that serves this very storage")
    elif not settings.auth.is_on:
        output.note("note: nobody is asked to log in yet; set auth.enabled: true (CARGOHOLD_AUTH__ENABLED=true)")


def ask_password(from_stdin: bool) -> str:
    """A password from standard input, or typed twice. Raises `Failure`."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Failure("there is no terminal to ask for the password: pipe it in, with --password-stdin", MISUSED)
    try:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    except typer.Abort:
        raise Failure("stopped", INTERRUPTED) from None
