"""An image as `docker inspect` shows it, as far as a registry knows: what an engine alone knows is left out. Pure."""

from collections.abc import Mapping, Sequence

from registry.browse.images import Image
from registry.content import mediatypes, strict_json
from registry.content.descriptors import Descriptor
from registry.content.names import Tag

_RUN: Mapping[str, object] = {
    "User": "",
    "Env": None,
    "Cmd": None,
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
"""What docker shows of a config that says nothing."""

FIELDS = (
    "Id",
    "RepoTags",
    "RepoDigests",
    "Comment",
    "Created",
    "DockerVersion",
    "Author",
    "Config",
    "Architecture",
    "Variant",
    "Os",
    "OsVersion",
    "Size",
    "RootFS",
    "Descriptor",
    "Layers",
    "Annotations",
    "ArtifactType",
    "Subject",
    "Manifests",
)
"""All members, in their order; docker's first, then what a registry knows besides."""


def inspected(image: Image, repository: str, tags: Sequence[Tag]) -> Mapping[str, object]:
    """The members of an image; `repository` as clients write it, `tags` those that name it. Sizes in bytes, of what is
    kept: compressed.
    """
    config = image.config
    values: Sequence[object] = (
        str(image.id),
        [f"{repository}:{tag}" for tag in tags],
        [f"{repository}@{image.digest}"],
        config.comment if config else "",
        _created(image),
        config.docker_version if config else "",
        config.author if config else "",
        {**_RUN, **config.run} if config else None,
        config.architecture if config else "",
        config.variant if config else "",
        config.os if config else "",
        config.os_version if config else "",
        image.size,
        {"Type": "layers", "Layers": list(config.diff_ids)} if config else None,
        {"mediaType": image.stored.media_type, "digest": str(image.stored.digest), "size": len(image.stored.data)},
        [_descriptor(layer) for layer in image.layers],
        dict(image.manifest.annotations) or None,
        (image.manifest.artifact_type or "") if config is None else "",
        _descriptor(image.manifest.subject) if image.manifest.subject else None,
        _manifests(image),
    )
    return dict(zip(FIELDS, values, strict=True))


def _created(image: Image) -> str:
    if image.config is not None and image.config.created:
        return image.config.created
    return image.created.isoformat().replace("+00:00", "Z") if image.created else ""


def _descriptor(descriptor: Descriptor) -> Mapping[str, object]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def _manifests(image: Image) -> object:
    """What the index holds that was asked for, as it says; None if it was an image."""
    if image.named.media_type not in mediatypes.INDEXES:
        return None
    document = strict_json.loads(image.named.data)
    return document.get("manifests") if isinstance(document, dict) else None
