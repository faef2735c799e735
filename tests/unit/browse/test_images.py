"""Images as docker shows them, out of any place."""

import json
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import pytest

from registry.browse import images
from registry.browse.history import history
from registry.browse.images import Images, Shown
from registry.browse.inspecting import FIELDS, inspected
from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.content.places import OpenBlob
from registry.mirror.errors import RateLimited, UpstreamUnavailable
from registry.mirror.platforms import Platform
from tests.images import OCI_INDEX, OCI_MANIFEST, Image, Index, artifact, index, random_image, random_layer
from tests.images import image as image_of
from tests.unit.mirror.places import MemoryPlace

pytestmark = pytest.mark.anyio
APP = RepositoryName("team/app")
TAG = Tag("1")
AMD = Shown(Platform("linux", "amd64"))
ONE = random_image(1, layers=2)
ARM = random_image(2, architecture="arm64")


async def opened(place: MemoryPlace, shown: Shown = AMD, tag: Tag = TAG) -> images.Image:
    return await Images(place, shown).open(APP, tag)


def place_with(value: Image | Index, *tags: str) -> MemoryPlace:
    place = MemoryPlace()
    place.add(APP, value, *(tags or ("1",)))
    return place


async def test_an_image_is_called_by_its_config_and_is_as_large_as_its_layers() -> None:
    image = await opened(place_with(ONE))

    assert str(image.digest) == ONE.manifest.digest
    assert str(image.id) == ONE.config.digest
    assert image.size == sum(len(layer.data) for layer in ONE.layers)
    assert image.created == datetime(2024, 1, 1, tzinfo=UTC)
    assert str(image.platform) == "linux/amd64"
    assert image.notes == ()


@pytest.mark.parametrize(("shown", "number"), [(AMD, 1), (Shown(Platform("linux", "arm64"), wanted=True), 0)])
async def test_of_an_index_the_image_for_the_platform_is_shown(shown: Shown, number: int) -> None:
    both = index([ARM, ONE])

    image = await opened(place_with(both), shown)

    assert str(image.digest) == both.manifest.digest
    assert str(image.id) == [ARM, ONE][number].config.digest


async def test_without_the_platform_the_first_image_is_shown_unless_it_was_asked_for() -> None:
    place = place_with(index([ARM]))

    assert str((await opened(place)).id) == ARM.config.digest
    with pytest.raises(ManifestUnknown, match="not there for linux/s390x, only for linux/arm64"):
        await opened(place, Shown(Platform("linux", "s390x"), wanted=True))


async def test_of_an_index_with_chosen_platforms_alone_one_that_is_there_is_shown() -> None:
    place = place_with(index([ONE, random_image(3, architecture="s390x"), ARM]))
    for gone in (ONE, random_image(3, architecture="s390x")):
        del place.at(APP).manifests[Digest.parse(gone.manifest.digest)]

    image = await opened(place)

    assert (str(image.id), str(image.platform), image.notes) == (ARM.config.digest, "linux/arm64", ())
    assert inspected(image, "team/app", [TAG])["Architecture"] == "arm64"
    asked = await opened(place, Shown(Platform("linux", "amd64"), wanted=True))
    assert "is not there" in asked.notes[0]


async def test_all_images_of_an_index_can_be_shown_without_what_attests_them() -> None:
    document = json.loads(index([ARM, ONE]).manifest.data)
    attests = {"platform": {"os": "unknown", "architecture": "unknown"}}
    document["manifests"].append(artifact(b"x", "a/b").manifest.descriptor | attests)
    place = place_with(index([ARM, ONE]))
    data = json.dumps(document).encode()
    digest = Digest.of(data)
    place.at(APP).manifests[digest] = StoredManifest(digest, OCI_INDEX, data)
    place.at(APP).tags[TAG] = digest

    found = await Images(place, AMD).open_all(APP, TAG)

    assert [str(image.platform) for image in found] == ["linux/arm64", "linux/amd64"]


async def test_an_artifact_is_called_by_its_manifest() -> None:
    thing = artifact(b"12345", "application/thing")

    image = await opened(place_with(thing))

    assert str(image.id) == thing.manifest.digest
    assert (image.size, image.created, image.config, image.platform) == (5, None, None, None)


@pytest.mark.parametrize("created", ["", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "once"])
async def test_no_time_is_no_time(created: str) -> None:
    steps = [{"created": created, "created_by": "ADD"}]

    image = await opened(place_with(image_of([random_layer(9, 1)], created=created, history=steps)))

    assert image.created is None
    assert [step.created for step in history(image)] == [None]


async def test_an_image_whose_config_is_gone_or_damaged_is_shown_with_a_note() -> None:
    for data in (None, b"other bytes"):
        place = place_with(ONE)
        digest = Digest.parse(ONE.config.digest)
        del place.at(APP).blobs[digest]
        if data is not None:
            place.at(APP).blobs[digest] = data

        image = await opened(place)

        assert str(image.id) == ONE.manifest.digest
        assert "its config cannot be read" in image.notes[0]


@pytest.mark.parametrize("error", [UpstreamUnavailable("it fails with 503"), RateLimited("too many requests")])
async def test_what_a_mirror_cannot_fetch_now_is_a_note_and_ends_no_list(error: UpstreamUnavailable) -> None:
    class Mirror(MemoryPlace):
        def blob(self, *_: object) -> AbstractAsyncContextManager[OpenBlob]:  # type: ignore[override]  # it fails
            raise error

        async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
            if str(reference) == ARM.manifest.digest:
                raise error
            return await super().manifest(name, reference)

    place = Mirror()
    place.add(APP, ONE, "1")
    place.add(APP, index([ARM, ONE]), "2")

    shown = [await opened(place), await opened(place, Shown(Platform("linux", "arm64")), Tag("2"))]

    assert [image.config for image in shown] == [None, None]
    assert shown[0].size == sum(len(layer.data) for layer in ONE.layers)
    for image in shown:
        assert f"cannot be read: {error.message}" in image.notes[0]


async def test_an_index_whose_image_is_gone_is_shown_with_a_note() -> None:
    place = place_with(index([ONE]))
    del place.at(APP).manifests[Digest.parse(ONE.manifest.digest)]

    image = await opened(place)

    assert "is not there" in image.notes[0]
    assert image.config is None


async def test_a_manifest_that_nobody_can_read_is_shown_with_a_note() -> None:
    place = MemoryPlace()
    place.add(APP, ONE, "1")
    data = b'{"schemaVersion":1,"name":"old"}'
    digest = Digest.of(data)
    place.at(APP).manifests[digest] = StoredManifest(digest, OCI_MANIFEST, data)
    place.at(APP).tags[TAG] = digest

    image = await opened(place)

    assert "schema 1" in image.notes[0]
    assert inspected(image, "x/team/app", [TAG])["Config"] is None


async def test_inspect_has_dockers_members() -> None:
    run = {"Labels": {"a": "b"}, "Entrypoint": ["/x"], "ExposedPorts": {"80/tcp": {}}}
    made = image_of([random_layer(9, 1)], run=run, annotations={"c": "d"}, command=["y"])

    found = inspected(await opened(place_with(made)), "host:1/team/app", [TAG, Tag("2")])

    assert tuple(found) == FIELDS
    assert found["Id"] == made.config.digest
    assert found["RepoTags"] == ["host:1/team/app:1", "host:1/team/app:2"]
    assert found["RepoDigests"] == [f"host:1/team/app@{made.manifest.digest}"]
    assert found["Created"] == "2024-01-01T00:00:00Z"
    assert (found["Os"], found["Architecture"], found["Size"]) == ("linux", "amd64", len(made.layers[0].data))
    config = found["Config"]
    assert isinstance(config, dict)
    assert (config["Labels"], config["Entrypoint"], config["Cmd"]) == ({"a": "b"}, ["/x"], ["y"])
    assert (config["User"], config["Volumes"], config["ExposedPorts"]) == ("", None, {"80/tcp": {}})
    layer = random_layer(9, 1)
    assert found["RootFS"] == {"Type": "layers", "Layers": [layer.diff_id]}
    assert found["Layers"] == [{"mediaType": layer.media_type, "digest": layer.digest, "size": len(layer.data)}]
    assert found["Annotations"] == {"c": "d"}
    assert found["Manifests"] is None


async def test_inspect_of_an_index_says_what_it_holds() -> None:
    both = index([ARM, ONE])

    found = inspected(await opened(place_with(both)), "team/app", [])

    manifests = found["Manifests"]
    assert isinstance(manifests, list)
    assert [each["digest"] for each in manifests] == [ARM.manifest.digest, ONE.manifest.digest]
    assert found["RepoDigests"] == [f"team/app@{both.manifest.digest}"]
    assert found["Id"] == ONE.config.digest


async def test_inspect_of_an_artifact_says_what_it_is_and_to_what_it_refers() -> None:
    thing = artifact(b"x", "application/thing", subject=ONE.manifest)

    found = inspected(await opened(place_with(thing)), "team/app", [TAG])

    subject = found["Subject"]
    assert isinstance(subject, dict)
    assert (found["ArtifactType"], subject["digest"]) == ("application/thing", ONE.manifest.digest)


async def test_history_goes_from_the_newest_step_with_the_layer_of_each() -> None:
    layers = [random_layer(size, size) for size in (10, 20)]
    steps: list[dict[str, object]] = [
        {"created": "2024-01-01T00:00:00Z", "created_by": "ADD a"},
        {"created_by": "ENV x", "empty_layer": True, "comment": "c"},
        {"created_by": "ADD b"},
    ]
    image = await opened(place_with(image_of(layers, history=steps)))

    found = history(image)

    assert [step.created_by for step in found] == ["ADD b", "ENV x", "ADD a"]
    assert [step.size for step in found] == [len(layers[1].data), 0, len(layers[0].data)]
    assert [step.image for step in found] == [image.id, None, None]
    assert (found[1].comment, found[1].layer, found[2].created) == ("c", None, datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("steps", "sizes"), [(0, 2), (1, 2), (4, 4)])
async def test_a_history_that_does_not_fit_the_layers_still_shows_all_of_them(steps: int, sizes: int) -> None:
    layers = [random_layer(10, 1), random_layer(20, 2)]
    place = place_with(image_of(layers, history=[{"created_by": str(n)} for n in range(steps)]))

    found = history(await opened(place))

    assert len(found) == sizes
    assert sum(step.size for step in found) == sum(len(layer.data) for layer in layers)


async def test_what_is_not_there_is_said() -> None:
    with pytest.raises(ManifestUnknown):
        await opened(place_with(ONE), tag=Tag("nope"))
