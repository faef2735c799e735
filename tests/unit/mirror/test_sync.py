"""Keeping images at one place as they are at another: only what changed moves, and one failure stops nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from registry.content.digest import Digest
from registry.content.errors import ManifestUnknown, NameUnknown, PlaceUnavailable
from registry.content.manifest_store import StoredManifest
from registry.content.names import Reference, RepositoryName, Tag
from registry.mirror.copy import Options
from registry.mirror.errors import RateLimited, UpstreamRefused
from registry.mirror.platforms import Platform
from registry.mirror.selection import Naming, Selection
from registry.mirror.sync import Outcome, Sync, Taken, Task
from registry.name_patterns import NamePattern
from tests.images import Content, artifact, index, random_image
from tests.unit.mirror.places import MemoryPlace


@dataclass
class Watched(MemoryPlace):
    """A place that remembers what was read, and fails where it is told to."""

    read: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    async def tags(self, name: RepositoryName) -> AsyncIterator[Tag]:
        if name not in self.held:
            raise NameUnknown(f"there is no repository {name}")
        if f"{name}" in self.broken:
            raise RateLimited("too many requests", 60)
        for tag in self.held[name].tags:
            yield tag

    async def repositories(self) -> AsyncIterator[RepositoryName]:
        if "_catalog" in self.broken:
            raise UpstreamRefused("does not list its repositories: name them")
        for name in self.held:
            yield name

    async def manifest(self, name: RepositoryName, reference: Reference) -> StoredManifest:
        self.read.append(f"{name}:{reference}")
        return await super().manifest(name, reference)

    async def resolve(self, name: RepositoryName, reference: Reference) -> Digest:
        if f"{name}:{reference}" in self.broken:
            raise PlaceUnavailable("does not answer")
        held = self.held.get(name)
        if held is None or isinstance(reference, Digest) or reference not in held.tags:
            raise ManifestUnknown(f"{reference} is not in {name}")
        return held.tags[reference]


def _task(
    source: Watched, target: Watched, *repositories: str, references: tuple[Reference, ...] = (), newest: int = 0
) -> Task:
    patterns = tuple(map(NamePattern.parse, repositories or ("**",)))
    selection = Selection(patterns, references=references, newest=newest)
    return Task("r.test", source, "", target, selection, Naming.parse("mirror"), Options())


async def _run(task: Task) -> list[Outcome]:
    outcomes: list[Outcome] = []
    await Sync(task, outcomes.append).run()
    return outcomes


def _statuses(outcomes: list[Outcome]) -> set[tuple[str, tuple[str, ...], str]]:
    return {(outcome.source, outcome.tags, outcome.status) for outcome in outcomes}


async def test_all_tags_of_all_repositories_arrive_and_a_second_run_reads_no_manifest_again() -> None:
    source, target = Watched(), Watched()
    one = source.add("team/app", random_image(1), "v1", "latest")
    source.add("team/app", random_image(2), "v2")
    source.add("other", random_image(3), "v1")

    first = await _run(_task(source, target))
    read = len(source.read)
    second = await _run(_task(source, target))

    assert _statuses(first) == {
        ("r.test/team/app", ("latest", "v1"), "copied"),
        ("r.test/team/app", ("v2",), "copied"),
        ("r.test/other", ("v1",), "copied"),
    }
    assert target.at("mirror/team/app").tags[Tag("latest")] == one
    assert {outcome.status for outcome in second} == {"unchanged"}
    assert len(source.read) == read
    assert {outcome.size for outcome in second} == {0}


async def test_a_tag_that_has_moved_moves_and_the_others_are_not_touched() -> None:
    source, target = Watched(), Watched()
    source.add("app", random_image(1), "v1", "latest")
    await _run(_task(source, target))
    target.calls.clear()
    source.add("app", random_image(2), "latest")

    outcomes = await _run(_task(source, target))

    assert _statuses(outcomes) == {("r.test/app", ("v1",), "unchanged"), ("r.test/app", ("latest",), "copied")}
    assert [call for call in target.calls if call.endswith(" v1")] == []


async def test_a_tag_on_what_is_there_is_only_tagged() -> None:
    source, target = Watched(), Watched()
    source.add("app", random_image(1), "v1")
    await _run(_task(source, target))
    source.add("app", random_image(1), "stable")

    outcomes = await _run(_task(source, target))

    assert [(outcome.status, outcome.size) for outcome in outcomes] == [("tagged", 0)]
    assert set(target.at("mirror/app").tags) == {"v1", "stable"}


async def test_what_fails_is_told_and_stops_nothing_else() -> None:
    source, target = Watched(), Watched()
    for number, name in enumerate(("a", "b", "c")):
        source.add(name, random_image(number + 1), "v1", "v2")
    source.add("b", random_image(9), "v9")
    source.broken |= {"a", "b:v1"}
    lost = random_image(20)
    source.add("c", lost, "lost")
    source.at("c").blobs.pop(Digest.parse(lost.layers[0].digest))

    outcomes = await _run(_task(source, target, "a", "b", "c", "not-there"))

    assert {(each.source, each.tags, each.error) for each in outcomes if each.status == "failed"} == {
        ("r.test/a", (), "too many requests"),
        ("r.test/b", ("v1",), "does not answer"),
        ("r.test/c", ("lost",), f"{lost.layers[0].digest} is not in c"),
        ("r.test/not-there", (), "there is no repository not-there"),
    }
    assert set(target.at("mirror/b").tags) == {"v2", "v9"}
    assert set(target.at("mirror/c").tags) == {"v1", "v2"}


async def test_a_registry_that_does_not_list_its_repositories_is_told_once() -> None:
    source, target = Watched(), Watched()
    source.add("app", random_image(1), "v1")
    source.broken.add("_catalog")

    outcomes = await _run(_task(source, target, "app", "team/*"))

    assert _statuses(outcomes) == {("r.test", (), "failed"), ("r.test/app", ("v1",), "copied")}


async def test_tags_and_digests_that_are_named_are_taken_without_asking_for_a_list() -> None:
    source, target = Watched(), Watched()
    digest = source.add("app", random_image(1), "v1", "v2")
    source.broken.add("app")  # its list

    outcomes = await _run(_task(source, target, "app", references=(Tag("v2"), digest)))

    assert _statuses(outcomes) == {("r.test/app", ("v2",), "copied")}
    assert set(target.at("mirror/app").tags) == {"v2"}


async def test_platforms_and_signatures_follow_the_options() -> None:
    source, target = Watched(), Watched()
    images = [random_image(n, architecture=name) for n, name in enumerate(("amd64", "arm64"), 1)]
    value = index(images)
    source.add("app", value, "v1")
    signature = artifact(b"signature", "application/vnd.test", subject=value.manifest)
    source.add("app", signature)
    cosign = artifact(b"cosign", "application/vnd.cosign")
    source.add("app", cosign, f"{value.manifest.digest.replace(':', '-')}.sig")
    task = _task(source, target)

    outcomes = await _run(replace(task, options=Options(platforms=(Platform.parse("linux/arm64"),))))

    held = target.at("mirror/app")
    assert [outcome.status for outcome in outcomes] == ["copied"]
    there = {str(digest) for digest in held.manifests}
    assert there == {
        each.digest for each in _manifests(value.manifest, images[1].manifest, signature.manifest, cosign.manifest)
    }
    assert set(held.tags) == {"v1", f"{value.manifest.digest.replace(':', '-')}.sig"}


def _manifests(*contents: Content) -> tuple[Content, ...]:
    return contents


async def test_a_dry_run_tells_what_would_be_copied_and_changes_nothing() -> None:
    source, target = Watched(), Watched()
    source.add("app", random_image(1), "v1")
    task = _task(source, target)

    outcomes = await _run(replace(task, options=Options(dry_run=True)))

    assert [outcome.status for outcome in outcomes] == ["copied"]
    assert outcomes[0].size > 100_000
    assert target.calls == []
    assert target.held == {}


async def test_two_repositories_that_would_become_one_do_not_overwrite_each_other() -> None:
    source, target = Watched(), Watched()
    source.add("a/app", random_image(1), "v1")
    source.add("b/app", random_image(2), "v1", "v2")
    task = replace(_task(source, target), naming=Naming.parse("{base}"))

    outcomes = await _run(task)

    assert _statuses(outcomes) == {
        ("r.test/a/app", ("v1",), "copied"),
        ("r.test/b/app", ("v2",), "copied"),
        ("r.test/b/app", ("v1",), "failed"),
    }


async def test_two_tasks_of_a_run_do_not_overwrite_what_the_other_has_brought() -> None:
    first, second, target = Watched(), Watched(), Watched()
    first.add("app", random_image(1), "v1", "same")
    second.add("app", random_image(2), "v1")
    second.add("app", random_image(1), "same")
    tasks = [_task(first, target), replace(_task(second, target), host="other.test")]
    outcomes: list[Outcome] = []
    taken: Taken = {}

    for task in tasks:
        await Sync(task, outcomes.append, taken=taken).run()

    assert _statuses(outcomes) == {
        ("r.test/app", ("same", "v1"), "copied"),
        ("other.test/app", ("v1",), "failed"),
        ("other.test/app", ("same",), "unchanged"),
    }
    assert "r.test/app has become mirror/app:v1 in this run" in {outcome.error for outcome in outcomes}


@pytest.mark.parametrize("template", ["mirror", "{name}/copy", "{base}"])
async def test_what_a_sync_within_one_place_has_made_is_not_copied_again(template: str) -> None:
    place = Watched()
    place.add("team/app", random_image(1), "v1")
    task = replace(_task(place, place), host="", naming=Naming.parse(template))

    outcomes = [outcome for _ in range(3) for outcome in await _run(task)]

    assert len(place.held) == 2
    assert [outcome.status for outcome in outcomes] == ["copied", "unchanged", "unchanged"]


async def test_a_registry_that_lists_a_repository_twice_does_no_harm() -> None:
    class Twice(Watched):
        async def repositories(self) -> AsyncIterator[RepositoryName]:
            for name in (*self.held, *self.held):
                yield name

    source, target = Twice(), Watched()
    source.add("app", random_image(1), "v1")

    outcomes = await _run(_task(source, target))

    assert {outcome.status for outcome in outcomes} <= {"copied", "unchanged", "tagged"}
    assert set(target.at("mirror/app").tags) == {"v1"}


@pytest.mark.parametrize("newest", [1, 2])
async def test_the_newest_are_copied(newest: int) -> None:
    source, target = Watched(), Watched()
    for number in range(3):
        source.add("app", random_image(number + 1), f"1.{number}.0")

    await _run(_task(source, target, newest=newest))

    assert set(target.at("mirror/app").tags) == {f"1.{number}.0" for number in range(3 - newest, 3)}
