"""Digests: what a piece of content is called. Knows the algorithms that we keep content under, and nothing of storage.

Source: image-spec, descriptor.md, "Digests".
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from registry.content.errors import DigestInvalid

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_SUPPORTED = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")

CANONICAL = "sha256"
"""The algorithm that content gets when its client names none."""


def check_algorithm(name: str) -> str:
    """The name of an algorithm that we have. Raises `DigestInvalid`."""
    if name not in _HEX_LENGTH:
        raise DigestInvalid(
            f"digest algorithm {name[:40]!r} is not supported; use {' or '.join(_HEX_LENGTH)}", {"algorithm": name[:40]}
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`<algorithm>:<encoded>`, of an algorithm that we have, in canonical form."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a digest strictly. Raises `DigestInvalid` that tells malformed from unsupported."""
        match = _SUPPORTED.fullmatch(text)
        if match is not None:
            return cls("sha256", match[2]) if match[1] else cls("sha512", match[4])
        shown = text[:160]
        if not _GRAMMAR.fullmatch(text):
            raise DigestInvalid(f"{shown!r} is not a digest; one looks like sha256:<64 hex digits>", {"digest": shown})
        algorithm = check_algorithm(text.partition(":")[0])
        raise DigestInvalid(
            f"a {algorithm} digest has {_HEX_LENGTH[algorithm]} lower-case hex digits after the colon",
            {"digest": shown},
        )

    @classmethod
    def of(cls, data: bytes, algorithm: str = CANONICAL) -> Self:
        """The digest of `data`."""
        return cls(algorithm, hashlib.new(algorithm, data, usedforsecurity=False).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


class Hasher:
    """The digest of a stream so far; `offset` is how many bytes it has seen."""

    __slots__ = ("_state", "algorithm", "offset")

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.offset = 0
        self._state = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, block: memoryview) -> None:
        """Take the next block. Blocking; releases the interpreter lock for blocks over 2 KiB."""
        self._state.update(block)
        self.offset += len(block)

    def digest(self) -> Digest:
        """The digest of all bytes seen."""
        return Digest(self.algorithm, self._state.hexdigest())
