"""What we say of images in a registry, beside what docker says of the same images once it has pulled them."""

import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry.cli.main import run
from tests.clients.docker_engine import DockerEngine
from tests.clients.registry_view import RegistryView
from tests.images import DOCKER_LAYER, Image, artifact, image, index, random_image, random_layer
from tests.programs import need

Ours = Callable[..., str]


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ours:
    """Run `cargohold ARGUMENTS` in this process, and give what it prints; it has to end with `code`."""

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["cargohold", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        assert "--format: " in printed.err if code else "cargohold: " not in printed.err  # there may be progress
        return printed.out

    return call


def rich_image(seed: int) -> Image:
    """An image with all that docker shows of one."""
    layers = [random_layer(size, seed + size, DOCKER_LAYER) for size in (30_000, 50_000)]
    run = {
        "Labels": {"stage": "prod", "empty": "", "words": "a b=c"},
        "Entrypoint": ["/entry", "--x"],
        "Env": ["PATH=/bin", "A=1=2"],
        "User": "1000:1000",
        "WorkingDir": "/work",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
    }
    history: list[Mapping[str, object]] = [
        {"created": "2023-05-01T10:00:00Z", "created_by": "ADD file:" + "0" * 64 + " in / ", "comment": "base"},
        {"created": "2023-05-02T10:00:00Z", "created_by": "ENV A=1=2", "empty_layer": True},
        {"created": "2023-05-03T10:00:00.5Z", "created_by": "RUN /bin/sh -c make\tall", "comment": "buildkit"},
        {"created": "2023-05-03T10:00:00.5Z", "created_by": "ENTRYPOINT [/entry]", "empty_layer": True},
    ]
    return image(layers, docker=True, command=["run"], run=run, created="2023-05-03T10:00:00.5Z", history=history)


@dataclass(frozen=True)
class Pulled:
    """An image that is in the registry and, pulled from there, in the engine: under `name`, with the tag 1.0."""

    name: str
    image: Image


@pytest.fixture(scope="module")
def pulled(docker: DockerEngine, registry_address: str, session_salt: str) -> Iterator[Pulled]:
    """One image for all tests that only look at it."""
    found = rich_image(zlib.crc32(session_salt.encode()))
    repository = f"clients/looking-{session_salt}"
    with closing(RegistryView(registry_address)) as registry:
        registry.push(repository, "1.0", found)
    name = f"{registry_address}/{repository}"
    docker("pull", f"{name}:1.0")
    yield Pulled(name, found)
    docker.forget(found.config.digest)


def rows(text: str) -> list[list[str]]:
    """The lines of a table, word by word, without the sizes: docker's are those of unpacked layers."""
    return [
        [word for word in line.split() if not word[0].isdigit() or not word.endswith("B")] for line in text.splitlines()
    ]


def test_images_says_what_docker_images_says(docker: DockerEngine, ours: Ours, pulled: Pulled) -> None:
    for arguments in ([], ["--no-trunc"], ["-q"], ["-q", "--no-trunc"]):
        assert rows(ours("images", pulled.name, *arguments)) == rows(docker("images", pulled.name, *arguments).out)
    # with a reference the engine forgets the digest
    [theirs] = [row for row in rows(docker("images", "--digests").out) if row[0] == pulled.name]
    assert rows(ours("images", pulled.name, "--digests"))[1] == theirs


@pytest.mark.parametrize(
    "template",
    [
        "{{.Repository}}:{{.Tag}}@{{.Digest}} {{.ID}}",
        r"table {{.ID}}\t{{.Repository}}\t{{.CreatedSince}}",
        "table {{.Tag}}",
        "{{.CreatedAt}} {{.CreatedSince}}",
        "{{json .Repository}} {{upper .Tag}} {{truncate .ID 5}}",
        "{{if eq .Tag `1.0`}}{{printf `%-8s|` .Tag}}{{end}}",
        "{{range $i, $e := split .Repository `/`}}{{if $i}} {{end}}{{$i}}={{$e}}{{end}}",
    ],
)
def test_a_template_of_images_gives_the_same(docker: DockerEngine, ours: Ours, pulled: Pulled, template: str) -> None:
    arguments = ("images", pulled.name, "--format", template)

    assert ours(*arguments) == docker(*arguments).out


@pytest.mark.parametrize(
    ("one", "filter_"),
    [
        (True, "label=stage"),
        (True, "label=stage=prod"),
        (False, "label=stage=test"),
        (False, "label=prod"),
        (True, "label=words=a b=c"),
        (True, "dangling=false"),
        (True, "reference=*/clients/*"),
        (True, "reference=*/*/*:1.*"),
        (False, "reference=*/*/*:2.*"),
        (False, "reference=*"),
        (True, "reference=*/clients/l[a-p]oking-[^g-z]*"),
        (False, "reference=clients/nope*"),
    ],
)
def test_a_filter_of_images_takes_the_same(
    docker: DockerEngine, ours: Ours, registry: RegistryView, pulled: Pulled, one: bool, filter_: str
) -> None:
    # of the whole registry, which may hold much, only where a name would be one more reference that fits
    whole = filter_.startswith("reference=")
    arguments = ("--filter", filter_, "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")

    found = ours("images", *(("--url", registry.address) if whole else (pulled.name,)), *arguments).splitlines()
    theirs = docker("images", *(() if whole else (pulled.name,)), *arguments).out.splitlines()

    assert [line for line in found if line.startswith(pulled.name)] == [
        line for line in theirs if line.startswith(pulled.name)
    ]
    assert any(line.startswith(f"{pulled.name}:1.0 ") for line in found) is one


def test_before_and_since_take_the_same(
    docker: DockerEngine, ours: Ours, registry: RegistryView, repository: str, seed: int
) -> None:
    name = f"{registry.address}/{repository}"
    for year in (2023, 2024):
        made = image([random_layer(100, seed)], docker=True, created=f"{year}-05-03T10:00:00Z")
        registry.push(repository, str(year), made)
        docker("pull", f"{name}:{year}")

    for filters in ([f"before={name}:2024"], [f"since={name}:2023"], [f"before={name}:2023"], []):
        arguments = ("images", name, "--format", "{{.Tag}}", *(word for text in filters for word in ("--filter", text)))
        assert ours(*arguments) == docker(*arguments).out
    docker.forget(f"{name}:2023", f"{name}:2024")


def test_inspect_says_what_docker_inspect_says(docker: DockerEngine, ours: Ours, pulled: Pulled) -> None:
    [found] = json.loads(ours("inspect", f"{pulled.name}:1.0"))
    [theirs] = json.loads(docker("inspect", f"{pulled.name}:1.0").out)

    for member in ("Id", "RepoTags", "RepoDigests", "Created", "Author", "Comment", "Architecture", "Os", "RootFS"):
        assert found[member] == theirs[member], member
    # docker adds what an engine alone knows, all of it empty
    for member, value in found["Config"].items():
        assert value == theirs["Config"][member], member
    assert not [value for member, value in theirs["Config"].items() if member not in found["Config"] and value]


@pytest.mark.parametrize(
    "template",
    [
        "{{.Id}} {{.Os}}/{{.Architecture}}",
        "{{json .Config.Labels}}",
        "{{.Config.Labels.stage}} {{.Config.Labels.nope}}",
        '{{index .Config.Labels "words"}} {{index .Config.Labels "nope"}}.',
        "{{index .RepoDigests 0}} {{.RepoTags}}",
        "{{range .RootFS.Layers}}{{println .}}{{end}}",
        "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
        "{{json .Config.Entrypoint}} {{.Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}}",
        "{{json .Config.ExposedPorts}} {{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}",
        '{{join .Config.Env ","}} {{len .Config.Env}} {{.Config.StopSignal}}',
        r"{{.Created}}\t{{.Author}}\n",
        "{{with .Config.Entrypoint}}{{index . 0}}{{else}}none{{end}}",
        "{{if and .Config.Cmd (gt (len .RootFS.Layers) 1)}}{{.RootFS.Type}}{{end}}",
    ],
)
def test_a_template_of_inspect_gives_the_same(docker: DockerEngine, ours: Ours, pulled: Pulled, template: str) -> None:
    arguments = ("inspect", "--format", template, f"{pulled.name}:1.0")

    assert ours(*arguments) == docker(*arguments).out


def test_history_says_what_docker_history_says(docker: DockerEngine, ours: Ours, pulled: Pulled) -> None:
    name = f"{pulled.name}:1.0"

    for arguments in ([], ["--no-trunc"], ["-q"]):
        assert rows(ours("history", name, *arguments)) == rows(docker("history", name, *arguments).out)
    for field in ("ID", "CreatedSince", "CreatedAt", "CreatedBy", "Comment"):
        form = ("--format", f"{{{{.{field}}}}}")
        assert ours("history", name, *form) == docker("history", name, *form).out
    # the engine shows unpacked layers: which steps have made one, and where, is the same
    sizes = ours("history", name, "--no-human", "--format", "{{.Size}}").split()
    theirs = docker("history", name, "--human=false", "--format", "{{.Size}}").out.split()
    assert [size == "0" for size in sizes] == [size == "0" for size in theirs]
    assert [size for size in sizes if size != "0"] == [str(len(layer.data)) for layer in reversed(pulled.image.layers)]


def test_the_sizes_of_layers_are_those_of_docker_manifest_inspect(
    docker: DockerEngine, ours: Ours, pulled: Pulled
) -> None:
    theirs = json.loads(docker("manifest", "inspect", "--insecure", f"{pulled.name}:1.0").out)

    [found] = json.loads(ours("inspect", f"{pulled.name}:1.0"))

    assert found["Layers"] == theirs["layers"]
    assert found["Size"] == sum(layer["size"] for layer in theirs["layers"])
    assert found["Id"] == theirs["config"]["digest"]


def test_an_image_that_docker_has_built_is_shown_as_docker_shows_it(
    docker: DockerEngine, ours: Ours, registry: RegistryView, repository: str, seed: int, tmp_path: Path
) -> None:
    name = f"{registry.address}/{repository}:built"
    shutil.copy(need("busybox"), tmp_path / "busybox")
    (tmp_path / "Dockerfile").write_text(
        f"""\
FROM scratch
LABEL maintainer="somebody" seed="{seed}"
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo {seed} > /made"]
ENV A=b
ENTRYPOINT ["/bin/busybox"]
CMD ["true"]
"""
    )
    docker("build", "--network", "none", "--no-cache", "--tag", name, tmp_path)
    docker("push", name)
    docker.forget(name)
    docker("pull", name)

    [found] = json.loads(ours("inspect", name))
    [theirs] = json.loads(docker("inspect", name).out)

    for member in ("Id", "RepoTags", "RepoDigests", "Created", "DockerVersion", "Architecture", "Os", "RootFS"):
        assert found[member] == theirs[member], member
    for member in ("Entrypoint", "Cmd", "Env", "Labels"):
        assert found["Config"][member] == theirs["Config"][member], member
    form = ("--no-trunc", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.CreatedAt}}")
    assert ours("images", name, *form) == docker("images", name, *form).out
    form = ("--no-trunc", "--format", "{{.ID}} {{.CreatedAt}} {{.CreatedBy}}")
    assert ours("history", name, *form) == docker("history", name, *form).out
    docker.forget(name)


def test_of_an_index_docker_pulls_what_we_show(
    docker: DockerEngine, ours: Ours, registry: RegistryView, repository: str, seed: int
) -> None:
    images = [
        random_image(seed + n, docker=True, architecture=name) for n, name in enumerate(("s390x", "amd64", "arm64"))
    ]
    registry.push(repository, "multi", index(images, docker=True))
    name = f"{registry.address}/{repository}:multi"

    for platform in ([], ["--platform", "linux/arm64"]):
        docker("pull", *platform, name)
        assert ours("images", name, *platform, "-q", "--no-trunc").strip() == docker.image_id(name)
        assert rows(ours("images", name, *platform)) == rows(docker("images", name).out)
    docker.forget(*(each.config.digest for each in images[1:]))


def test_another_name_is_pulled_as_the_same_image_and_goes_again(
    docker: DockerEngine, ours: Ours, registry: RegistryView, repository: str, seed: int
) -> None:
    one = rich_image(seed)
    registry.push(repository, "1", one)
    name = f"{registry.address}/{repository}"

    ours("tag", f"{name}:1", f"{name}:stable")
    ours("tag", f"{name}:1", f"{name}/elsewhere")
    for other in (f"{name}:stable", f"{name}/elsewhere"):
        docker("pull", other)
        assert docker.image_id(other) == one.config.digest
        docker.forget(one.config.digest)
    registry.assert_holds(f"{repository}/elsewhere", "latest", one)

    assert ours("rmi", f"{name}:stable", "--no-prune") == f"Untagged: {name}:stable\n"
    docker("pull", f"{name}:1")
    docker.forget(one.config.digest)
    assert ours("rmi", f"{name}:1") == f"Untagged: {name}:1\nDeleted: {name}@{one.manifest.digest}\n"
    for gone in (f"{name}:stable", f"{name}:1", f"{name}@{one.manifest.digest}"):
        assert "not found" in docker("pull", gone, fails=True).text


def test_referrers_are_those_that_oras_discovers(
    ours: Ours, registry: RegistryView, repository: str, seed: int
) -> None:
    oras = need("oras")
    one = random_image(seed)
    sbom = artifact(b"sbom %d" % seed, "application/spdx+json", subject=one.manifest)
    signature = artifact(b"signature %d" % seed, "application/vnd.example.signature", subject=sbom.manifest)
    registry.push(repository, "1", one)
    for each in (sbom, signature):
        registry.push(repository, each.manifest.digest, each)
    name = f"{registry.address}/{repository}:1"

    found = json.loads(ours("referrers", name, "--json"))
    done = subprocess.run(
        [oras, "discover", "--plain-http", "--format", "json", name], capture_output=True, text=True, check=True
    )

    theirs = json.loads(done.stdout)
    assert digests(found) == {sbom.manifest.digest: {signature.manifest.digest: {}}}
    assert [each["digest"] for each in theirs.get("referrers") or theirs["manifests"]] == [sbom.manifest.digest]


def digests(tree: dict[str, Any]) -> dict[str, Any]:
    return {each["digest"]: digests(each) for each in tree["referrers"]}


def test_a_template_of_what_an_image_leaves_out_gives_the_same(
    docker: DockerEngine, ours: Ours, registry: RegistryView, repository: str, seed: int
) -> None:
    bare = image([random_layer(100, seed, DOCKER_LAYER)], docker=True, run={"Env": None}, history=[])
    registry.push(repository, "1", bare)
    name = f"{registry.address}/{repository}:1"
    docker("pull", name)

    for member in ("Labels", "Env", "Cmd", "Entrypoint", "Volumes", "User", "WorkingDir"):
        arguments = ("inspect", "--format", f"{{{{.Config.{member}}}}} {{{{json .Config.{member}}}}}", name)
        assert ours(*arguments) == docker(*arguments).out, member
    docker.forget(bare.config.digest)


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{", 2),
        ("{{.Nope}}", 2),
        ("{{nope .Id}}", 2),
        ("{{if .Id}}", 2),
        ("{{end}}", 2),
        ("{{.Config.Nope}}", 2),
        ("{{index .RepoDigests 5}}", 1),
    ],
)
def test_a_template_that_docker_refuses_is_refused(
    docker: DockerEngine, ours: Ours, pulled: Pulled, template: str, code: int
) -> None:
    arguments = ("inspect", "--format", template, f"{pulled.name}:1.0")

    docker(*arguments, fails=True)

    assert ours(*arguments, code=code) == ""
