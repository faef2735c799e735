import asyncio
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry.content.digest import Digest
from registry.content.errors import BlobUnknown, ManifestUnknown, NameUnknown
from registry.content.names import RepositoryName, Tag
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.layout_files import open_layout
from registry.mirror.layout_index import parse_ref_name
from registry.mirror.oci_layout import OciLayout
from tests.images import artifact, index, random_image, write_oci_layout
from tests.unit.mirror.bundles import load_into
from tests.unit.mirror.places import MemoryPlace

IMAGE = random_image(1)
NAME = RepositoryName.parse("team/app")
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name", "reference"),
    [
        ("1.0", None, "1.0"),
        ("team/app:1.0", "team/app", "1.0"),
        ("app:1.0", "app", "1.0"),
        ("team/app", "team/app", "latest"),
        ("docker.io/library/alpine:3", "docker.io/library/alpine", "3"),
        ("localhost:5000/team/app:1", "localhost-5000/team/app", "1"),
        ("localhost:5000/team/app", "localhost-5000/team/app", "latest"),
        (f"team/app@{DIGEST}", "team/app", DIGEST),
        (f"localhost:5000/app:1@{DIGEST}", "localhost-5000/app", DIGEST),
        (f"app@{DIGEST}", "app", DIGEST),
    ],
)
def test_names_of_images_are_read_as_the_programs_write_them(text: str, name: str | None, reference: str) -> None:
    found = parse_ref_name(text)

    assert (found[0], str(found[1])) == (name, reference)


@pytest.mark.parametrize("text", ["../etc:1", "Team/App:1", "/app:1", "app:", "a/b@sha256:12", "a b", "app:1:2"])
def test_a_layout_with_a_name_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    write_oci_layout(tmp_path / "layout", {text: IMAGE})

    with pytest.raises(ArchiveInvalid, match=r"index\.json: manifests\[0\]"):
        OciLayout(open_layout(tmp_path / "layout"))


def opened(path: Path) -> OciLayout:
    return OciLayout(open_layout(path), NAME)


async def all_of(values: AsyncIterator[object]) -> list[str]:
    return [str(value) async for value in values]


def test_a_layout_in_a_directory_can_be_read_as_a_place(tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "layout", {"1": IMAGE, "other:2": index([IMAGE])})
    layout = opened(tmp_path / "layout")

    async def read() -> None:
        assert await all_of(layout.repositories()) == ["other", "team/app"]
        assert await all_of(layout.tags(NAME)) == ["1"]
        assert (await layout.manifest(NAME, Tag("1"))).data == IMAGE.manifest.data
        assert await layout.resolve(NAME, Tag("1")) == Digest.parse(IMAGE.manifest.digest)
        async with layout.blob(NAME, Digest.parse(IMAGE.config.digest), 10) as blob:
            assert blob.size == len(IMAGE.config.data)
            assert b"".join([block async for block in blob.blocks]) == IMAGE.config.data[10:]

    asyncio.run(read())


def test_what_a_layout_does_not_have_is_unknown(tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "layout", {"1": IMAGE})
    layout = opened(tmp_path / "layout")

    async def ask() -> None:
        with pytest.raises(ManifestUnknown):
            await layout.manifest(NAME, Tag("2"))
        with pytest.raises(ManifestUnknown):
            await layout.manifest(NAME, Digest.parse(DIGEST))
        with pytest.raises(NameUnknown):
            await all_of(layout.tags(RepositoryName("other")))
        with pytest.raises(BlobUnknown):
            await layout.blob(NAME, Digest.parse(DIGEST)).__aenter__()

    asyncio.run(ask())


def test_referrers_are_found_by_their_subject(tmp_path: Path) -> None:
    sbom = artifact(b"sbom", "text/sbom", subject=IMAGE.manifest)
    write_oci_layout(tmp_path / "layout", {"1": IMAGE, "sbom": sbom})
    layout = opened(tmp_path / "layout")

    async def ask() -> list[str]:
        subject = Digest.parse(IMAGE.manifest.digest)
        return [f"{one.digest} {one.artifact_type}" async for one in layout.referrers(NAME, subject)]

    assert asyncio.run(ask()) == [f"{sbom.manifest.digest} text/sbom"]


@pytest.mark.parametrize("how", ["gnu", "pax", "dot"])
def test_a_layout_that_tar_has_packed_is_read_where_it_lies(tmp_path: Path, how: str) -> None:
    write_oci_layout(tmp_path / "layout", {"1": IMAGE})
    options = {"gnu": ["--format=gnu", "oci-layout", "index.json", "blobs"], "pax": ["--format=pax", "."], "dot": ["."]}
    subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", tmp_path / "l.tar", *options[how]], check=True)
    target = MemoryPlace()

    load_into(target, tmp_path / "l.tar", unnamed="team/app")

    assert target.at("team/app").tags == {"1": Digest.parse(IMAGE.manifest.digest)}


@pytest.mark.parametrize(("program", "remedy"), [("gzip", "gunzip"), ("xz", "unxz"), ("zstd", "zstd -d")])
def test_an_archive_that_another_program_has_compressed_is_refused_with_the_remedy(
    tmp_path: Path, program: str, remedy: str
) -> None:
    write_oci_layout(tmp_path / "layout", {"1": IMAGE})
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        tar.add(tmp_path / "layout", "")
    if program == "zstd":
        import zstandard

        (tmp_path / "packed").write_bytes(zstandard.compress((tmp_path / "l.tar").read_bytes()))
    else:
        with (tmp_path / "packed").open("wb") as out:
            subprocess.run([program, "-c", tmp_path / "l.tar"], stdout=out, check=True)

    with pytest.raises(ArchiveInvalid, match=f"`{remedy}`"):
        open_layout(tmp_path / "packed")
