"""Mirroring as the settings say it: upstreams, rules, and the registry in front of which they stand. Part of the
composition root.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from auth.errors import ScopeInvalid
from auth.patterns import check_pattern
from config.checks import Problem
from config.mirror import MirrorSettings, MirrorSourceSettings
from config.settings import Settings
from registry.api.mirror_names import MirrorNames
from registry.app_upstreams import options_for
from registry.content.errors import NameInvalid
from registry.content.names import RepositoryName
from registry.content.repository import Registry
from registry.mirror.blob_fetching import BlobFetching, FetchLimits
from registry.mirror.mirrored_place import MirroredPlace
from registry.mirror.mirroring_registry import MirroringRegistry, Mirrors
from registry.mirror.platforms import Platform, PlatformInvalid
from registry.mirror.pull_through import MirrorRules, PullThrough
from registry.mirror.routes import Route
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import Patience, UpstreamOptions
from registry.mirror.upstream_state import UpstreamState
from storage_backends.base import StorageBackend


def mirror_problems(settings: Settings) -> Iterator[Problem]:
    """Mirrors that cannot be: a check for `config.load.read`."""
    mirror = settings.mirror
    prefixes: set[str] = set()
    namespaces: dict[str, str] = {}
    for number, source in enumerate(mirror.sources):
        here = ("mirror", "sources", number)
        if source.prefix in prefixes:
            yield Problem((*here, "prefix"), f"{source.prefix} is there already: a name has one upstream")
        prefixes.add(source.prefix)
        yield from _source_problems(settings, source, number)
        for name in source.ns:
            if namespaces.setdefault(name.lower(), source.prefix) != source.prefix:
                yield Problem((*here, "ns"), f"{name} leads to {namespaces[name.lower()]} already")
    if mirror.default and mirror.default not in prefixes:
        yield from _default_problems(mirror.default, mirrors=bool(prefixes))
    for text in mirror.platforms:
        try:
            Platform.parse(text)
        except PlatformInvalid as error:
            yield Problem(("mirror", "platforms"), str(error))


def _default_problems(default: str, *, mirrors: bool) -> Iterator[Problem]:
    """What a bundle has brought needs no source: names there begin with a host, or with that of `--prefix`."""
    try:
        RepositoryName.parse(default)
    except NameInvalid as error:
        yield Problem(("mirror", "default"), error.message)
        return
    if mirrors and "." not in default:
        yield Problem(
            ("mirror", "default"),
            f"{default} is no prefix of mirror.sources, and not how names of a bundle begin, such as docker.io",
        )


def _source_problems(settings: Settings, source: MirrorSourceSettings, number: int) -> Iterator[Problem]:
    here = ("mirror", "sources", number)
    try:
        _options(settings, source)
    except ValueError as error:
        yield Problem((*here, "upstream"), f"is neither the name of one of `upstreams` nor a registry: {error}")
    for member, name in (("prefix", source.prefix), ("namespace", source.namespace)):
        try:
            RepositoryName.parse(name or "none")
        except NameInvalid as error:
            yield Problem((*here, member), error.message)
    for member, patterns in (("allow", source.allow), ("deny", source.deny)):
        for pattern in patterns:
            try:
                check_pattern(pattern)
            except ScopeInvalid as error:
                yield Problem((*here, member), str(error))


def mirror_names(settings: Settings) -> MirrorNames:
    """How clients may name what is mirrored. Where several sources mirror the same registry whole, the first counts."""
    found: dict[str, str] = {}
    for source in settings.mirror.sources:
        whole = () if source.namespace else _options(settings, source).endpoint.names
        for name in (*source.ns, *whole):
            found.setdefault(name.lower(), source.prefix)
    prefixes = tuple(source.prefix for source in settings.mirror.sources)
    return MirrorNames(found, prefixes, settings.mirror.default)


class MirrorParts:
    """What mirrors, in front of `local`. Sources of one upstream share its connections and its state; `counted` is told
    what comes of asking it.

    Repositories of sources that are offline are only ours; `mirror_names` alone knows what else they are called.
    """

    def __init__(
        self,
        settings: Settings,
        local: Registry,
        backend: StorageBackend,
        counted: Callable[[str, str, int], None] | None = None,
    ) -> None:
        mirror = settings.mirror
        self._counted = counted
        self._states: dict[str, UpstreamState] = {}
        self._upstreams: dict[str, Upstream] = {}
        places = [self._place(settings, source) for source in mirror.online]
        fetching = BlobFetching(local, backend, FetchLimits(mirror.max_downloads, mirror.max_blob_bytes))
        through = PullThrough(local, fetching, _rules(mirror))
        self.registry = MirroringRegistry(local, Mirrors(places), through, fetching)

    async def told(self) -> str:
        """What has come of mirroring since this was asked last, in words."""
        return "; ".join(told for state in self._states.values() if (told := state.told()))

    def _place(self, settings: Settings, source: MirrorSourceSettings) -> MirroredPlace:
        options = _options(settings, source)
        key = source.upstream
        if key not in self._upstreams:
            self._upstreams[key] = Upstream(options)
            rest = settings.mirror.rest_seconds
            self._states[key] = UpstreamState(options.endpoint.host, rest, counted=self._counted)
        route = Route(source.prefix, options.endpoint, source.namespace, source.allow, source.deny)
        return MirroredPlace(route, self._upstreams[key], self._states[key])


def _options(settings: Settings, source: MirrorSourceSettings) -> UpstreamOptions:
    """How the upstream of a source is reached. A wait that it asks for is the client's to keep, not ours."""
    patience = Patience(attempts=settings.mirror.attempts, longest_wait=0.0)
    options = options_for(source.upstream, settings.upstreams, patience)
    return replace(options, max_manifest_bytes=settings.registry.max_manifest_bytes)


def _rules(mirror: MirrorSettings) -> MirrorRules:
    return MirrorRules(
        tag_seconds=mirror.tag_ttl_seconds,
        unknown_seconds=mirror.unknown_ttl_seconds,
        patience=mirror.patience_seconds,
        platforms=tuple(map(Platform.parse, mirror.platforms)),
        companions=mirror.signatures,
    )
