"""A registry moves from a directory to a bucket and back; a bucket that Docker's registry wrote is served in place."""

import asyncio
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from registry.cleanup import inventory
from registry.content import keyspace
from storage_backends.filesystem import FilesystemBackend
from tests.buckets.gateway import Gateway
from tests.buckets.proxy import Proxy
from tests.buckets.replicas import bucket_settings
from tests.images import Image, random_image
from tests.live_server import LiveServer, ReservedPort, cargohold_command, live_server
from tests.programs import need
from tests.wire.repository import Repository
from tests.wire.wire import Wire


def _section(settings: Mapping[str, str]) -> dict[str, object]:
    """The same settings as a settings file has them."""
    values = {name.removeprefix("CARGOHOLD_STORAGE__S3__").lower(): value for name, value in settings.items()}
    return {"storage": {"s3": values}}


def _copy(*arguments: str | Path) -> dict[str, object]:
    command = [*cargohold_command(), "storage", "copy", *map(str, arguments), "--json", "--verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _pushed(root: Path, name: str) -> list[float]:
    """When the images of a repository were pushed."""
    backend = FilesystemBackend(root, scratch=keyspace.SCRATCH)
    return [image.pushed for image in asyncio.run(inventory.read(backend, name)).images.values()]


@pytest.mark.timeout(120)
def test_a_registry_moves_to_a_bucket_and_back(gateway: Gateway, proxy: Proxy, bucket: str, tmp_path: Path) -> None:
    settings = bucket_settings(gateway, proxy.endpoint, bucket)
    file = tmp_path / "bucket.yml"
    file.write_text(yaml.safe_dump(_section(settings)))
    images = [random_image(seed=number, layer_size=3_000_000) for number in range(3)]
    for name in ("first", "bucket", "second"):
        (tmp_path / name).mkdir()
    with live_server(tmp_path / "first") as server:
        for number, image in enumerate(images):
            Repository(Wire(server.url), f"team/app-{number}").push("latest", image)

    copied = _copy(tmp_path / "first" / "data", file)
    assert copied["copied"] == copied["objects"]
    with live_server(tmp_path / "bucket", environment=settings) as server:
        for number, image in enumerate(images):
            Repository(Wire(server.url), f"team/app-{number}").assert_holds("latest", image)
        Repository(Wire(server.url), "team/new").push("latest", images[0])
    assert _copy(tmp_path / "first" / "data", file)["copied"] == 0

    _copy(file, tmp_path / "second" / "data")
    times = [[_pushed(tmp_path / place / "data", f"team/app-{n}") for n in range(3)] for place in ("first", "second")]
    assert times[0] == times[1]
    with live_server(tmp_path / "second") as server:
        for number, image in enumerate(images):
            Repository(Wire(server.url), f"team/app-{number}").assert_holds("latest", image)
        Repository(Wire(server.url), "team/new").assert_holds("latest", images[0])


@pytest.mark.timeout(120)
def test_a_bucket_of_dockers_registry_is_served_in_place_and_handed_back(
    gateway: Gateway, proxy: Proxy, bucket: str, tmp_path: Path
) -> None:
    ours, theirs = random_image(seed=1, layer_size=3_000_000), random_image(seed=2, layer_size=12_000_000)
    old = _DockerRegistry(tmp_path, gateway, proxy, bucket)
    old.start()
    try:
        Repository(Wire(old.url), "team/theirs").push("latest", theirs)
        with live_server(tmp_path, environment=bucket_settings(gateway, proxy.endpoint, bucket)) as server:
            Repository(Wire(server.url), "team/theirs").assert_holds("latest", theirs)
            Repository(Wire(server.url), "team/ours").push("v1", ours)
            Repository(Wire(server.url), "team/theirs").push("second", ours)
            names = json.loads(Wire(server.url).call("GET", "/v2/_catalog").body)["repositories"]
            assert names == ["team/ours", "team/theirs"]
        for name, tag in (("team/ours", "v1"), ("team/theirs", "second")):
            old.assert_holds(name, tag, ours)
    finally:
        old.stop()


class _DockerRegistry:
    """Debian's docker-registry over the same part of the bucket."""

    def __init__(self, directory: Path, gateway: Gateway, proxy: Proxy, bucket: str) -> None:
        self._port = ReservedPort()
        self._program = need("docker-registry")
        self._log = directory / "docker-registry.log"
        self._file = directory / "docker-registry.yml"
        self._file.write_text(
            yaml.safe_dump(
                {
                    "version": 0.1,
                    "http": {"addr": f"127.0.0.1:{self._port.number}", "secret": "test"},
                    "storage": {
                        "redirect": {"disable": True},
                        "s3": {
                            "accesskey": gateway.access_key,
                            "secretkey": gateway.secret_key,
                            "region": "us-east-1",
                            "regionendpoint": proxy.endpoint,
                            "bucket": bucket,
                            "rootdirectory": "/a/part",
                            "secure": False,
                            "v4auth": True,
                        },
                    },
                }
            )
        )
        self.url = f"http://127.0.0.1:{self._port.number}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "serve", str(self._file)], stdout=log, stderr=log, env={})
        waiting = LiveServer(self._file.parent, self._port.number, self._log, process=self._process)
        waiting.wait_ready()

    def assert_holds(self, name: str, tag: str, value: Image) -> None:
        """Fail unless it serves the image whole: it gives an OCI manifest only to those who ask for one."""
        repository = Repository(Wire(self.url), name)
        headers = {"Accept": value.manifest.media_type}
        assert repository.call("GET", f"manifests/{tag}", headers=headers).body == value.manifest.data
        for content in (value.config, *value.layers):
            assert repository.call("GET", f"blobs/{content.digest}").body == content.data

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._port.close()
