"""The composition root: settings in, ASGI app out.

The only place where parts are wired together, and where settings and constructors meet: constructors take values.
"""

import sys

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from config.settings import Settings
from registry.api.asgi import RegistryApi
from registry.api.locations import Locations, networks
from registry.api.options import ApiOptions
from registry.content import keyspace
from registry.content.repository import Registry, Rules
from registry.ops.access_log import AccessLog
from registry.ops.health import Readiness, health_routes
from registry.ops.line_writer import LineWriter
from storage_backends.base import StorageBackend
from storage_backends.filesystem import FilesystemBackend


def build_backend(settings: Settings) -> StorageBackend:
    """The storage that the settings name."""
    return FilesystemBackend(settings.storage.root, scratch=keyspace.SCRATCH, private=keyspace.AUTH)


def build_registry(settings: Settings, backend: StorageBackend) -> Registry:
    """The domain over a storage."""
    section = settings.registry
    return Registry(
        backend,
        Rules(
            max_manifest_bytes=section.max_manifest_bytes,
            max_blob_bytes=section.max_blob_bytes,
            check_references=section.check_references,
            allow_sparse_indexes=section.allow_sparse_indexes,
            allow_foreign_layers=section.allow_foreign_layers,
        ),
    )


def build_api(settings: Settings, registry: Registry) -> ASGIApp:
    """`/v2` over a registry."""
    return RegistryApi(
        registry,
        ApiOptions(
            locations=Locations(
                relative=settings.http.relative_locations,
                external_url=settings.http.external_url.rstrip("/"),
                trusted_proxies=networks(settings.http.trusted_proxies),
            ),
            allow_delete=settings.registry.allow_delete,
            max_uploads=settings.server.max_uploads,
            default_page_size=settings.registry.catalog_page_size,
            max_page_size=settings.registry.max_page_size,
        ),
    )


def build_app(settings: Settings) -> ASGIApp:
    """The whole server: the API, health, and the access log around them."""
    backend = build_backend(settings)
    api = build_api(settings, build_registry(settings, backend))
    pages = Starlette(routes=health_routes(Readiness(backend.check)))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # the API does not pass through the routes of the pages: it is the hot path
        handler = api if scope["type"] == "http" and scope["path"].startswith("/v2") else pages
        await handler(scope, receive, send)

    if not settings.log.access:
        return app
    return AccessLog(app, LineWriter(sys.stdout.fileno()), json_lines=settings.log.format == "json")
