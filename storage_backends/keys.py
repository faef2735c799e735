"""The grammar of keys, and the one check of it. Pure.

Keys become paths and object names, so the grammar is narrow: printable ASCII, components parted by single slashes,
none of them empty, beginning with a dot, or longer than a file name may be.
"""

from storage_backends.errors import InvalidKey

_MAX_KEY = 4096
_MAX_COMPONENT = 255


def is_component(name: str) -> bool:
    """True if a name out of a listing can be part of a key: not those of files that NFS and rsync leave, for one."""
    return (
        name[:1] not in ("", ".")
        and "\\" not in name
        and name.isascii()
        and name.isprintable()
        and len(name) <= _MAX_COMPONENT
    )


def is_key(name: str) -> bool:
    """True if a name out of a listing of keys fits the grammar."""
    try:
        check_key(name)
    except InvalidKey:
        return False
    return True


def check_key(key: str) -> None:
    """Raise `InvalidKey` unless `key` fits the grammar."""
    if not key or key[0] in "/." or key[-1] == "/":
        raise InvalidKey(f"{key[:200]!r} is not a key: it must begin with a name and end with one")
    check_prefix(key)


def check_prefix(prefix: str) -> None:
    """Raise `InvalidKey` unless `prefix` is empty or can begin a key."""
    if prefix and (prefix[0] in "/." or "//" in prefix or "/." in prefix or "\\" in prefix):
        raise InvalidKey(f"{prefix[:200]!r} is not a key: no component may be empty or begin with a dot")
    if not (prefix.isascii() and prefix.isprintable()):
        raise InvalidKey(f"{prefix[:200]!r} is not a key: only printable ASCII is")
    if len(prefix) > _MAX_COMPONENT and (
        len(prefix) > _MAX_KEY or any(len(part) > _MAX_COMPONENT for part in prefix.split("/"))
    ):
        raise InvalidKey(f"{prefix[:200]!r}… is too long for a key: {_MAX_KEY} in all, {_MAX_COMPONENT} a component")
