"""Repository names, tags and references: parsed once at the edge, trusted from there on.

Source: distribution-spec, "Pulling manifests". Names double as path components on storage, so the grammar here is also
what keeps a name from leaving its place there.
"""

import re
from typing import Self

from registry.content.digest import Digest
from registry.content.errors import DigestInvalid, NameInvalid, TagInvalid

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ONE = re.compile(_COMPONENT)
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_MAX_NAME = 255


class RepositoryName(str):
    """A repository name that fits the grammar."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name. Raises `NameInvalid`."""
        if len(text) > _MAX_NAME:
            raise NameInvalid(
                f"the repository name has {len(text)} characters; at most {_MAX_NAME} fit", {"name": text[:_MAX_NAME]}
            )
        if not _NAME.fullmatch(text):
            raise NameInvalid(
                f"{text!r} is not a repository name; use lower-case letters and digits, parted by single '.', '_', "
                "'__' or dashes, in components parted by '/'",
                {"name": text},
            )
        return cls(text)


def is_name(text: str) -> bool:
    """True if the text fits the grammar of repository names."""
    return _NAME.fullmatch(text) is not None and len(text) <= _MAX_NAME


def is_component(text: str) -> bool:
    """True if the text can stand between two slashes of a repository name."""
    return _ONE.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """True if the text fits the grammar of tags."""
    return _TAG.fullmatch(text) is not None


class Tag(str):
    """A tag that fits the grammar."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a tag. Raises `TagInvalid`."""
        if not is_tag(text):
            shown = text[:160]
            raise TagInvalid(
                f"{shown!r} is not a tag; use up to 128 letters, digits, '_', '.' and '-', not '.' or '-' at the start",
                {"tag": shown},
            )
        return cls(text)


Reference = Digest | Tag


def parse_reference(text: str) -> Reference:
    """A manifest's reference: a digest if it has a colon, else a tag. Raises `DigestInvalid` or `TagInvalid`."""
    return Digest.parse(text) if ":" in text else Tag.parse(text)


def cosign_tags(subject: Digest) -> tuple[Tag, ...]:
    """The tags under which cosign keeps signatures, attestations and SBOMs where it does not use the referrers API:
    `<alg>-<hex>.sig` and the like. Of sha512 there are none: they would be too long for a tag.
    """
    texts = [f"{subject.algorithm}-{subject.encoded}.{kind}" for kind in ("sig", "att", "sbom")]
    return tuple(Tag(text) for text in texts if is_tag(text))


def subject_of(tag: Tag) -> Digest | None:
    """The manifest that a tag of `cosign_tags` or `referrers_tag` belongs to; None for any other tag."""
    algorithm, _, rest = tag.partition("-")
    try:
        return Digest.parse(f"{algorithm}:{rest.partition('.')[0]}")
    except DigestInvalid:
        return None


def referrers_tag(subject: Digest) -> Tag:
    """The tag under which clients list referrers where there is no API. Source: "Referrers Tag Schema"."""
    return Tag(f"{subject.algorithm[:32]}-{subject.encoded[:64]}")
