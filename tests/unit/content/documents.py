"""Manifests as documents, for tests that say what stands in them; `tests.images` has those that clients can run."""

import json
from collections.abc import Mapping, Sequence

from registry.content import mediatypes
from registry.content.digest import Digest

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

Document = dict[str, object]


def encoded(document: object) -> bytes:
    """The document as JSON."""
    return json.dumps(document).encode()


def descriptor(
    data: bytes = b"", /, media_type: str = LAYER_TYPE, algorithm: str = "sha256", **more: object
) -> Document:
    """The descriptor of these bytes."""
    return {"mediaType": media_type, "digest": str(Digest.of(data, algorithm)), "size": len(data), **more}


def image(
    config: bytes = b"{}", layers: Sequence[bytes] = (), /, media_type: str = mediatypes.OCI_MANIFEST, **more: object
) -> Document:
    """An image manifest of this config and these layers; a member that is given as None is left out."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config, CONFIG_TYPE),
        "layers": [descriptor(layer) for layer in layers],
        **more,
    }
    return {key: value for key, value in document.items() if value is not None}


def index(manifests: Sequence[Mapping[str, object]] = (), /, **more: object) -> Document:
    """An index of these descriptors; a member that is given as None is left out."""
    document = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": list(manifests), **more}
    return {key: value for key, value in document.items() if value is not None}
