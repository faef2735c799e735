"""What is damaged in a bucket is found, named and taken away."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.buckets.gateway import Gateway
from tests.images import random_image
from tests.live_server import cargohold_command, live_server
from tests.wire.repository import Repository
from tests.wire.wire import Wire


def _cargohold(settings: Mapping[str, str], *arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        [*cargohold_command(), *arguments, "--json"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _blob(digest: str) -> str:
    encoded = digest.partition(":")[2]
    return f"a/part/docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"


def test_bytes_that_rot_below_the_server_are_found_although_their_entity_tag_stays(
    gateway: Gateway, bucket: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    image = random_image(seed=1, layer_size=2_000_000)
    layer = image.layers[0].digest
    with live_server(tmp_path, environment=settings) as server:
        repository = Repository(Wire(server.url), "team/app")
        repository.push("latest", image)
        tag = gateway.client().head_object(Bucket=bucket, Key=_blob(layer))["ETag"]
        with gateway.file(bucket, _blob(layer)).open("r+b") as file:
            file.seek(100)
            file.write(b"rotten")
        assert gateway.client().head_object(Bucket=bucket, Key=_blob(layer))["ETag"] == tag

        code, found = _cargohold(settings, "scrub", "--quiet")

        assert (code, found["blobs"]) == (1, 4)
        [damage] = found["damaged"]
        assert (damage["digest"], damage["state"]) == (layer, "quarantined")
        assert damage["images"] == [f"team/app:latest@{image.manifest.digest}"]
        assert repository.call("HEAD", f"blobs/{layer}").status == 404
        repository.push("latest", image)
        repository.assert_holds("latest", image)
        assert _cargohold(settings, "scrub", "--quiet")[0] == 0


def test_an_empty_link_in_a_bucket_is_written_again(
    gateway: Gateway, bucket: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    image = random_image(seed=1)
    with live_server(tmp_path, environment=settings) as server:
        repository = Repository(Wire(server.url), "team/app")
        repository.push("latest", image)
        client = gateway.client()
        prefix = "a/part/docker/registry/v2/repositories/"
        links = [each["Key"] for each in client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
        for key in links:
            client.put_object(Bucket=bucket, Key=key, Body=b"")
        assert repository.call("HEAD", "manifests/latest").status == 404

        assert _cargohold(settings, "fsck", "--quiet")[0] == 1
        code, found = _cargohold(settings, "fsck", "--quiet", "--repair")

        assert (code, len(found["findings"])) == (0, len(links))
        repository.assert_holds("latest", image)
