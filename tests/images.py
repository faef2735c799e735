"""Builds images, indexes and artifacts from nothing, as values and as the files that clients load.

Knows the formats (OCI image-spec 1.1, Docker image manifest v2 schema 2, OCI layout, `docker save` archives). Must not
know any registry, client or test: it returns values or writes into a directory that it is given. The same arguments
give the same bytes.
"""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

_CREATED = "2024-01-01T00:00:00Z"
_BLOCK = 16 * 1024 * 1024


@dataclass(frozen=True)
class Content:
    """Bytes with a media type: a layer, a config, a manifest, any blob."""

    media_type: str
    data: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The sha256 digest, `sha256:<hex>`."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, object]:
        """The descriptor that a manifest holds for this content."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


@dataclass(frozen=True)
class Layer(Content):
    """A gzipped tar."""

    @cached_property
    def tar(self) -> bytes:
        """The tar without its compression."""
        return gzip.decompress(self.data)

    @property
    def diff_id(self) -> str:
        """The digest of the uncompressed tar, as a config names it."""
        return f"sha256:{hashlib.sha256(self.tar).hexdigest()}"


@dataclass(frozen=True)
class Image:
    """A manifest with all that it needs."""

    manifest: Content
    config: Content
    layers: tuple[Content, ...]
    platform: tuple[str, str] = ("linux", "amd64")

    @property
    def blobs(self) -> tuple[Content, ...]:
        """Config and layers, each once."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())


@dataclass(frozen=True)
class Index:
    """An index (or Docker manifest list) with the images that it names."""

    manifest: Content
    images: tuple[Image, ...]


def random_bytes(size: int, seed: int) -> bytes:
    """`size` bytes that do not compress; the same for the same seed."""
    return b"".join(random_blocks(size, seed))


def random_blocks(size: int, seed: int) -> Iterator[bytes]:
    """`size` bytes that do not compress, in blocks of at most 16 MiB; no two blocks are alike."""
    source = random.Random(seed)
    while size > 0:
        block = source.randbytes(min(size, _BLOCK))
        yield block
        size -= len(block)


def layer(files: Mapping[str, bytes], media_type: str = OCI_LAYER) -> Layer:
    """A layer that holds these files, all of them executable."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(data))
    return Layer(media_type, gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0))


def random_layer(size: int, seed: int, media_type: str = OCI_LAYER) -> Layer:
    """A layer with one file of `size` bytes that do not compress."""
    return layer({f"data-{seed}": random_bytes(size, seed)}, media_type)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def image(
    layers: Sequence[Layer],
    *,
    docker: bool = False,
    architecture: str = "amd64",
    command: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
    run: Mapping[str, object] | None = None,
    created: str = _CREATED,
    history: Sequence[Mapping[str, object]] | None = None,
) -> Image:
    """A runnable image of these layers: OCI, or Docker schema 2 if `docker`. `run` adds to how it runs (labels, …)."""
    steps = [{"created": created, "created_by": f"layer {n}"} for n in range(len(layers))]
    config = Content(
        DOCKER_CONFIG if docker else OCI_CONFIG,
        _json(
            {
                "created": created,
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": list(command) or None, "Env": ["PATH=/bin"], **(run or {})},
                "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
                "history": steps if history is None else list(history),
            }
        ),
    )
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor,
        "layers": [each.descriptor for each in layers],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return Image(Content(media_type, _json(document)), config, tuple(layers), ("linux", architecture))


def random_image(
    seed: int, *, layers: int = 2, layer_size: int = 64 * 1024, docker: bool = False, architecture: str = "amd64"
) -> Image:
    """An image of `layers` layers with `layer_size` random bytes in each."""
    media_type = DOCKER_LAYER if docker else OCI_LAYER
    parts = [random_layer(layer_size, seed * 1000 + n, media_type) for n in range(layers)]
    return image(parts, docker=docker, architecture=architecture, command=["/bin/none"])


def artifact(payload: bytes, artifact_type: str, *, subject: Content | None = None) -> Image:
    """An OCI artifact with one blob; a referrer of `subject` if that is given."""
    empty = Content(OCI_EMPTY, b"{}")
    blob = Content("application/octet-stream", payload)
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty.descriptor,
        "layers": [blob.descriptor],
    }
    if subject is not None:
        document["subject"] = subject.descriptor
    return Image(Content(OCI_MANIFEST, _json(document)), empty, (blob,))


def index(images: Sequence[Image], *, docker: bool = False) -> Index:
    """An index of these images, each for its platform; a Docker manifest list if `docker`."""
    media_type = DOCKER_LIST if docker else OCI_INDEX
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [
            each.manifest.descriptor | {"platform": {"os": each.platform[0], "architecture": each.platform[1]}}
            for each in images
        ],
    }
    return Index(Content(media_type, _json(document)), tuple(images))


def write_oci_layout(directory: Path, tagged: Mapping[str, Image | Index]) -> None:
    """Write an OCI layout (image-spec, image-layout.md) that holds each of these under its tag."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    entries = []
    for tag, value in tagged.items():
        for content in all_contents(value):
            (blobs / content.digest.removeprefix("sha256:")).write_bytes(content.data)
        reference = {"annotations": {"org.opencontainers.image.ref.name": tag}}
        entries.append(value.manifest.descriptor | reference)
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    (directory / "index.json").write_bytes(_json(document))


def all_contents(value: Image | Index) -> Iterator[Content]:
    """Everything that makes up an image or index, in the order in which it has to be pushed."""
    if isinstance(value, Index):
        for each in value.images:
            yield from all_contents(each)
    else:
        yield from value.blobs
    yield value.manifest


def write_docker_archive(path: Path, tagged: Mapping[str, Image]) -> None:
    """Write what `docker load` reads: images under their full references (`host:port/name:tag`)."""
    files: dict[str, bytes] = {}
    entries = []
    for reference, value in tagged.items():
        config = f"{value.config.digest.removeprefix('sha256:')}.json"
        files[config] = value.config.data
        names = []
        for each in value.layers:
            if not isinstance(each, Layer):
                raise TypeError("docker load takes tar layers only")
            name = f"{each.digest.removeprefix('sha256:')}/layer.tar"
            files[name] = each.tar
            names.append(name)
        entries.append({"Config": config, "RepoTags": [reference], "Layers": names})
    files["manifest.json"] = _json(entries)
    with tarfile.open(path, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def write_big_tar(path: Path, size: int, seed: int) -> None:
    """Write an uncompressed tar with one file, `big`, of `size` bytes that do not compress."""
    header = tarfile.TarInfo("big")
    header.size = size
    with path.open("wb") as out:
        out.write(header.tobuf(tarfile.USTAR_FORMAT))
        for block in random_blocks(size, seed):
            out.write(block)
        out.write(bytes(-size % 512 + 1024))
