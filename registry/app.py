"""The composition root: settings in, ASGI app out.

The only place where parts are wired together, and where settings and constructors meet: constructors take values.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.endpoint import TOKEN_PATH
from auth.events import Emit
from auth.policy_source import PolicySource
from config.settings import Settings
from registry import __version__
from registry.api.asgi import RegistryApi
from registry.api.audit import Audit
from registry.api.gate import Gate, GateOptions
from registry.api.locations import Locations
from registry.api.options import ApiOptions
from registry.api.redirects import Redirects
from registry.app_auth import AuthParts, SettingsSource, build_auth, build_policy_source, fixed_realm
from registry.app_cleanup import RETENTION, Work, collection_interval, run_in_child
from registry.app_mirror import mirror_names
from registry.app_registry import build_registry
from registry.app_storage import build_backend
from registry.cleanup import gc, scrub_turn
from registry.cleanup.due import is_due
from registry.cleanup.on_demand import OnDemand
from registry.content import keyspace
from registry.content.repository import Registry
from registry.content.served import ServedRegistry
from registry.mirror import sync_turn
from registry.ops.access_log import AccessLog
from registry.ops.audit_log import AuditLog
from registry.ops.health import Readiness, health_routes
from registry.ops.housekeeping import Chore, housekeeping
from registry.ops.line_writer import LineWriter
from registry.ops.requests import Requests, Witness
from registry.proxies import Proxies, networks
from storage_backends.base import StorageBackend

if TYPE_CHECKING:
    from registry.ops.metrics import Metrics

_PULLS_SECONDS = 5.0
_MINUTE = 60.0
_HOUR = 3600.0
_API = ("/v2", "/admin/")
_TOLD_SECONDS = 600.0


def build_proxies(settings: Settings) -> Proxies:
    """The reverse proxies whose word counts."""
    return Proxies(networks(settings.http.trusted_proxies))


def build_api(
    settings: Settings, registry: ServedRegistry, gate: Gate, emit: Emit | None, collector: OnDemand
) -> ASGIApp:
    """`/v2` over a registry, and what administrators ask of it, behind a gate."""
    return RegistryApi(
        registry,
        gate,
        ApiOptions(
            locations=_locations(settings),
            allow_delete=settings.registry.allow_delete,
            max_uploads=settings.server.max_uploads,
            default_page_size=settings.registry.catalog_page_size,
            max_page_size=settings.registry.max_page_size,
            redirects=_redirects(settings),
            names=mirror_names(settings),
            collector=None if settings.storage.s3.single_writer else collector,
        ),
        Audit(emit, build_proxies(settings)),
    )


def build_gate(settings: Settings, policy: PolicySource, auth: AuthParts | None) -> Gate:
    """What stands in front of `/v2`; open if nobody has to log in."""
    options = GateOptions(fixed_realm(settings), TOKEN_PATH, _locations(settings), build_proxies(settings))
    return Gate(policy, auth.guard if auth is not None else None, options)


def build_app(settings: Settings, source: SettingsSource | None = None) -> ASGIApp:
    """The whole server: the API, the token service, health, and the logs around them.

    From `source` the rules of access are read again when they change.
    """
    backend = build_backend(settings)
    policy = build_policy_source(settings, source)
    emit = build_audit_log(settings)
    auth = _auth(settings, backend, policy, emit) if settings.auth.is_on else None
    registry = build_registry(settings, backend, policy)
    collector = OnDemand(backend, settings.cleanup.lease_seconds)
    chores = [*_chores(settings, backend, registry, collector), *(auth.chores if auth is not None else ())]
    metrics = _metrics(settings)
    served: ServedRegistry = registry
    if settings.mirror.sources:
        from registry.app_mirroring import MirrorParts  # noqa: PLC0415  # start-up time

        mirror = MirrorParts(settings, registry, backend, metrics.mirrored if metrics is not None else None)
        served = mirror.registry
        chores.append(Chore("telling what was mirrored", mirror.told, _TOLD_SECONDS, at_end=True))
    api = build_api(settings, served, build_gate(settings, policy, auth), emit, collector)
    routes = [*(auth.routes if auth is not None else ()), *_metrics_routes(settings, metrics)]
    pages = _pages(backend, routes, chores)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # the API does not pass through the routes of the pages: it is the hot path
        handler = api if scope["type"] == "http" and scope["path"].startswith(_API) else pages
        await handler(scope, receive, send)

    return _witnessed(settings, app, metrics)


def build_token_app(settings: Settings, source: SettingsSource | None = None) -> ASGIApp:
    """The token service alone, for registries elsewhere."""
    backend = build_backend(settings)
    policy = build_policy_source(settings, source, logins=True)  # that is what it is for
    auth = _auth(settings, backend, policy, build_audit_log(settings))
    metrics = _metrics(settings)
    pages = _pages(backend, [*auth.routes, *_metrics_routes(settings, metrics)], auth.chores)
    return _witnessed(settings, pages, metrics)


def build_audit_log(settings: Settings) -> Emit | None:
    """What takes down who did what; None if nothing does."""
    where = settings.log.audit
    if where == "off" or (where == "auto" and not settings.auth.is_on):
        return None
    if where in ("auto", "stdout"):
        return AuditLog(LineWriter(sys.stdout.fileno(), "audit log"))
    fd = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return AuditLog(LineWriter(fd, "audit log"))


def _auth(settings: Settings, backend: StorageBackend, policy: PolicySource, emit: Emit | None) -> AuthParts:
    proxies = build_proxies(settings)
    return build_auth(
        settings,
        backend,
        policy,
        address=lambda request: proxies.client(request.scope),
        emit=emit or (lambda _: None),
        also=mirror_names(settings).instead,
    )


def _locations(settings: Settings) -> Locations:
    return Locations(
        relative=settings.http.relative_locations,
        external_url=settings.http.external_url.rstrip("/"),
        proxies=build_proxies(settings),
    )


def _redirects(settings: Settings) -> Redirects | None:
    redirect = settings.storage.s3.redirect
    if not settings.storage.s3.bucket or redirect.mode == "never":
        return None
    return Redirects(networks(redirect.networks), redirect.min_bytes, build_proxies(settings))


def _chores(settings: Settings, backend: StorageBackend, registry: Registry, collector: OnDemand) -> list[Chore]:
    async def expire_uploads() -> str:
        count = await backend.expire_uploads(keyspace.UPLOADS, settings.storage.upload_lifetime_seconds)
        return f"removed {count} abandoned uploads" if count else ""

    async def write_pulls() -> str:
        await registry.pulls.write()
        return ""

    return [
        Chore("removing abandoned uploads", expire_uploads, _HOUR),
        Chore("writing down what was pulled", write_pulls, _PULLS_SECONDS, at_end=True),
        *_background_work(settings, backend, collector),
    ]


def _background_work(settings: Settings, backend: StorageBackend, collector: OnDemand) -> Iterator[Chore]:
    """What one process among all workers and replicas does, when it is due or somebody has asked for it. Nothing where
    this process must be the only one that writes.
    """
    if settings.storage.s3.single_writer:
        return
    cleanup, retention, sync = settings.cleanup, settings.retention, settings.sync
    works: list[tuple[Work, float, Callable[[float, float], Awaitable[bool]]]] = [
        ("garbage collection", collection_interval(settings), partial(is_due, backend, gc.WORK)),
        ("retention", retention.interval_seconds if retention.policies else 0, partial(is_due, backend, RETENTION)),
        ("scrub", cleanup.scrub_interval_seconds, partial(scrub_turn.is_due, backend)),
        ("sync", sync.interval_seconds if sync.copies else 0, partial(sync_turn.is_due, backend)),
    ]

    async def look(
        work: Work, interval: float, due: Callable[[float, float], Awaitable[bool]], asked: asyncio.Event | None
    ) -> str:
        is_asked = asked is not None and asked.is_set()
        try:
            if is_asked or (interval and await due(interval, cleanup.lease_seconds)):
                await run_in_child(work, settings)
        finally:
            if is_asked and asked is not None:
                asked.clear()
        return ""

    for work, interval, due in works:
        asked = collector.asked if work == "garbage collection" else None
        if interval or asked is not None:
            yield Chore(work, partial(look, work, interval, due, asked), min(_MINUTE, interval), asked=asked)


def _pages(backend: StorageBackend, routes: list[Route], chores: Sequence[Chore]) -> ASGIApp:
    """Health and the token service; and what a server does by itself while it runs."""

    def lifespan(_: Starlette) -> AbstractAsyncContextManager[None]:
        return housekeeping(chores)

    pages = Starlette(routes=[*health_routes(Readiness(backend.check)), *routes], lifespan=lifespan)
    pages.router.redirect_slashes = False  # to an address that the request's Host names
    return pages


def _metrics(settings: Settings) -> "Metrics | None":
    """What counts for Prometheus; None if nobody may read it."""
    if not settings.metrics.networks:
        return None
    from registry.ops.metrics import Metrics  # noqa: PLC0415  # with workers it must not be imported before they fork

    return Metrics(__version__)


def _metrics_routes(settings: Settings, metrics: "Metrics | None") -> list[Route]:
    if metrics is None:
        return []
    return [metrics.route(networks(settings.metrics.networks), build_proxies(settings).client)]


def _witnessed(settings: Settings, app: ASGIApp, metrics: "Metrics | None") -> ASGIApp:
    """The log of requests and their counts, around everything; and their ids, whoever takes them down."""
    witnesses: list[Witness] = [metrics] if metrics is not None else []
    if settings.log.access:
        lines = LineWriter(sys.stdout.fileno())
        witnesses.append(AccessLog(lines, json_lines=settings.log.format == "json"))
    return Requests(app, witnesses, build_proxies(settings).client)
