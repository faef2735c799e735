"""The socket to listen on, bound before any worker starts so that all of them share it."""

import os
import socket
import stat
from pathlib import Path

from registry.serving.options import ServerOptions

_BACKLOG = 2048


class CannotListen(Exception):
    """The address cannot be had; the message says why and what to do."""


def listen(options: ServerOptions) -> socket.socket:
    """A listening socket. Raises `CannotListen`."""
    if options.unix_socket is not None:
        return _listen_unix(options.unix_socket, options.unix_socket_mode)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _refused(options, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _refused(options, error) from error
    return _started(listener)


def describe(listener: socket.socket, *, tls: bool) -> str:
    """The address in words that a person or a client can use."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def forget(options: ServerOptions) -> None:
    """Remove what listening left in the file system."""
    if options.unix_socket is not None:
        options.unix_socket.unlink(missing_ok=True)


def _refused(options: ServerOptions, error: OSError) -> CannotListen:
    where = f"{options.host}:{options.port}"
    return CannotListen(f"cannot listen on {where}: {error.strerror}; choose another address with --listen")


def _listen_unix(path: Path, mode: int) -> socket.socket:
    try:
        taken = path.exists() and not _is_dead(path)
    except PermissionError as error:
        raise CannotListen(f"cannot listen on {path}: {error.strerror}; choose another path") from error
    if taken:
        raise CannotListen(f"cannot listen on {path}: another server does, or it is no socket; choose another path")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    allowed = os.umask(0o777 & ~mode)  # at no time may anybody connect whom `mode` does not allow to
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(mode)
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {path}: {error.strerror or error}; choose another path") from error
    finally:
        os.umask(allowed)
    return _started(listener)


def _is_dead(path: Path) -> bool:
    if not stat.S_ISSOCK(path.stat().st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except PermissionError:  # another user's, be it dead or alive
            return False
    return False


def _started(listener: socket.socket) -> socket.socket:
    listener.listen(_BACKLOG)
    listener.set_inheritable(True)
    return listener
