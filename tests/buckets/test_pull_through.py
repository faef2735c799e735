"""Replicas over one bucket that mirror a registry elsewhere."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.buckets.replicas import COUNTED, three_replicas
from tests.counting_proxy import Fault, counting_proxy
from tests.images import random_image
from tests.wire.old_registry import old_registry
from tests.wire.repository import Repository
from tests.wire.wire import Wire

IMAGE = random_image(11, layers=2, layer_size=9 * 1024 * 1024)
"""Layers of more than one part of an upload."""


def test_three_replicas_fetch_each_blob_once_through_a_broken_line(tmp_path: Path, settings: Mapping[str, str]) -> None:
    with (
        old_registry(tmp_path / "upstream", tmp_path / "scratch") as view,
        counting_proxy(int(view.http.base_url.port or 0)) as proxy,
    ):
        Repository(Wire(str(view.http.base_url)), "team/app").push("v1", IMAGE)
        proxy.fail(Fault(f"GET .*{IMAGE.layers[0].digest}", cut=1024 * 1024))
        file = tmp_path / "cargohold.yml"
        mirror = {"patience_seconds": 60, "sources": [{"prefix": "hub", "upstream": proxy.address}]}
        file.write_text(yaml.safe_dump({"mirror": mirror}))
        patient = {**settings, **COUNTED, "CARGOHOLD_CONFIG": str(file)}  # so that a slow machine asks nothing twice
        with three_replicas(tmp_path, patient) as replicas:
            here = Repository(Wire(replicas.url), "hub/team/app")

            with ThreadPoolExecutor(20) as clients:
                for done in [clients.submit(here.assert_holds, "v1", IMAGE) for _ in range(20)]:
                    done.result()

            fetched = {text: number for text, number in proxy.requests().items() if "GET" in text and "/blobs/" in text}
            assert set(fetched) == {f"GET /v2/team/app/blobs/{blob.digest}" for blob in IMAGE.blobs}
            assert sum(fetched.values()) == len(IMAGE.blobs) + 1, "one was cut and asked for again"
            proxy.close()
            for server in replicas.servers:
                Repository(Wire(server.url), "hub/team/app").assert_holds("v1", IMAGE)
