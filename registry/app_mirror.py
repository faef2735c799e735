"""What mirrors what, as the settings say it: the names of it, and what cannot be. Part of the composition root.

Must not import what speaks HTTP to upstreams: every server and command reads the settings.
"""

from collections.abc import Iterator
from dataclasses import replace

from auth.errors import ScopeInvalid
from auth.patterns import check_repositories
from config.checks import Problem
from config.mirror import MirrorSourceSettings
from config.settings import Settings
from registry.api.mirror_names import MirrorNames
from registry.app_upstreams import options_for
from registry.content.errors import NameInvalid
from registry.content.names import RepositoryName
from registry.mirror.platforms import Platform, PlatformInvalid
from registry.mirror.upstream_options import Patience, UpstreamOptions


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
        options_of(settings, source)
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
                check_repositories(pattern)
            except ScopeInvalid as error:
                yield Problem((*here, member), str(error))


def mirror_names(settings: Settings) -> MirrorNames:
    """How clients may name what is mirrored. Where several sources mirror the same registry whole, the first counts."""
    found: dict[str, str] = {}
    for source in settings.mirror.sources:
        whole = () if source.namespace else options_of(settings, source).endpoint.names
        for name in (*source.ns, *whole):
            found.setdefault(name.lower(), source.prefix)
    prefixes = tuple(source.prefix for source in settings.mirror.sources)
    return MirrorNames(found, prefixes, settings.mirror.default)


def options_of(settings: Settings, source: MirrorSourceSettings) -> UpstreamOptions:
    """How the upstream of a source is reached. A wait that it asks for is the client's to keep, not ours. Raises
    `ValueError`.
    """
    patience = Patience(attempts=settings.mirror.attempts, longest_wait=0.0)
    options = options_for(source.upstream, settings.upstreams, patience)
    return replace(options, max_manifest_bytes=settings.registry.max_manifest_bytes)
