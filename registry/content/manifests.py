"""Manifests: bytes in, what they mean out. Pure; reads no storage and knows no repository.

Sources: image-spec manifest.md and image-index.md, Docker's image manifest v2 schema 2, distribution-spec "Pushing
manifests".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.content import mediatypes, strict_json
from registry.content.descriptors import Descriptor, parse_annotations, parse_descriptor
from registry.content.errors import ManifestInvalid


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says, as far as a registry needs it."""

    media_type: str
    blobs: tuple[Descriptor, ...] = ()
    """Config and layers of an image, blobs of an artifact."""
    config: Descriptor | None = None
    """Config of an image, also the first of `blobs`."""
    manifests: tuple[Descriptor, ...] = ()
    """Children of an index."""
    subject: Descriptor | None = None
    artifact_type: str | None = None
    """What the referrers API calls it: the artifact type, or an image's config media type."""
    annotations: Mapping[str, str] = field(default_factory=dict)


def shown_media_type(document: Mapping[str, object]) -> str | None:
    """The media type that a document claims, or else shows by its members; None if it does neither."""
    claimed = _claimed_media_type(document)
    if claimed is not None:
        return claimed
    if document.get("schemaVersion") == 1:
        return mediatypes.SCHEMA_1_SIGNED if "signatures" in document else mediatypes.SCHEMA_1_UNSIGNED
    if "manifests" in document:
        return mediatypes.OCI_INDEX
    if "config" in document or "layers" in document:
        return mediatypes.OCI_MANIFEST
    return None


def parse_manifest(data: bytes, media_type: str | None) -> Manifest:
    """Read and validate a manifest pushed as `media_type`, if that was said. Raises `ManifestInvalid`."""
    document = _document(data)
    media_type = media_type or shown_media_type(document)
    _check_media_type(document, media_type)
    if media_type in mediatypes.INDEXES:
        return _parse_index(document, media_type)
    if media_type in mediatypes.IMAGES:
        return _parse_image(document, media_type)
    return _parse_artifact(document)


@dataclass(frozen=True, slots=True)
class OwnWords:
    """What a manifest's bytes say of its media type; `claimed` if they name it, else it is read off their members."""

    media_type: str | None
    claimed: bool


def own_words(data: bytes) -> OwnWords:
    """The media type of a manifest that lies on storage, by its bytes alone."""
    try:
        document = _document(data)
    except ManifestInvalid:
        return OwnWords(None, claimed=False)
    return OwnWords(shown_media_type(document), claimed=_claimed_media_type(document) is not None)


def _claimed_media_type(document: Mapping[str, object]) -> str | None:
    """What may go out as a Content-Type; anything else that stands there is no media type."""
    claimed = document.get("mediaType")
    return claimed if isinstance(claimed, str) and mediatypes.GRAMMAR.fullmatch(claimed) else None


def _document(data: bytes) -> dict[str, object]:
    try:
        document = strict_json.loads(data)
    except strict_json.JSONInvalid as error:
        raise ManifestInvalid(f"the manifest is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestInvalid("the manifest must be a JSON object")
    return document


def _check_media_type(document: Mapping[str, object], media_type: str | None) -> None:
    claimed = document.get("mediaType")
    if claimed is not None and claimed != media_type:
        raise ManifestInvalid(f"the Content-Type is {media_type!r} but the manifest's mediaType is {claimed!r}")
    if media_type in mediatypes.SCHEMA_1 or document.get("schemaVersion") == 1:
        raise ManifestInvalid(
            "Docker image manifest schema 1 is not accepted; push the image again with Docker 1.10 or newer, or "
            "convert it with `skopeo copy --format v2s2`"
        )
    if media_type not in mediatypes.MANIFESTS:
        raise ManifestInvalid(
            f"{media_type!r} is not a manifest type that this registry stores; the Content-Type must be one of "
            f"{', '.join(sorted(mediatypes.MANIFESTS))}; what an artifact is belongs into its artifactType"
        )


def _check_version(document: Mapping[str, object]) -> None:
    version = document.get("schemaVersion")
    if version != 2 or isinstance(version, bool):
        raise ManifestInvalid("schemaVersion must be 2")


def _descriptors(document: Mapping[str, object], name: str) -> tuple[Descriptor, ...]:
    values = document.get(name)
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ManifestInvalid(f"{name} must be a list of descriptors")
    return tuple(parse_descriptor(value, f"{name}[{place}]") for place, value in enumerate(values))


def _subject(document: Mapping[str, object]) -> Descriptor | None:
    value = document.get("subject")
    return None if value is None else parse_descriptor(value, "subject")


def _artifact_type(document: Mapping[str, object]) -> str | None:
    value = document.get("artifactType")
    if value is not None and not isinstance(value, str):
        raise ManifestInvalid("artifactType must be a media type")
    return value or None


def _parse_image(document: Mapping[str, object], media_type: str) -> Manifest:
    _check_version(document)
    if "manifests" in document:
        raise ManifestInvalid("an image manifest has no `manifests`; push an index with the media type of an index")
    config = parse_descriptor(document.get("config"), "config")
    if not isinstance(document.get("layers"), list):
        raise ManifestInvalid("layers must be a list of descriptors")
    return Manifest(
        media_type,
        blobs=(config, *_descriptors(document, "layers")),
        config=config,
        subject=_subject(document),
        artifact_type=_artifact_type(document) or config.media_type,
        annotations=parse_annotations(document.get("annotations"), "annotations"),
    )


def _parse_index(document: Mapping[str, object], media_type: str) -> Manifest:
    _check_version(document)
    if "config" in document or "layers" in document:
        raise ManifestInvalid("an index has no `config` and no `layers`; push an image with the media type of an image")
    if not isinstance(document.get("manifests"), list):
        raise ManifestInvalid("manifests must be a list of descriptors")
    return Manifest(
        media_type,
        manifests=_descriptors(document, "manifests"),
        subject=_subject(document),
        artifact_type=_artifact_type(document),
        annotations=parse_annotations(document.get("annotations"), "annotations"),
    )


def _parse_artifact(document: Mapping[str, object]) -> Manifest:
    return Manifest(
        mediatypes.OCI_ARTIFACT,
        blobs=_descriptors(document, "blobs"),
        subject=_subject(document),
        artifact_type=_artifact_type(document),
        annotations=parse_annotations(document.get("annotations"), "annotations"),
    )
