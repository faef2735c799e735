"""Bundles made of one place and loaded into another, without a command line or a storage."""

import asyncio
import fcntl
import hashlib
import json
import tarfile
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zstandard

from registry.content.digest import Digest
from registry.content.errors import NameInvalid
from registry.content.names import RepositoryName
from registry.mirror.archive import ArchiveInvalid
from registry.mirror.bundle_base import Base, EarlierBundle, Several, dump_inventory, parse_inventory
from registry.mirror.bundle_create import Shape, begin
from registry.mirror.bundle_inventory import InventoryTaker
from registry.mirror.bundle_manifest import BundleManifest
from registry.mirror.bundle_output import BundleBusy
from registry.mirror.bundle_reader import NotSigned, contents, open_bundle
from registry.mirror.bundle_signing import is_signed_by, new_key, read_private_key, read_public_key
from registry.mirror.copy import Options
from registry.mirror.platforms import Platform
from tests.images import Content, Image, artifact, image, index, random_image, random_layer
from tests.unit.mirror.bundles import CREATED, kinds, load_into, make
from tests.unit.mirror.places import MemoryPlace, digests

AMD, ARM = random_image(1), random_image(2, architecture="arm64")
MULTI = index([AMD, ARM])


def source_with(*tagged: tuple[str, Image]) -> MemoryPlace:
    place = MemoryPlace()
    for name, value in tagged:
        repository, _, tag = name.rpartition(":")
        place.add(repository, value, tag)
    return place


@pytest.mark.parametrize("shape", [Shape(), Shape(part_size=20_000), Shape(compress=True), Shape(20_000, True)])
def test_a_bundle_brings_images_of_several_repositories_byte_for_byte(tmp_path: Path, shape: Shape) -> None:
    source = source_with(("team/app:1", AMD), ("docker.io/library/other:2", ARM))
    source.add("team/app", MULTI, "multi")
    target = MemoryPlace()

    make(tmp_path / "b.tar", source, "team/app:1", "docker.io/library/other:2", "team/app:multi", shape=shape)
    tally = load_into(target, tmp_path / "b.tar")

    assert tally.failed == []
    assert target.held == source.held


def test_a_bundle_is_a_layout_with_the_standard_annotation_and_each_blob_once(tmp_path: Path) -> None:
    source = source_with(("team/app:1", AMD), ("other:1", AMD))

    make(tmp_path / "b.tar", source, "team/app:1", "other:1")

    with tarfile.open(tmp_path / "b.tar") as tar:
        names = tar.getnames()
        entries = json.loads(tar.extractfile("index.json").read())["manifests"]  # type: ignore[union-attr]
    assert kinds(names) == ["oci-layout", *["blobs"] * 4, "index.json", "manifest.json", "cargohold-bundle.json"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries] == ["other:1", "team/app:1"]
    assert {entry["digest"] for entry in entries} == {AMD.manifest.digest}


def test_parts_have_the_size_that_was_asked_for_and_come_whole(tmp_path: Path) -> None:
    make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1", shape=Shape(part_size=50_000))

    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts] == ["b.tar.001", "b.tar.002", "b.tar.003"]
    assert [part.stat().st_size for part in parts[:2]] == [50_000, 50_000]
    assert load_into(MemoryPlace(), tmp_path / "b.tar.001").images_done == 1


def test_a_compressed_bundle_is_plain_zstd_to_others(tmp_path: Path) -> None:
    source = source_with(("team/app:1", AMD))
    make(tmp_path / "b.tar", source, "team/app:1")
    make(tmp_path / "b.tar.zst", source, "team/app:1", shape=Shape(compress=True))

    with (tmp_path / "b.tar.zst").open("rb") as file:
        unpacked = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()

    assert unpacked == (tmp_path / "b.tar").read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_a_bundle_takes_the_place_of_an_earlier_one_with_all_its_parts(tmp_path: Path, compress: bool) -> None:
    source = source_with(("team/app:1", AMD), ("team/app:2", image([random_layer(10, 1)])))

    for part_size, name in ((50_000, "1"), (50_000, "2"), (0, "1"), (50_000, "2")):
        make(tmp_path / "b.tar", source, f"team/app:{name}", shape=Shape(part_size, compress))
        target = MemoryPlace()
        load_into(target, tmp_path / "b.tar")

        assert set(target.at("team/app").tags) == {name}
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar.001"]


@pytest.mark.parametrize("gone", ["b.tar.001", "b.tar.002", "b.tar.003"])
def test_a_missing_part_is_named_or_said_to_be_cut_off(tmp_path: Path, gone: str) -> None:
    make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1", shape=Shape(part_size=50_000))
    (tmp_path / gone).unlink()

    with pytest.raises(ArchiveInvalid, match=rf"{gone} is missing|cut off"):
        load_into(MemoryPlace(), tmp_path / "b.tar")


def test_images_of_another_platform_stay_behind_and_the_index_as_it_is(tmp_path: Path) -> None:
    source, target = MemoryPlace(), MemoryPlace()
    top = source.add("team/app", MULTI, "1")
    only_arm = Options(platforms=(Platform.parse("linux/arm64"),))

    make(tmp_path / "b.tar", source, "team/app:1", options=only_arm)
    load_into(target, tmp_path / "b.tar", prefix="mirror/")

    held = target.at("mirror/team/app")
    assert held.manifests[top].data == MULTI.manifest.data
    assert set(held.manifests) == digests(MULTI.manifest, ARM.manifest)
    assert set(held.blobs) == digests(*ARM.blobs)


def test_what_refers_to_an_image_and_signs_it_crosses(tmp_path: Path) -> None:
    source, target = source_with(("team/app:1", AMD)), MemoryPlace()
    sbom = artifact(b"sbom", "text/sbom", subject=AMD.manifest)
    source.add("team/app", sbom)
    source.add("team/app", artifact(b"signature", "text/signature", subject=sbom.manifest))
    source.add("team/app", artifact(b"old", "text/signature"), AMD.manifest.digest.replace(":", "-") + ".sig")

    make(tmp_path / "b.tar", source, "team/app:1")
    load_into(target, tmp_path / "b.tar")

    assert target.held == source.held


def test_an_image_without_a_tag_crosses_by_its_digest(tmp_path: Path) -> None:
    source, target = MemoryPlace(), MemoryPlace()
    digest = source.add("team/app", AMD)

    make(tmp_path / "b.tar", source, f"team/app@{digest}")
    load_into(target, tmp_path / "b.tar")

    assert set(target.at("team/app").manifests) == {digest}
    assert target.at("team/app").tags == {}


def test_an_image_that_fails_leaves_no_trace_in_the_bundle(tmp_path: Path) -> None:
    good = source_with(("team/app:1", AMD))
    source = source_with(("team/app:1", AMD), ("team/app:2", ARM))
    source.at("team/app").blobs[Digest.parse(ARM.layers[1].digest)] = bytes(len(ARM.layers[1].data))

    tally = make(tmp_path / "some.tar", source, "team/app:2", "team/app:1", "team/app:gone")
    make(tmp_path / "good.tar", good, "team/app:1")

    assert [str(failed.image) for failed in tally.failed] == ["team/app:2", "team/app:gone"]
    assert (tmp_path / "some.tar").read_bytes() == (tmp_path / "good.tar").read_bytes()


def earlier(path: Path) -> Base:
    bundle = open_bundle(path)
    assert bundle.manifest is not None
    bundle.close()
    return EarlierBundle(bundle.manifest, bundle.layout.images)


def inventory(place: MemoryPlace, prefix: str = "") -> tuple[Base, int]:
    taker = InventoryTaker(place, place, prefix)

    async def take() -> None:
        async for _ in taker.run():
            pass

    asyncio.run(take())
    data = dump_inventory(CREATED, taker.hashes)
    return parse_inventory(data), len(data)


@pytest.mark.parametrize("way", ["earlier", "inventory"])
def test_a_differential_bundle_holds_what_has_changed_and_little_more(tmp_path: Path, way: str) -> None:
    layers = [random_layer(200_000, number) for number in range(5)]
    names = [f"team/app{number}:1" for number in range(20)]
    source = source_with(*((name, image([*layers, random_layer(1000, 50 + n)])) for n, name in enumerate(names)))
    make(tmp_path / "full.tar", source, *names)
    target = MemoryPlace()
    load_into(target, tmp_path / "full.tar")
    changed = image([*layers, random_layer(300_000, 99)])
    source.add("team/app7", changed, "1")
    base = earlier(tmp_path / "full.tar") if way == "earlier" else inventory(target)[0]

    make(tmp_path / "diff.tar", source, *names, base=base)
    tally = load_into(target, tmp_path / "diff.tar")

    new = sum(len(each.data) for each in (changed.manifest, changed.config, changed.layers[-1]))
    assert (tmp_path / "diff.tar").stat().st_size <= 1.05 * new
    assert tally.failed == []
    assert target.at("team/app7").tags == {"1": Digest.parse(changed.manifest.digest)}
    assert set(target.at("team/app7").blobs) >= digests(*changed.blobs)


@pytest.mark.parametrize("way", ["earlier", "inventory"])
def test_when_nothing_has_changed_the_bundle_is_empty_and_a_new_signature_alone_crosses(
    tmp_path: Path, way: str
) -> None:
    source, target = source_with(("team/app:1", AMD)), MemoryPlace()
    source.add("team/app", MULTI, "2")
    source.add("team/app", artifact(b"old", "text/signature"), AMD.manifest.digest.replace(":", "-") + ".sig")
    images = ["team/app:1", "team/app:2"]
    make(tmp_path / "full.tar", source, *images)
    load_into(target, tmp_path / "full.tar", prefix="mirror/")
    base = earlier(tmp_path / "full.tar") if way == "earlier" else inventory(target, "mirror/")[0]

    make(tmp_path / "none.tar", source, *images, base=base)
    source.add("team/app", artifact(b"sbom", "text/sbom", subject=AMD.manifest))
    make(tmp_path / "signed.tar", source, *images, base=base)
    load_into(target, tmp_path / "signed.tar", prefix="mirror/")

    assert list(contents(open_bundle(tmp_path / "none.tar"))) == []
    assert (tmp_path / "none.tar").stat().st_size <= 5120
    assert target.at("mirror/team/app") == source.at("team/app")


def test_a_tag_that_is_moved_back_crosses_again_though_an_earlier_bundle_has_brought_it(tmp_path: Path) -> None:
    source, target = source_with(("team/app:1", AMD), ("team/app:2", ARM)), MemoryPlace()
    bundles = [tmp_path / f"{number}.tar" for number in range(3)]
    for path, value in zip(bundles, (AMD, ARM, AMD), strict=True):
        source.add("team/app", value, "latest")
        bases = [earlier(each) for each in bundles if each.exists()]
        make(path, source, "team/app:latest", base=Several(bases) if bases else None)
        load_into(target, path)

    assert target.at("team/app").tags == {"latest": Digest.parse(AMD.manifest.digest)}
    assert bundles[-1].stat().st_size < 10_000


def test_a_tag_that_is_moved_back_crosses_again_though_a_bundle_before_the_inventory_has_brought_it(
    tmp_path: Path,
) -> None:
    source, target = source_with(("team/app:latest", AMD)), MemoryPlace()
    make(tmp_path / "first.tar", source, "team/app:latest")
    load_into(target, tmp_path / "first.tar")
    target.add("team/app", ARM, "latest")
    base = Several([earlier(tmp_path / "first.tar"), inventory(target)[0]])

    make(tmp_path / "b.tar", source, "team/app:latest", base=base)
    load_into(target, tmp_path / "b.tar")

    assert target.at("team/app").tags == {"latest": Digest.parse(AMD.manifest.digest)}


def test_what_another_repository_has_crosses_into_a_repository_that_lacks_it(tmp_path: Path) -> None:
    """A signature that was copied there later, and a platform that was not wanted before."""
    source, target = source_with(("dev/app:1", AMD), ("prod/app:1", AMD)), MemoryPlace()
    signature = artifact(b"signature", "text/signature", subject=AMD.manifest)
    source.add("dev/app", signature)
    source.add("dev/app", MULTI, "multi")
    source.add("prod/app", MULTI, "multi")
    make(tmp_path / "dev.tar", source, "dev/app:1", "dev/app:multi", "prod/app:1")
    only_amd = Options((Platform.parse("linux/amd64"),))
    make(tmp_path / "prod.tar", source, "prod/app:multi", options=only_amd)
    for name in ("dev.tar", "prod.tar"):
        load_into(target, tmp_path / name)
    source.add("prod/app", signature)

    base = inventory(target)[0]
    make(tmp_path / "b.tar", source, "dev/app:1", "dev/app:multi", "prod/app:1", "prod/app:multi", base=base)
    load_into(target, tmp_path / "b.tar")

    assert target.at("prod/app") == source.at("prod/app")
    assert {str(each.image.name) for each in contents(open_bundle(tmp_path / "b.tar"))} == {"prod/app"}


def test_a_layer_that_the_other_side_has_in_any_repository_is_not_carried_again(tmp_path: Path) -> None:
    layer = random_layer(100_000, 1)
    source, target = source_with(("new:1", image([layer]))), MemoryPlace()
    target.add("old", image([layer, random_layer(10, 2)]), "1")

    make(tmp_path / "b.tar", source, "new:1", base=inventory(target)[0])
    tally = load_into(target, tmp_path / "b.tar")

    assert (tmp_path / "b.tar").stat().st_size < 10_000
    assert tally.failed == []
    assert target.at("new") == source.at("new")


def test_an_image_whose_base_the_other_side_has_lost_is_left_out_and_the_others_come(tmp_path: Path) -> None:
    source = source_with(("lost:1", image([random_layer(5000, 1), random_layer(10, 5)])), ("other:1", AMD))
    target = source_with(("old:1", image([random_layer(5000, 1)])))
    make(tmp_path / "b.tar", source, "lost:1", "other:1", base=inventory(target)[0])
    target.held.clear()

    tally = load_into(target, tmp_path / "b.tar")

    assert [str(failed.image.target) for failed in tally.failed] == ["lost"]
    assert "neither in the bundle nor in the registry" in tally.failed[0].reason
    assert target.at("other") == source.at("other")
    assert "lost" not in target.held or not target.at("lost").tags


@pytest.mark.parametrize("lost", [AMD.layers[0], AMD.config])
@pytest.mark.parametrize("tag", ["1", "multi"])
def test_an_image_that_has_lost_a_blob_is_healed_by_the_next_bundle(tmp_path: Path, tag: str, lost: Content) -> None:
    source = source_with(("team/app:1", AMD), ("team/app:other", random_image(3)))
    source.add("team/app", MULTI, "multi")
    target = MemoryPlace()
    images = [f"team/app:{tag}", "team/app:other"]
    make(tmp_path / "full.tar", source, *images)
    load_into(target, tmp_path / "full.tar")
    before = dict(target.at("team/app").blobs)
    del target.at("team/app").blobs[Digest.parse(lost.digest)]

    tally = make(tmp_path / "b.tar", source, *images, base=inventory(target)[0])
    load_into(target, tmp_path / "b.tar")

    assert target.at("team/app").blobs == before
    assert tally.images_done == 2
    assert [str(each.image) for each in contents(open_bundle(tmp_path / "b.tar"))] == [images[0]]


def test_platforms_that_were_left_out_on_purpose_do_not_come_again(tmp_path: Path) -> None:
    source, target = MemoryPlace(), MemoryPlace()
    source.add("team/app", MULTI, "multi")
    options = Options((Platform.parse("linux/amd64"),))
    make(tmp_path / "full.tar", source, "team/app:multi", options=options)
    load_into(target, tmp_path / "full.tar")

    make(tmp_path / "b.tar", source, "team/app:multi", options=options, base=inventory(target)[0])

    assert list(contents(open_bundle(tmp_path / "b.tar"))) == []


def test_an_inventory_takes_a_few_kib_for_a_thousand_images() -> None:
    place = MemoryPlace()
    base = random_layer(100, 0)
    for number in range(1000):
        place.add(f"team/app{number}", image([base, random_layer(10, number + 1)]), "1")

    _, size = inventory(place)

    assert size < 9 * 1024


def test_a_signed_bundle_loads_with_its_key_and_with_no_other(tmp_path: Path) -> None:
    private, public = new_key()
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "pub.pem").write_bytes(public)
    (tmp_path / "other.pem").write_bytes(new_key()[1])
    key = read_private_key(tmp_path / "key.pem")
    make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1", sign=key.sign)

    def checking(name: str) -> int:
        public_key = read_public_key(tmp_path / name)
        target = MemoryPlace()
        return load_into(
            target, tmp_path / "b.tar", check=lambda signature, data: is_signed_by(public_key, signature, data)
        ).images_done

    assert checking("pub.pem") == checking("key.pem") == 1
    with pytest.raises(NotSigned, match="signed with another key"):
        checking("other.pem")


def test_a_bundle_without_a_signature_is_refused_when_a_key_is_demanded(tmp_path: Path) -> None:
    make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1")

    with pytest.raises(NotSigned, match="is not signed"):
        load_into(MemoryPlace(), tmp_path / "b.tar", check=lambda signature, data: True)


def test_a_dry_run_of_a_load_changes_nothing(tmp_path: Path) -> None:
    target = MemoryPlace()
    make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1")

    tally = load_into(target, tmp_path / "b.tar", options=Options(referrers=False, sparse=True, dry_run=True))

    assert target.held == {}
    assert tally.blobs_copied == 3


def test_a_load_that_is_run_again_brings_nothing_twice(tmp_path: Path) -> None:
    target = MemoryPlace()
    make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1")
    load_into(target, tmp_path / "b.tar")

    tally = load_into(target, tmp_path / "b.tar")

    assert (tally.images_done, tally.blobs_copied) == (1, 0)


@pytest.mark.parametrize("cut", [0, 100, 1500, 40_000, 70_000, 140_000])
def test_a_bundle_that_was_cut_anywhere_is_gone_on_with_and_becomes_the_same(tmp_path: Path, cut: int) -> None:
    source = source_with(("team/app:1", AMD), ("team/app:2", ARM))
    make(tmp_path / "whole.tar", source, "team/app:1", "team/app:2")
    whole = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / ".b.tar.0123.partial").write_bytes(whole[:cut])

    making = begin(tmp_path / "b.tar", "0123", Shape(), EarlierBundle(_nothing(), ()), differential=False)
    resumed = making.resumed
    making.files.close()
    make(tmp_path / "b.tar", source, "team/app:1", "team/app:2")

    assert resumed <= cut
    assert cut < 70_000 or resumed > 30_000
    assert (tmp_path / "b.tar").read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar", "whole.tar"}


def test_a_partial_bundle_with_other_bytes_in_it_is_cut_before_them(tmp_path: Path) -> None:
    source = source_with(("team/app:1", AMD))
    make(tmp_path / "whole.tar", source, "team/app:1")
    whole = bytearray((tmp_path / "whole.tar").read_bytes())
    damaged = bytes(whole[:3000]) + b"x" + bytes(whole[3001:])
    (tmp_path / ".b.tar.0123.partial").write_bytes(damaged)

    make(tmp_path / "b.tar", source, "team/app:1")

    assert (tmp_path / "b.tar").read_bytes() == whole


def test_two_cannot_make_the_same_bundle_at_once_and_what_was_begun_for_another_request_goes(tmp_path: Path) -> None:
    (tmp_path / ".b.tar.abcd.partial").write_bytes(b"from a request that was killed")
    making = begin(tmp_path / "b.tar", "0123", Shape(), EarlierBundle(_nothing(), ()), differential=False)

    with pytest.raises(BundleBusy):
        begin(tmp_path / "b.tar", "0123", Shape(), EarlierBundle(_nothing(), ()), differential=False)
    other = begin(tmp_path / "b.tar", "4567", Shape(), EarlierBundle(_nothing(), ()), differential=False)

    making.files.close()
    other.files.close()
    assert {path.name for path in tmp_path.iterdir()} == {".b.tar.0123.partial", ".b.tar.4567.partial"}


def test_whoever_waits_for_the_lock_while_the_bundle_gets_its_name_does_not_write_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, final = tmp_path / ".b.tar.0123.partial", tmp_path / "b.tar"
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: partial.rename(final))

    with pytest.raises(BundleBusy):
        begin(final, "0123", Shape(), EarlierBundle(_nothing(), ()), differential=False)


def test_a_large_layer_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    size, block = 64 << 20, bytes(1 << 20)
    digest = Digest("sha256", hashlib.sha256(bytes(size)).hexdigest())
    making = begin(tmp_path / "b.tar", "0123", Shape(), EarlierBundle(_nothing(), ()), differential=False)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    tracemalloc.start()
    asyncio.run(making.writer.put_blob(RepositoryName("team/app"), digest, size, blocks()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    making.files.close()

    assert peak < 8 << 20


def test_more_parts_than_can_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="more than 900 parts"):
        make(tmp_path / "b.tar", source_with(("team/app:1", AMD)), "team/app:1", shape=Shape(part_size=100))


def _nothing() -> BundleManifest:
    return BundleManifest(CREATED, Digest.of(b""), {})


def test_names_below_a_prefix_that_become_too_long_are_refused(tmp_path: Path) -> None:
    name = RepositoryName.parse("a" * 250)
    make(tmp_path / "b.tar", source_with((f"{name}:1", AMD)), f"{name}:1")

    with pytest.raises(NameInvalid, match="at most 255"):
        load_into(MemoryPlace(), tmp_path / "b.tar", prefix="mirror/")
