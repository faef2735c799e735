"""The config of an image: when and for what it was made, how it runs, which layers it has. Pure; reads no storage.

What it says is its author's, and often wrong in small ways: a member that is not what it should be counts as absent, so
that one odd label does not hide an image. Sources: image-spec config.md; Docker's image specification v1.2.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from registry.content import strict_json

MEDIA_TYPES = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
"""What the config of an image is called; anything else belongs to an artifact, and may be anything."""

LARGEST = 8 * 1024 * 1024
"""In bytes; docker and containerd refuse a larger one."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """An entry of an image's history, the oldest first; `made` says if it has a layer of its own."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    made: bool = True


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a config says. `created` is as it stands there; `run` is its member `config`: how the image runs."""

    created: str = ""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    os: str = ""
    os_version: str = ""
    architecture: str = ""
    variant: str = ""
    run: Mapping[str, object] = field(default_factory=dict)
    diff_ids: Sequence[str] = ()
    history: Sequence[Step] = ()

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        found = self.run.get("Labels")
        return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def parse_image_config(data: bytes) -> ImageConfig | None:
    """Read a config; None if it is no JSON object."""
    try:
        document = strict_json.loads(data)
    except strict_json.JSONInvalid:
        return None
    if not isinstance(document, dict):
        return None
    run, rootfs, history = (document.get(name) for name in ("config", "rootfs", "history"))
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return ImageConfig(
        created=_text(document, "created"),
        author=_text(document, "author"),
        comment=_text(document, "comment"),
        docker_version=_text(document, "docker_version"),
        os=_text(document, "os"),
        os_version=_text(document, "os.version"),
        architecture=_text(document, "architecture"),
        variant=_text(document, "variant"),
        run=run if isinstance(run, dict) else {},
        diff_ids=[str(each) for each in diff_ids] if isinstance(diff_ids, list) else (),
        history=[_step(entry) for entry in history if isinstance(entry, dict)] if isinstance(history, list) else (),
    )


def parse_time(text: str) -> datetime | None:
    """A time of RFC 3339, to the microsecond, in UTC; None if it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0')[:7]:0<7}{zone.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _step(entry: Mapping[str, object]) -> Step:
    return Step(
        created=_text(entry, "created"),
        created_by=_text(entry, "created_by"),
        comment=_text(entry, "comment"),
        made=entry.get("empty_layer") is not True,
    )


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""
