"""The path of a request, read from its right end, for repository names contain slashes. Pure; knows no handler.

`/v2/<name>/manifests/<reference>` has its verb second from the right whatever the name is. Each part is percent-decoded
on its own, after the split, and stays as it is if a slash would come out: an encoded slash never becomes a border, and
the grammars of names, tags and digests refuse what is left. No pattern is tried in turn.
"""

from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

PREFIX = "/v2/"


class Resource(Enum):
    """What a path names, in the words of distribution-spec, "Endpoints"."""

    BASE = "base"
    CATALOG = "catalog"
    TAGS = "tags"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    REFERRERS = "referrers"
    GARBAGE = "garbage"
    """Ours: garbage collection, of the whole registry."""


@dataclass(frozen=True, slots=True)
class Route:
    """A resource with the repository name and the argument (reference, digest, session) as the client wrote them."""

    resource: Resource
    name: str = ""
    argument: str = ""


_ELSEWHERE = {"/v2": Route(Resource.BASE), "/admin/gc": Route(Resource.GARBAGE)}
_BY_VERB = {"manifests": Resource.MANIFEST, "blobs": Resource.BLOB, "referrers": Resource.REFERRERS}


def match(raw_path: str) -> Route | None:
    """The route of a path as it came over the wire, without query; None if nothing is there."""
    if not raw_path.startswith(PREFIX):
        return _ELSEWHERE.get(raw_path)
    parts = raw_path[len(PREFIX) :].split("/")
    if "%" in raw_path:
        parts = [_decoded(part) for part in parts]
    if len(parts) < 3:
        return _short(parts)
    last, verb = parts[-1], parts[-2]
    if verb == "tags" and last == "list":
        return Route(Resource.TAGS, "/".join(parts[:-2]))
    if verb == "uploads" and parts[-3] == "blobs":
        return Route(Resource.UPLOAD if last else Resource.UPLOADS, "/".join(parts[:-3]), last)
    if verb == "blobs" and last == "uploads":
        return Route(Resource.UPLOADS, "/".join(parts[:-2]))
    resource = _BY_VERB.get(verb)
    return None if resource is None else Route(resource, "/".join(parts[:-2]), last)


def _decoded(part: str) -> str:
    decoded = unquote(part, errors="surrogateescape")
    return part if "/" in decoded else decoded


def _short(parts: list[str]) -> Route | None:
    if parts == [""]:
        return Route(Resource.BASE)
    return Route(Resource.CATALOG) if parts == ["_catalog"] else None
