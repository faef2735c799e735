"""The index of an OCI image layout, `index.json`: which images lie in it, and what they are called. Pure.

An image is named by the annotation `org.opencontainers.image.ref.name`. Others write a tag there, or a whole reference;
we write whole references, so that one layout holds several repositories: `docker.io/library/alpine:3.20`, or
`team/app@sha256:…` for what has no tag. Source: image-spec, image-layout.md and annotations.md.
"""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from registry.content import image_config, mediatypes, strict_json
from registry.content.descriptors import Descriptor, parse_annotations, parse_descriptor
from registry.content.digest import Digest
from registry.content.errors import ContentError
from registry.content.image_references import ImageReference, host_in_name
from registry.content.manifest_store import StoredManifest
from registry.content.manifests import Manifest, parse_manifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.layout_files import INDEX, LAYOUT, blob_name

LAYOUT_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
LARGEST_INDEX = 32 * 1024 * 1024
DOCKER_INDEX = "manifest.json"
_REF_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"


@dataclass(frozen=True, slots=True)
class Named:
    """An image of a layout; `name` is None if the layout does not say how its repository is called."""

    name: RepositoryName | None
    reference: Reference
    descriptor: Descriptor

    def __str__(self) -> str:
        mark = "@" if isinstance(self.reference, Digest) else ":"
        return f"{self.name}{mark}{self.reference}" if self.name else str(self.reference)


def check_version(data: bytes) -> None:
    """Read the file `oci-layout`. Raises `ArchiveInvalid`."""
    document = _loads(data, LAYOUT)
    version = document.get("imageLayoutVersion")
    if version != "1.0.0":
        raise ArchiveInvalid(f"{LAYOUT} gives the version {str(version)[:40]!r}; this is no OCI image layout 1.0.0")


def parse_index(data: bytes) -> tuple[Named, ...]:
    """Read `index.json`. Raises `ArchiveInvalid`."""
    entries = _loads(data, INDEX).get("manifests")
    if not isinstance(entries, list):
        raise ArchiveInvalid(f"{INDEX} has no list of manifests")
    named: dict[tuple[RepositoryName | None, Reference], Named] = {}
    for number, entry in enumerate(entries):
        where = f"{INDEX}: manifests[{number}]"
        try:
            descriptor = parse_descriptor(entry, where)
            annotations = parse_annotations(entry.get("annotations"), f"{where}.annotations")
            where += f" ({annotations.get(_REF_NAME, '')[:200]!r})"
            one = _named(descriptor, annotations)
        except ContentError as error:
            raise ArchiveInvalid(f"{where}: {error}" if INDEX not in str(error) else str(error)) from error
        other = named.setdefault((one.name, one.reference), one)
        if other.descriptor.digest != descriptor.digest:
            raise ArchiveInvalid(f"{where}: {one} names two images")
    return tuple(named.values())


def parse_ref_name(text: str) -> tuple[RepositoryName | None, Reference]:
    """What an image is called: a tag alone, or a reference, whose registry's port becomes part of the name.

    Raises `NameInvalid`, `TagInvalid`, `DigestInvalid`.
    """
    if not {"/", ":", "@"} & {*text}:
        return None, Tag.parse(text)
    image = ImageReference.parse(text)
    return repository_of(image), image.reference


def repository_of(image: ImageReference) -> RepositoryName:
    """The repository of an image where its host is part of the name. Raises `NameInvalid`."""
    return RepositoryName.parse(f"{host_in_name(image.host)}/{image.name}" if image.host else image.name)


class IndexEntries:
    """The entries of an `index.json` that is being made."""

    def __init__(self) -> None:
        self._named: dict[tuple[RepositoryName, Reference], Mapping[str, object]] = {}
        self._children: set[tuple[RepositoryName, Digest]] = set()
        self._images: dict[Digest, Manifest] = {}

    def add(self, name: RepositoryName, manifest: StoredManifest, tags: Sequence[Tag]) -> None:
        """Enter a manifest under its tags, or its digest. Raises `ManifestInvalid`."""
        parsed = parse_manifest(manifest.data, manifest.media_type)
        self._children.update((name, child.digest) for child in parsed.manifests)
        if parsed.config is not None and parsed.config.media_type in image_config.MEDIA_TYPES:
            self._images[manifest.digest] = parsed
        descriptor = Descriptor(manifest.media_type, manifest.digest, len(manifest.data))
        for reference in tags or (manifest.digest,):
            self._named[name, reference] = _entry(name, reference, descriptor, parsed.artifact_type, parsed.subject)

    def update(self, other: "IndexEntries") -> None:
        """Take over all entries of another one."""
        self._named |= other._named
        self._children |= other._children
        self._images |= other._images

    def dumps(self) -> bytes:
        """The file. What has a tag, or is part of an index, is not listed by its digest as well."""
        document = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": self._shown()}
        return json.dumps(document, separators=(",", ":")).encode()

    def docker_dumps(self, there: Container[Digest]) -> bytes:
        """The file `manifest.json`, for what reads archives of `docker save`: images with tags all of whose blobs are
        `there`. Source: moby, image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format".
        """
        tags: dict[Digest, list[str]] = {}
        for (name, reference), entry in self._named.items():
            digest = Digest.parse(str(entry["digest"]))
            image = self._images.get(digest)
            if image and not isinstance(reference, Digest) and all(blob.digest in there for blob in image.blobs):
                tags.setdefault(digest, []).append(f"{name}:{reference}")
        documents = []
        for digest, names in sorted(tags.items()):
            config, *layers = (blob_name(blob.digest) for blob in self._images[digest].blobs)
            documents.append({"Config": config, "RepoTags": sorted(names), "Layers": layers})
        return json.dumps(documents, separators=(",", ":")).encode()

    def _shown(self) -> list[Mapping[str, object]]:
        tagged = {(name, entry["digest"]) for (name, reference), entry in self._named.items() if type(reference) is Tag}
        return [
            entry
            for (name, reference), entry in sorted(self._named.items(), key=lambda item: (item[0][0], str(item[0][1])))
            if not isinstance(reference, Digest)
            or ((name, reference) not in self._children and (name, str(reference)) not in tagged)
        ]


def _entry(
    name: RepositoryName,
    reference: Reference,
    descriptor: Descriptor,
    artifact_type: str | None,
    subject: Descriptor | None,
) -> Mapping[str, object]:
    mark = "@" if isinstance(reference, Digest) else ":"
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        **({"artifactType": artifact_type} if artifact_type and subject else {}),
        "annotations": {_REF_NAME: f"{name}{mark}{reference}"},
    }


def _named(descriptor: Descriptor, annotations: Mapping[str, str]) -> Named:
    text = annotations.get(_REF_NAME, "")
    name, reference = parse_ref_name(text) if text else (None, descriptor.digest)
    if name is None and _CONTAINERD_NAME in annotations:
        name, reference = parse_ref_name(annotations[_CONTAINERD_NAME])
    return Named(name, reference, descriptor)


def _loads(data: bytes, name: str) -> dict[str, object]:
    try:
        document = strict_json.loads(data)
    except strict_json.JSONInvalid as error:
        raise ArchiveInvalid(f"{name} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ArchiveInvalid(f"{name} is not a JSON object")
    return document
