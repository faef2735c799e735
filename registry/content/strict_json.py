"""JSON as a registry must read it: UTF-8, one meaning only, and no way to exhaust the reader.

Two readers that disagree on a document are a hole (one checks what the other does not run), so duplicate keys are
refused. Pure; knows nothing of manifests.
"""

import json
import re

_SMALL = 64 * 1024
_STRING = re.compile(rb'"[^"]*"?')
"""Without escapes. Also one that does not end: else each quotation mark in it would be tried as a beginning."""


class JSONInvalid(ValueError):
    """The bytes are not a JSON document with exactly one meaning."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise JSONInvalid(f"the key {name[:80]!r} stands twice in one object")
            seen.add(name)
    return members


def _no_constant(name: str) -> object:
    raise JSONInvalid(f"{name} is not JSON")


def _is_crowded(data: bytes) -> bool:
    """True for a large document of next to nothing but values: `[[],[],…` takes 25 times its size when it is read.

    Descriptors and annotations have far more than six bytes for each comma and bracket.
    """
    if len(data) <= _SMALL or _marks(data) <= len(data) // 6:
        return False
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # a pattern with escapes takes a hundred times the size
    return _marks(_STRING.sub(b"", plain)) > len(data) // 6


def _marks(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def loads(data: bytes) -> object:
    """Parse a document. Raises `JSONInvalid` with what is wrong and where."""
    if _is_crowded(data):
        raise JSONInvalid("too many values for its size")
    try:
        document: object = json.loads(
            data.decode("utf-8", "strict"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise JSONInvalid(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise JSONInvalid("nested too deeply") from error
    except json.JSONDecodeError as error:
        raise JSONInvalid(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    except JSONInvalid:
        raise
    except ValueError as error:  # numbers of thousands of digits
        raise JSONInvalid(str(error)) from error
    return document


def dumps(value: object) -> bytes:
    """The shortest document that says the same: no longer than the one that the value was read from."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")  # lone surrogates, whose backslash form is also JSON's
