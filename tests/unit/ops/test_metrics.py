"""What is counted, under which labels, and who may read it."""

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from registry.ops.metrics import Metrics
from registry.ops.requests import Requests
from registry.proxies import networks


def counts(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The value of each sample by its name and the values of its labels, in the order of these."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *(sample.labels[label] for label in sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


def serve(metrics: Metrics, method: str, path: str, *, body: bytes = b"", status: int = 200) -> None:
    """A request passes; it is answered with five bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b"hello"})

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(_: Any) -> None: ...

    scope = {"type": "http", "method": method, "path": path, "headers": [], "state": {}}
    asyncio.run(Requests(app, [metrics], lambda _: "192.0.2.1")(scope, receive, send))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v2/team/app/manifests/latest", "manifests"),
        ("/v2/team/app/blobs/sha256:00", "blobs"),
        ("/v2/team/app/blobs/uploads/", "uploads"),
        ("/v2/team/app/blobs/uploads/1f", "uploads"),
        ("/v2/app/tags/list", "tags"),
        ("/v2/app/referrers/sha256:00", "referrers"),
        ("/v2/blobs/uploads/manifests/latest", "manifests"),
        ("/v2/", "other"),
        ("/v2/_catalog", "other"),
        ("/admin/gc", "other"),
        ("/elsewhere/manifests/x", "other"),
        ("x", "other"),
    ],
)
def test_a_request_is_counted_by_what_it_asks_for(path: str, kind: str) -> None:
    metrics = Metrics("1.0")

    serve(metrics, "GET", path)

    found = counts(metrics)
    assert found["cargohold_requests_total", kind, "GET", "200"] == 1
    assert found["cargohold_request_seconds_count", kind, "GET"] == 1
    assert found["cargohold_sent_bytes_total", kind] == 5


def test_bytes_add_up_and_each_status_is_counted_by_itself() -> None:
    metrics = Metrics("1.0")

    for status in (201, 201, 400):
        serve(metrics, "PUT", "/v2/app/manifests/1", body=b"123", status=status)

    found = counts(metrics)
    assert found["cargohold_requests_total", "manifests", "PUT", "201"] == 2
    assert found["cargohold_requests_total", "manifests", "PUT", "400"] == 1
    assert found["cargohold_received_bytes_total", "manifests"] == 9
    assert found["cargohold_sent_bytes_total", "manifests"] == 15


def test_clients_cannot_invent_labels() -> None:
    metrics = Metrics("1.0")
    serve(metrics, "GET", "/v2/app/manifests/1")
    before = len(counts(metrics))

    for number in range(20):
        serve(metrics, f"X{number}", f"/v2/app{number}/kind{number}/1")
        serve(metrics, "GET", f"/v2/app{number}/manifests/{number}")

    assert len(counts(metrics)) <= before + 16  # one method and one kind more
    assert counts(metrics)["cargohold_requests_total", "other", "other", "200"] == 20


def test_what_comes_of_mirroring_is_counted_by_upstream() -> None:
    metrics = Metrics("1.0")

    metrics.mirrored("hub.example", "stale answers", 1)
    metrics.mirrored("hub.example", "stale answers", 1)
    metrics.mirrored("other.example", "bytes fetched", 4096)

    found = counts(metrics)
    assert found["cargohold_mirror_events_total", "stale_answers", "hub.example"] == 2
    assert found["cargohold_mirror_fetched_bytes_total", "other.example"] == 4096


@pytest.mark.parametrize(
    ("client", "status"),
    [("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("11.1.2.3", 404), ("", 404), ("no address", 404), ("::1", 404)],
)
def test_only_readers_see_that_it_is_there(client: str, status: int) -> None:
    route = Metrics("1.0").route(networks(["10.0.0.0/8"]), lambda _: client)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=Starlette(routes=[route]))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.get("/metrics")

    answer = asyncio.run(ask())

    assert answer.status_code == status
    assert ("cargohold" in answer.text) == (status == 200)
