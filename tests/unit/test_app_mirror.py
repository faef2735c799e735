"""What mirrors the settings can mean, and what is said of those that they cannot."""

from typing import Any

import pytest

from config.settings import Settings
from registry.app_cleanup import cache_limits, collection_interval
from registry.app_mirror import mirror_names, mirror_problems
from registry.app_mirroring import MirrorParts
from registry.content.errors import ManifestUnknown, MirrorReadOnly
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.memory import MemoryBackend

HUB = {"prefix": "hub", "upstream": "docker.io"}


def _settings(sources: list[dict[str, Any]], **mirror: Any) -> Settings:
    return Settings.model_validate({"mirror": {**mirror, "sources": sources}})


def _problems(sources: list[dict[str, Any]], **mirror: Any) -> list[str]:
    return [
        f"{'.'.join(map(str, each.path))}: {each.message}" for each in mirror_problems(_settings(sources, **mirror))
    ]


@pytest.mark.parametrize(
    ("sources", "mirror", "problem"),
    [
        ([HUB, HUB], {}, "mirror.sources.1.prefix: hub is there already"),
        ([{**HUB, "prefix": "Hub"}], {}, "mirror.sources.0.prefix: 'Hub' is not a repository name"),
        ([{**HUB, "prefix": "a/../b"}], {}, "mirror.sources.0.prefix: 'a/../b' is not a repository name"),
        ([{**HUB, "namespace": "../x"}], {}, "mirror.sources.0.namespace: '../x' is not a repository name"),
        ([{**HUB, "upstream": "https://a/b"}], {}, "mirror.sources.0.upstream: is neither the name of one"),
        ([{**HUB, "upstream": "not a host"}], {}, "mirror.sources.0.upstream: is neither the name of one"),
        ([{**HUB, "allow": ["library/["]}], {}, "mirror.sources.0.allow: 'library/['"),
        ([{**HUB, "deny": ["/x"]}], {}, "mirror.sources.0.deny: '/x' is not a pattern"),
        (
            [{**HUB, "ns": ["a.example"]}, {"prefix": "b", "upstream": "b.example", "ns": ["A.example"]}],
            {},
            "mirror.sources.1.ns: A.example leads to hub already",
        ),
        ([HUB], {"default": "quay"}, "mirror.default: quay is no prefix of mirror.sources"),
        ([HUB], {"platforms": ["amd64"]}, "mirror.platforms: 'amd64' is not a platform"),
    ],
)
def test_a_mirror_that_cannot_be_is_named_with_its_place(
    sources: list[dict[str, Any]], mirror: dict[str, Any], problem: str
) -> None:
    [found] = _problems(sources, **mirror)

    assert found.startswith(problem)


def test_mirrors_that_can_be_have_no_problem() -> None:
    quay = {"prefix": "mirror/quay.io", "upstream": "quay.io", "namespace": "ourteam", "allow": ["ourteam/**"]}

    assert _problems([HUB, quay], default="hub", platforms=["linux/amd64", "linux/arm/v7"]) == []


@pytest.mark.parametrize("prefix", ["", "/hub", "hub/"])
def test_a_prefix_is_written_without_slashes_around_it(prefix: str) -> None:
    with pytest.raises(ValueError, match="without a slash at its end"):
        _settings([{**HUB, "prefix": prefix}])


def test_a_registry_is_known_by_all_its_names_unless_only_part_of_it_is_mirrored() -> None:
    part = {"prefix": "quay", "upstream": "quay.io", "namespace": "ourteam"}
    names = mirror_names(_settings([HUB, part, {"prefix": "again", "upstream": "docker.io", "ns": ["Hub.example"]}]))

    assert names.by_namespace["docker.io"] == names.by_namespace["registry-1.docker.io"] == "hub"
    assert names.by_namespace["hub.example"] == "again"
    assert "quay.io" not in names.by_namespace
    assert names.prefixes == ("hub", "quay", "again")


@pytest.mark.parametrize(
    ("mirror", "cleanup", "seconds"),
    [
        ({}, {"interval_seconds": 86400}, 86400),
        ({"max_bytes": 1}, {"interval_seconds": 86400}, 3600),
        ({"keep_seconds": 1}, {"interval_seconds": 0}, 3600),
        ({"keep_seconds": 1, "eviction_interval_seconds": 90000}, {"interval_seconds": 86400}, 86400),
        ({}, {"interval_seconds": 0}, 0),
    ],
)
def test_garbage_is_collected_as_often_as_caches_are_looked_at(
    mirror: dict[str, Any], cleanup: dict[str, Any], seconds: float
) -> None:
    settings = Settings.model_validate({"mirror": {**mirror, "sources": [HUB]}, "cleanup": cleanup})

    assert collection_interval(settings) == seconds


def test_what_lies_below_an_offline_source_is_no_cache() -> None:
    """Bundles brought it, or people pushed it: nobody could fetch it again."""
    closed = {"prefix": "closed", "upstream": "docker.io", "offline": True}

    limits = cache_limits(_settings([HUB, closed], max_bytes=1))
    alone = _settings([closed], max_bytes=1, keep_seconds=1)

    assert [pattern.text for pattern in limits.repositories] == ["hub/**"]
    assert [pattern.text for pattern in limits.lasting] == ["closed/**"]
    assert not alone.mirror.evicts


async def test_what_lies_below_an_offline_source_within_another_is_only_ours() -> None:
    closed = {"prefix": "hub/closed", "upstream": "docker.io", "offline": True}
    online = {"prefix": "hub/closed/open", "upstream": "quay.io"}
    backend = MemoryBackend()

    registry = MirrorParts(_settings([HUB, closed, online]), Registry(backend, Rules()), backend).registry

    for name in ("hub/app", "hub/closed/open/app"):
        with pytest.raises(MirrorReadOnly):
            await registry.uploads.begin(RepositoryName(name))
    assert (await registry.uploads.begin(RepositoryName("hub/closed/app"))).name == "hub/closed/app"
    with pytest.raises(ManifestUnknown):
        await registry.get_manifest(RepositoryName("hub/closed/app"), Tag("1"))
