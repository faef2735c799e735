"""Where a command acts: straight on a storage, or on a running registry with the caller's credentials.

Knows options and builders; must not know what is done there. A reference with a host, or `--url`, means a registry;
`--root` and `--config` mean a storage. Both are a place that can be read, written and cleaned.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from registry.cli.failure import INTERRUPTED, MISUSED, Failure
from registry.cli.settings_options import load_settings, settings_as_written
from registry.cli.storage_access import check_owner, check_there
from registry.content.keyspace import SCRATCH
from registry.content.places import Removable, Source, Target
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from registry.content.image_references import ImageReference
    from storage_backends.base import StorageBackend

T = TypeVar("T")

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="A running registry, HOST[:PORT] or a URL; also in front of an image's name.",
        show_default=False,
    ),
]
PlainHttpOption = Annotated[
    bool, typer.Option("--plain-http", help="Speak to the registry without encryption; on the loopback that is so.")
]


class Place(Source, Target, Removable, Protocol):
    """What a command acts on."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A place for as long as a command runs. `host` is the registry's; empty for a storage, which has a `backend`."""

    place: Place
    host: str = ""
    backend: "StorageBackend | None" = None


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """What the command line says about where to act."""

    config: Path | None = None
    root: Path | None = None
    url: str | None = None
    plain_http: bool = False
    sparse: bool = False
    """A storage takes indexes of which not all images are there, whatever its settings say."""
    looks: bool = False
    """True if nothing that is read counts as pulled; on a storage that is always so."""
    writes: bool = False
    """A storage must belong to who writes to it, where that is root: also to look at times, or at referrers, which are
    listed when somebody asks for the first time."""


def whole_prefix(text: str) -> str:
    """A prefix of names, with the slash at its end that it may be written without."""
    return f"{text.rstrip('/')}/" if text else ""


def parse_image(text: str) -> "ImageReference":
    """An image as people write it. Raises `Failure`."""
    from registry.content.errors import ContentError  # noqa: PLC0415  # start-up time
    from registry.content.image_references import ImageReference  # noqa: PLC0415

    try:
        return ImageReference.parse(text)
    except ContentError as error:
        raise Failure(f"{text}: {error.message}", MISUSED) from error


def act(options: TargetOptions, images: "Sequence[ImageReference]", work: Callable[[Opened], Awaitable[T]]) -> T:
    """Do `work` where the options, or the hosts of `images`, say. Raises `Failure`."""
    host = _host(options, images)

    async def acting() -> T:
        async with place_at(options, host) as opened:
            return await work(opened)

    with told():
        return run_until_stopped(acting())


def place_at(options: TargetOptions, host: str) -> AbstractAsyncContextManager[Opened]:
    """The registry `host`, or the storage that the options name if that is empty."""
    return _registry(options, host) if host else _storage(options)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong at a place becomes a `Failure`."""
    from registry.content.errors import ContentError  # noqa: PLC0415  # start-up time
    from registry.mirror.errors import MirrorError, UpstreamDenied  # noqa: PLC0415
    from storage_backends.errors import StorageError  # noqa: PLC0415

    try:
        yield
    except KeyboardInterrupt:
        raise Failure("stopped", INTERRUPTED) from None
    except UpstreamDenied as error:
        raise Failure(f"{error.message}. Log in with `docker login`, or name the registry in `upstreams`") from error
    except (ContentError, MirrorError) as error:
        raise Failure(error.message) from error
    except StorageError as error:
        raise Failure(f"the storage failed: {error}") from error


def _host(options: TargetOptions, images: "Sequence[ImageReference]") -> str:
    """The registry to act on; empty for the storage."""
    hosts = {image.host for image in images}
    if len(hosts) > 1:
        raise Failure("all images must be in one place: name the same host in front of each, or of none", MISUSED)
    host = next(iter(hosts), "")
    if options.url and host:
        raise Failure(f"--url says where to act, and so does {host}/ in front of the image: keep one of them", MISUSED)
    named = options.url or host
    if named and options.root is not None:
        raise Failure(f"--root means a storage and {named} a registry: keep one of them", MISUSED)
    return named


@asynccontextmanager
async def _registry(options: TargetOptions, host: str) -> AsyncIterator[Opened]:
    from registry.app_upstreams import options_for  # noqa: PLC0415  # start-up time
    from registry.mirror.upstream import Upstream  # noqa: PLC0415
    from registry.mirror.upstream_options import Patience  # noqa: PLC0415

    upstreams = settings_as_written(options.config).upstreams
    try:
        found = options_for(host, upstreams, Patience(), plain_http=options.plain_http)
    except ValueError as error:
        raise Failure(str(error), MISUSED) from error
    async with Upstream(replace(found, counts_pulls=not options.looks)) as upstream:
        yield Opened(upstream, upstream.endpoint.host)


@asynccontextmanager
async def _storage(options: TargetOptions) -> AsyncIterator[Opened]:
    from registry.app_auth import build_policy_source  # noqa: PLC0415
    from registry.app_registry import build_registry  # noqa: PLC0415  # start-up time
    from registry.app_storage import build_backend  # noqa: PLC0415
    from registry.content.local_place import LocalPlace  # noqa: PLC0415

    settings = load_settings(options.config, {"--root": options.root})
    check_there(settings, ", or a running registry with --url")
    if options.writes or not (settings.storage.root / SCRATCH).is_dir():  # the first look makes it
        check_owner(settings)
    if options.sparse:
        rules = settings.registry.model_copy(update={"allow_sparse_indexes": True})
        settings = settings.model_copy(update={"registry": rules})
    backend = build_backend(settings)
    registry = build_registry(settings, backend, build_policy_source(settings, None))
    yield Opened(LocalPlace(registry), backend=backend)
