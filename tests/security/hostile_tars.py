"""Archives that mean harm: each a tar that looks like a bundle, with one thing in it that a reader must refuse."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping

from tests.images import OCI_INDEX, Content, Image, random_image

IMAGE = random_image(1, layer_size=2000)
NAME = "org.opencontainers.image.ref.name"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def blob(content: Content) -> str:
    return "blobs/" + content.digest.replace(":", "/")


def index_of(*entries: Mapping[str, object]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def entry(image: Image, name: object = "team/app:1", **changed: object) -> dict[str, object]:
    return image.manifest.descriptor | {"annotations": {NAME: name}} | changed


def good_files() -> dict[str, bytes]:
    contents = (*IMAGE.blobs, IMAGE.manifest)
    blobs = {blob(content): content.data for content in contents}
    return {"oci-layout": LAYOUT, **blobs, "index.json": index_of(entry(IMAGE))}


def packed(files: Mapping[str, bytes], *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info in more:
            tar.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def special(kind: bytes, name: str = "blobs/sha256/evil", target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    return info


def with_file(name: str) -> bytes:
    return packed({name: b"evil", **good_files()})


def replaced(name: str, data: bytes) -> bytes:
    return packed(good_files() | {name: data})


def header_field(data: bytes, name: str, place: slice, value: bytes) -> bytes:
    """Change one field of the header of the file `name`, and mend its checksum."""
    start = data.index(name.encode().ljust(100, b"\0"))
    head = bytearray(data[start : start + 512])
    head[place] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return data[:start] + bytes(head) + data[start + 512 :]


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    """An extended header in front of a good archive."""
    info = tarfile.TarInfo("pax")
    info.size, info.type = len(records), kind
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512) + packed(good_files())


_LAYER = blob(IMAGE.layers[0])
_MANIFEST = blob(IMAGE.manifest)
SIZE = slice(124, 136)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name that climbs out": (lambda: with_file("../../etc/cron.d/evil"), r"\.\./\.\./etc/cron\.d/evil"),
    "a name that climbs out in the middle": (lambda: with_file("blobs/../../evil"), "evil"),
    "a name that begins at the root": (lambda: with_file("/etc/cron.d/evil"), "/etc/cron.d/evil"),
    "a name with a backslash": (lambda: with_file("..\\evil"), "evil"),
    "a name with a line break": (lambda: with_file("blobs\nevil"), "evil"),
    "a name that is too long": (lambda: with_file("x" * 1025), "a name of 1025 bytes, 'x{80}'"),
    "a pax path that is too long": (lambda: pax(b"60013 path=" + b"x" * 60_001 + b"\n"), "a name of 60001 bytes"),
    "a name that is not UTF-8": (
        lambda: header_field(packed(good_files()), "index.json", slice(0, 2), b"\xff\xfe"),
        "UTF-8",
    ),
    "a symbolic link": (lambda: packed(good_files(), special(tarfile.SYMTYPE)), "evil.*symbolic link"),
    "a link in place of the index": (
        lambda: packed(good_files(), special(tarfile.SYMTYPE, "index.json")),
        "index.json.*link",
    ),
    "a hard link": (lambda: packed(good_files(), special(tarfile.LNKTYPE)), "evil.*hard link"),
    "a character device": (lambda: packed(good_files(), special(tarfile.CHRTYPE)), "evil.*character device"),
    "a block device": (lambda: packed(good_files(), special(tarfile.BLKTYPE)), "evil.*block device"),
    "a pipe": (lambda: packed(good_files(), special(tarfile.FIFOTYPE)), "evil.*pipe"),
    "a sparse file": (lambda: packed(good_files(), special(tarfile.GNUTYPE_SPARSE)), "evil.*sparse"),
    "an unknown kind": (lambda: packed(good_files(), special(b"Z")), "evil.*no regular file"),
    "a blob twice": (lambda: packed(good_files(), tarfile.TarInfo(_LAYER)), f"{_LAYER}.*twice"),
    "an index twice": (lambda: packed(good_files(), tarfile.TarInfo("./index.json")), "index.json.*twice"),
    "a size beyond the end": (
        lambda: header_field(packed(good_files()), _LAYER, SIZE, b"77777777777\0"),
        f"{_LAYER}.*has 8589934591 bytes",
    ),
    "a size of 2^80": (
        lambda: header_field(packed(good_files()), _LAYER, SIZE, b"\x80" + bytes(1) + b"\1" + bytes(9)),
        f"{_LAYER}.*bytes, and",
    ),
    "a negative size": (lambda: header_field(packed(good_files()), _LAYER, SIZE, b"\xff" * 12), "gives no size"),
    "a size that is none": (lambda: header_field(packed(good_files()), _LAYER, SIZE, b"0000000x\0\0\0\0"), "no size"),
    "a smaller size": (
        lambda: header_field(packed(good_files()), _LAYER, SIZE, b"00000000001\0"),
        f"damaged after '{_LAYER}",
    ),
    "a wrong checksum": (lambda: packed(good_files()).replace(b"ustar", b"USTAR", 1), "no tar archive"),
    "a pax size that lies": (lambda: pax(b"20 size=99999999999\n"), "has 99999999999 bytes"),
    "a pax size below zero": (lambda: pax(b"11 size=-1\n"), "gives no size"),
    "a pax path that climbs out": (lambda: pax(b"19 path=../../evil\n"), r"\.\./\.\./evil"),
    "a pax record that lies about its length": (lambda: pax(b"99 path=evil\n"), "damaged extended header"),
    "a pax header for all files": (lambda: pax(b"13 path=evil\n", b"g"), "global header"),
    "a sparse file in pax": (lambda: pax(b"22 GNU.sparse.major=1\n"), "sparse"),
    "a huge extended header": (lambda: pax(b"x" * 100_000), "extended header of 100000 bytes"),
    "no end": (lambda: packed(good_files())[: -20 * 512].rstrip(b"\0")[:-700], "cut off"),
    "cut in a header": (lambda: packed(good_files())[:300], "cut off"),
    "nothing at all": (lambda: b"", "cut off"),
    "no layout": (lambda: packed({k: v for k, v in good_files().items() if k != "oci-layout"}), "no oci-layout"),
    "no index": (lambda: packed({k: v for k, v in good_files().items() if k != "index.json"}), "no index.json"),
    "another version": (lambda: replaced("oci-layout", b'{"imageLayoutVersion":"9.0.0"}'), "oci-layout"),
    "a layout that is no JSON": (lambda: replaced("oci-layout", b"\xff"), "oci-layout"),
    "an index that is no JSON": (lambda: replaced("index.json", b"{"), "index.json"),
    "an index with two meanings": (lambda: replaced("index.json", b'{"manifests":[],"manifests":[]}'), "stands twice"),
    "an index of nothing but brackets": (lambda: replaced("index.json", b"[" * 1_000_000), "index.json"),
    "an index that is too large": (lambda: replaced("index.json", b" " * 33 * 1024 * 1024), "index.json has"),
    "an index without a list": (lambda: replaced("index.json", b'{"manifests":{}}'), "no list of manifests"),
    "an index with a digest that is none": (
        lambda: replaced("index.json", index_of(entry(IMAGE, digest="sha256:../../etc/passwd"))),
        r"index\.json: manifests\[0\]",
    ),
    "an index with a size below zero": (
        lambda: replaced("index.json", index_of(entry(IMAGE, size=-1))),
        r"index\.json: manifests\[0\]",
    ),
    "an index with a name that climbs out": (
        lambda: replaced("index.json", index_of(entry(IMAGE, "../../evil:1"))),
        r"index\.json: manifests\[0\].*evil",
    ),
    "an index with one name for two images": (
        lambda: replaced("index.json", index_of(entry(IMAGE), entry(IMAGE, digest="sha256:" + "a" * 64))),
        "names two images",
    ),
    "an index with another size for an image": (
        lambda: replaced("index.json", index_of(entry(IMAGE, size=5))),
        f"{_MANIFEST} has [0-9]+ bytes; for team/app:1 it should have 5",
    ),
    "an index that names what is not there": (
        lambda: packed({k: v for k, v in good_files().items() if k != _MANIFEST}),
        f"{IMAGE.manifest.digest} is not in the layout",
    ),
    "a blob with a name that is no digest": (lambda: with_file("blobs/sha256/abc"), "blobs/sha256/abc"),
    "a manifest with other bytes": (
        lambda: replaced(_MANIFEST, IMAGE.manifest.data.replace(b":2,", b": 2,", 1)),
        f"{_MANIFEST} has other bytes",
    ),
    "a layer with other bytes": (
        lambda: replaced(_LAYER, bytes(len(IMAGE.layers[0].data))),
        f"{_LAYER} in the archive is damaged",
    ),
    "a layer that is longer": (lambda: replaced(_LAYER, IMAGE.layers[0].data + b"x"), f"{_LAYER}"),
    "a layer that is shorter": (lambda: replaced(_LAYER, IMAGE.layers[0].data[:-1]), f"{_LAYER}"),
}


def bundle_files() -> dict[str, bytes]:
    """As `good_files`, with the manifest of a bundle."""
    files = good_files()
    document = {
        "bundleVersion": 1,
        "created": "2026-01-01T00:00:00Z",
        "differential": False,
        "index": Content(OCI_INDEX, files["index.json"]).digest,
        "blobs": {content.digest: len(content.data) for content in (*IMAGE.blobs, IMAGE.manifest)},
    }
    return {**files, "cargohold-bundle.json": json.dumps(document).encode()}


def claimed(**changed: object) -> bytes:
    """A bundle whose manifest says something else."""
    files = bundle_files()
    document = json.loads(files["cargohold-bundle.json"]) | changed
    return packed(files | {"cargohold-bundle.json": json.dumps(document).encode()})


def without(name: str) -> bytes:
    files = bundle_files()
    del files[name]
    return packed(files)


LYING: dict[str, tuple[Callable[[], bytes], str]] = {
    "another index": (lambda: packed(bundle_files() | {"index.json": index_of()}), "index.json has been changed"),
    "a blob that is gone": (lambda: without(_LAYER), f"{_LAYER} is missing"),
    "a blob of another size": (
        lambda: packed(bundle_files() | {_LAYER: b"short"}),
        f"{_LAYER} has 5 bytes",
    ),
    "another version": (lambda: claimed(bundleVersion=2), "version 2"),
    "no blobs": (lambda: claimed(blobs=None), "lacks created, index or blobs"),
    "a size that is none": (lambda: claimed(blobs={IMAGE.manifest.digest: "1"}), "gives no size"),
    "a digest that is none": (lambda: claimed(blobs={"../evil": 1}), "not a digest"),
    "no JSON": (lambda: packed(bundle_files() | {"cargohold-bundle.json": b"}"}), "cargohold-bundle.json is not valid"),
}
