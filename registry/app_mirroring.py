"""What mirrors, in front of the registry: upstreams, rules, fetching. Part of the composition root."""

from collections.abc import Callable

from config.mirror import MirrorSettings, MirrorSourceSettings
from config.settings import Settings
from registry.app_mirror import options_of
from registry.content.repository import Registry
from registry.mirror.blob_fetching import BlobFetching, FetchLimits
from registry.mirror.mirrored_place import MirroredPlace
from registry.mirror.mirroring_registry import MirroringRegistry, Mirrors
from registry.mirror.platforms import Platform
from registry.mirror.pull_through import MirrorRules, PullThrough
from registry.mirror.routes import Route
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import UpstreamOptions
from registry.mirror.upstream_state import UpstreamState
from storage_backends.base import StorageBackend


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
        ours = [_route(source, options_of(settings, source)) for source in mirror.sources if source.offline]
        fetching = BlobFetching(local, backend, FetchLimits(mirror.max_downloads, mirror.max_blob_bytes))
        through = PullThrough(local, fetching, _rules(mirror))
        self.registry = MirroringRegistry(local, Mirrors(places, ours), through, fetching)

    async def told(self) -> str:
        """What has come of mirroring since this was asked last, in words."""
        return "; ".join(told for state in self._states.values() if (told := state.told()))

    def _place(self, settings: Settings, source: MirrorSourceSettings) -> MirroredPlace:
        options = options_of(settings, source)
        key = source.upstream
        if key not in self._upstreams:
            self._upstreams[key] = Upstream(options)
            rest = settings.mirror.rest_seconds
            self._states[key] = UpstreamState(options.endpoint.host, rest, counted=self._counted)
        return MirroredPlace(_route(source, options), self._upstreams[key], self._states[key])


def _route(source: MirrorSourceSettings, options: UpstreamOptions) -> Route:
    return Route(source.prefix, options.endpoint, source.namespace, source.allow, source.deny)


def _rules(mirror: MirrorSettings) -> MirrorRules:
    return MirrorRules(
        tag_seconds=mirror.tag_ttl_seconds,
        unknown_seconds=mirror.unknown_ttl_seconds,
        patience=mirror.patience_seconds,
        platforms=tuple(map(Platform.parse, mirror.platforms)),
        companions=mirror.signatures,
    )
