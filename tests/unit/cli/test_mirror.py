"""`cargohold mirror configure`: what it prints can be read by what it is for."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Cargohold, Ended

_URL = "https://registry.lan:5000"


def configure(cargohold: Cargohold, program: str, *arguments: str, url: str = _URL) -> Ended:
    done = cargohold("mirror", "configure", program, "--url", url, *arguments)
    assert done.code == 0, done.err
    return done


def files(text: str) -> dict[str, str]:
    """The files that a text consists of, by the path in the comment at the head of each."""
    parts = re.split(r"^# (/\S+):$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def hosts_toml(done: Ended, host: str) -> Any:
    return tomllib.loads(files(done.out)[f"/etc/containerd/certs.d/{host}/hosts.toml"])


def test_docker_gets_a_mirror_of_the_hub_and_comments_elsewhere(cargohold: Cargohold) -> None:
    done = configure(cargohold, "docker")

    assert json.loads(done.out) == {"registry-mirrors": [_URL]}
    assert "/etc/docker/daemon.json" in done.err
    assert "systemctl reload docker" in done.err
    assert "mirror.default has to be docker.io" in done.err


def test_docker_is_told_that_plain_http_is_meant(cargohold: Cargohold) -> None:
    done = configure(cargohold, "docker", "--upstream", "docker.io=hub", url="http://10.0.0.5:5000/")

    assert json.loads(done.out) == {
        "registry-mirrors": ["http://10.0.0.5:5000"],
        "insecure-registries": ["10.0.0.5:5000"],
    }
    assert "mirror.default has to be hub" in done.err


@pytest.fixture
def mirroring(tmp_path: Path) -> Path:
    """The settings of a server that mirrors Docker Hub, and a part of quay.io."""
    file = tmp_path / "mirroring.yml"
    sources = [
        {"prefix": "hub", "upstream": "docker.io"},
        {"prefix": "team", "upstream": "quay.io", "namespace": "team", "ns": ["team.lan"]},
    ]
    file.write_text(yaml.safe_dump({"mirror": {"sources": sources, "default": "hub"}}))
    return file


def test_containerd_gets_a_file_for_each_registry(cargohold: Cargohold, mirroring: Path) -> None:
    arguments = ["--config", str(mirroring), "--ca-file", "/ca.pem"]
    done = configure(cargohold, "containerd", *arguments, "--upstream", "docker.io", "--upstream", "quay.io=q")

    assert hosts_toml(done, "docker.io") == {
        "server": "https://registry-1.docker.io",
        "host": {_URL: {"capabilities": ["pull", "resolve"], "ca": "/ca.pem"}},
    }
    assert hosts_toml(done, "quay.io") == {
        "server": "https://quay.io",
        "host": {f"{_URL}/v2/q": {"capabilities": ["pull", "resolve"], "override_path": True, "ca": "/ca.pem"}},
    }
    assert 'config_path = "/etc/containerd/certs.d"' in done.out


def test_without_words_all_that_is_mirrored_is_meant(cargohold: Cargohold, mirroring: Path) -> None:
    done = configure(cargohold, "containerd", "--config", str(mirroring))
    assert {path.split("/")[-2] for path in files(done.out)} == {"docker.io", "team.lan"}

    done = configure(cargohold, "podman", "--config", str(mirroring))
    [text] = files(done.out).values()
    mirrors = {each["prefix"]: each["mirror"][0]["location"] for each in tomllib.loads(text)["registry"]}
    assert mirrors == {"docker.io": "registry.lan:5000/hub", "team.lan": "registry.lan:5000/team"}

    assert "mirror.default has to be hub" in configure(cargohold, "docker", "--config", str(mirroring)).err


def test_where_nothing_is_mirrored_names_are_those_of_bundles(cargohold: Cargohold) -> None:
    done = configure(cargohold, "containerd", "--upstream", "lan:5000")
    assert list(hosts_toml(done, "lan:5000")["host"]) == [f"{_URL}/v2/lan-5000"]

    assert list(hosts_toml(configure(cargohold, "containerd"), "docker.io")["host"]) == [f"{_URL}/v2/docker.io"]


@pytest.mark.parametrize(("program", "reload"), [("podman", "next pull"), ("cri-o", "systemctl reload crio")])
def test_podman_and_cri_o_get_a_mirror_with_the_prefix_in_its_location(
    cargohold: Cargohold, program: str, reload: str
) -> None:
    arguments = ["--upstream", "docker.io=hub", "--upstream", "ghcr.io"]
    done = configure(cargohold, program, *arguments, url="http://registry.lan")

    [text] = files(done.out).values()
    assert tomllib.loads(text) == {
        "registry": [
            {
                "prefix": host,
                "location": host,
                "mirror": [{"location": f"registry.lan/{prefix}", "insecure": True}],
            }
            for host, prefix in [("docker.io", "hub"), ("ghcr.io", "ghcr.io")]
        ]
    }
    assert reload in done.out


def test_k3s_gets_endpoints_and_rewrites(cargohold: Cargohold, mirroring: Path) -> None:
    arguments = ["--config", str(mirroring), "--ca-file", "/ca.pem"]
    done = configure(cargohold, "k3s", *arguments, "--upstream", "docker.io", "--upstream", "quay.io=q")

    assert yaml.safe_load(done.out) == {
        "mirrors": {
            "docker.io": {"endpoint": [_URL]},
            "quay.io": {"endpoint": [_URL], "rewrite": {"^(.*)$": "q/$1"}},
        },
        "configs": {"registry.lan:5000": {"tls": {"ca_file": "/ca.pem"}}},
    }


def test_the_address_of_the_settings_is_used(cargohold: Cargohold, tmp_path: Path) -> None:
    config = tmp_path / "cargohold.yml"
    config.write_text("server: {listen: '127.0.0.1:5001'}\n")
    assert "http://127.0.0.1:5001" in cargohold("mirror", "configure", "k3s", "--config", config).out

    config.write_text("http: {external_url: 'https://registry.example.com'}\n")
    assert "https://registry.example.com" in cargohold("mirror", "configure", "k3s", "--config", config).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["docker", "--url", "registry.lan"], "write http:// or https:// and the host"),
        (["docker", "--url", "https://registry.lan/path"], "without a path"),
        (["docker", "--url", "http://[::1"], "write http:// or https:// and the host"),
        (["docker", "--url", "https://[lan]"], "write http:// or https:// and the host"),
        (["docker", "--url", "https://me:secret@registry.lan"], "write http:// or https:// and the host"),
        (["docker", "--url", "https://registry.lan:99999"], "write http:// or https:// and the host"),
        (["docker", "--url", _URL, "--upstream", "quay.io"], "images of docker.io only"),
        (["podman", "--url", _URL, "--upstream", "a b"], "write HOST or HOST=PREFIX"),
        (["podman", "--url", _URL, "--upstream", "quay.io=/x"], "is not a repository name"),
        (["rkt"], "'rkt' is not one of"),
    ],
)
def test_wrong_arguments_are_named(cargohold: Cargohold, arguments: list[str], message: str) -> None:
    done = cargohold("mirror", "configure", *arguments)

    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_without_an_address_that_clients_can_reach_it_asks(cargohold: Cargohold, tmp_path: Path) -> None:
    config = tmp_path / "cargohold.yml"
    for listen in ("0.0.0.0:5000", "unix:/x"):
        config.write_text(f"server: {{listen: '{listen}'}}\n")
        assert "--url https://registry.example.com" in cargohold("mirror", "configure", "k3s", "-c", config).err
