"""Counts in the form that Prometheus reads: requests and what came of them, and what was fetched from upstreams.

The one door of prometheus_client. Knows names and labels, which docs/metrics.md lists; no label says a repository, a
user or an address: there may be any number of those, and they are nobody's business here. With several workers this
module may be imported only within `shared_counts`.
"""

import os
from collections.abc import Callable, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from registry.ops.requests import Request
from registry.ops.shared_counts import DIRECTORY_VARIABLE
from registry.proxies import Network, is_within

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_KINDS = frozenset(("manifests", "blobs", "uploads", "tags", "referrers"))
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300)
_BYTES_FETCHED = "bytes fetched"


class Metrics:
    """What is counted in this process, or in all that share their counts; a `Witness` of requests."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # processes that share their counts have none either
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cargohold_requests", "Requests by their end.", ("method", "kind", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "cargohold_request_seconds",
            "How long requests took, bodies included.",
            ("method", "kind"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._sent = Counter("cargohold_sent_bytes", "Bytes of bodies sent.", ("kind",), registry=self._registry)
        self._received = Counter(
            "cargohold_received_bytes", "Bytes of bodies received.", ("kind",), registry=self._registry
        )
        self._mirrored = Counter(
            "cargohold_mirror_events", "What came of mirroring.", ("upstream", "event"), registry=self._registry
        )
        self._fetched = Counter(
            "cargohold_mirror_fetched_bytes", "Bytes of blobs fetched.", ("upstream",), registry=self._registry
        )
        build = Gauge(
            "cargohold_build_info",
            "1, with the version as a label.",
            ("version",),
            registry=self._registry,
            multiprocess_mode="max",
        )
        build.labels(version).set(1)
        self._of_requests: dict[tuple[str, str, int], _Counts] = {}

    def tell(self, request: Request) -> None:
        """See `Witness`."""
        method, kind = request.scope["method"], _kind(request.scope["path"])
        key = (method if method in _METHODS else "other", kind, request.status)
        counts = self._of_requests.get(key)
        if counts is None:
            counts = self._of_requests[key] = self._counts(*key)
        counts.tell(request)

    def close(self) -> None:
        """See `Witness`."""

    def mirrored(self, upstream: str, what: str, number: int) -> None:
        """Something has come of asking an upstream, `number` times: the words are those of `UpstreamState.count`."""
        if what == _BYTES_FETCHED:
            self._fetched.labels(upstream).inc(number)
        else:
            self._mirrored.labels(upstream, what.replace(" ", "_")).inc(number)

    def text(self) -> bytes:
        """All counts, in Prometheus' text format; of all processes that share theirs."""
        directory = os.environ.get(DIRECTORY_VARIABLE)
        if directory is None:
            return generate_latest(self._registry)
        gathered = CollectorRegistry()
        MultiProcessCollector(gathered, directory)  # type: ignore[no-untyped-call]
        return generate_latest(gathered)

    def route(self, readers: Sequence[Network], client: Callable[[Scope], str]) -> Route:
        """`/metrics`, for clients in the networks of `readers`; to all others it is not there."""

        async def read(request: HttpRequest) -> Response:
            if not is_within(client(request.scope), readers):
                return PlainTextResponse("Not Found", 404)
            return Response(self.text(), media_type=CONTENT_TYPE_LATEST)

        return Route("/metrics", read)

    def _counts(self, method: str, kind: str, status: int) -> "_Counts":
        return _Counts(
            self._requests.labels(method, kind, status),
            self._seconds.labels(method, kind),
            self._sent.labels(kind),
            self._received.labels(kind),
        )


class _Counts:
    """Where requests of one sort are counted; kept, since to look it up costs more than to count."""

    __slots__ = ("_received", "_requests", "_seconds", "_sent")

    def __init__(self, requests: Counter, seconds: Histogram, sent: Counter, received: Counter) -> None:
        self._requests = requests
        self._seconds = seconds
        self._sent = sent
        self._received = received

    def tell(self, request: Request) -> None:
        self._requests.inc()
        self._seconds.observe(request.seconds)
        if request.sent:
            self._sent.inc(request.sent)
        if received := request.received_bytes:
            self._received.inc(received)


def _kind(path: str) -> str:
    """What a path of the API asks for, by its last part but one: `/v2/NAME/blobs/DIGEST`, `/v2/NAME/tags/list`."""
    parts = path.rsplit("/", 2)
    kind = parts[1] if len(parts) == 3 else ""
    return kind if kind in _KINDS and path.startswith("/v2/") else "other"
