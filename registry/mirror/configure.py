"""What container programs have to be told so that they ask this registry first: the text of their files. Pure.

Sources: dockerd's daemon.json; containerd docs/hosts.md; containers-registries.conf(5); K3s, "Private Registry
Configuration".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from registry.content.image_references import DOCKER_HUB
from registry.mirror.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A registry elsewhere by its `host`, and the beginning of the names that its repositories have here. `by_name` if
    clients have to ask for these names: this registry cannot tell from `?ns=` what is meant.
    """

    host: str
    prefix: str
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """This registry as clients reach it: `url` without a slash at its end, and the file with its authority, if any."""

    url: str
    ca_file: str = ""

    @property
    def host(self) -> str:
        """`HOST[:PORT]`."""
        return urlsplit(self.url).netloc

    @property
    def is_plain(self) -> bool:
        """True if it is reached without encryption."""
        return urlsplit(self.url).scheme == "http"


@dataclass(frozen=True, slots=True)
class Snippet:
    """What belongs into the file `path`, and what people should know, such as how it takes effect."""

    path: str
    text: str
    hints: Sequence[str]


def docker(server: Server, mirrored: Sequence[Mirrored]) -> list[Snippet]:
    """The docker engine: it knows mirrors of Docker Hub alone, and asks them for `library/alpine`."""
    hub = next((one for one in mirrored if one.host == DOCKER_HUB), None)
    if hub is None:
        raise ValueError(f"docker asks mirrors for images of {DOCKER_HUB} only, and that is not among them")
    document: dict[str, object] = {"registry-mirrors": [server.url]}
    if server.is_plain:
        document["insecure-registries"] = [server.host]
    hints = [
        "docker asks mirrors for images of Docker Hub only; name others as they are called here, such as "
        f"{server.host}/{_other(mirrored)}",
        f"here mirror.default has to be {hub.prefix}: docker asks for library/alpine and means {hub.prefix}/…",
        "merge it into what stands there, then: systemctl reload docker",
    ]
    if server.ca_file:
        hints.append(f"copy {server.ca_file} to /etc/docker/certs.d/{server.host}/ca.crt")
    return [Snippet("/etc/docker/daemon.json", f"{json.dumps(document, indent=2)}\n", hints)]


def containerd(server: Server, mirrored: Sequence[Mirrored]) -> list[Snippet]:
    """containerd: a file for each registry."""
    hints = [
        'containerd\'s config.toml has to name the directory: config_path = "/etc/containerd/certs.d", below',
        "  [plugins.'io.containerd.cri.v1.images'.registry] (2.x), or",
        '  [plugins."io.containerd.grpc.v1.cri".registry] (1.x); after changing that: systemctl restart containerd',
        "the file itself is read at the next pull",
    ]
    return [
        Snippet(f"/etc/containerd/certs.d/{one.host}/hosts.toml", _hosts_toml(server, one), hints) for one in mirrored
    ]


def podman(server: Server, mirrored: Sequence[Mirrored]) -> list[Snippet]:
    """podman, buildah and skopeo."""
    return [_registries_conf(server, mirrored, ["it counts from the next pull on"])]


def crio(server: Server, mirrored: Sequence[Mirrored]) -> list[Snippet]:
    """CRI-O: the same file as podman's."""
    return [_registries_conf(server, mirrored, ["then: systemctl reload crio"])]


def k3s(server: Server, mirrored: Sequence[Mirrored]) -> list[Snippet]:
    """K3s and RKE2, on every node."""
    lines = ["mirrors:"]
    for one in mirrored:
        lines += [f"  {_quoted(one.host)}:", "    endpoint:", f"      - {_quoted(server.url)}"]
        if one.by_name:
            lines += ["    rewrite:", f'      "^(.*)$": {_quoted(f"{one.prefix}/$1")}']
    if server.ca_file:
        lines += ["configs:", f"  {_quoted(server.host)}:", "    tls:", f"      ca_file: {_quoted(server.ca_file)}"]
    hints = ["on every node; then: systemctl restart k3s (or k3s-agent)"]
    return [Snippet("/etc/rancher/k3s/registries.yaml", "\n".join(lines) + "\n", hints)]


PROGRAMS: Mapping[str, Callable[[Server, Sequence[Mirrored]], list[Snippet]]] = {
    "docker": docker,
    "containerd": containerd,
    "podman": podman,
    "cri-o": crio,
    "k3s": k3s,
}


def _hosts_toml(server: Server, one: Mirrored) -> str:
    url = f"{server.url}/v2/{one.prefix}" if one.by_name else server.url
    lines = [f"server = {_quoted(Endpoint.parse(one.host).url)}", "", f"[host.{_quoted(url)}]"]
    lines.append('  capabilities = ["pull", "resolve"]')
    if one.by_name:
        lines.append("  override_path = true")
    if server.ca_file:
        lines.append(f"  ca = {_quoted(server.ca_file)}")
    return "\n".join(lines) + "\n"


def _registries_conf(server: Server, mirrored: Sequence[Mirrored], hints: Sequence[str]) -> Snippet:
    lines: list[str] = []
    for one in mirrored:
        lines += ["[[registry]]", f"prefix = {_quoted(one.host)}", f"location = {_quoted(one.host)}"]
        lines += ["", "[[registry.mirror]]", f"location = {_quoted(f'{server.host}/{one.prefix}')}"]
        if server.is_plain:
            lines.append("insecure = true")
        lines.append("")
    more = [f"copy {server.ca_file} to /etc/containers/certs.d/{server.host}/ca.crt"] if server.ca_file else []
    return Snippet("/etc/containers/registries.conf.d/50-cargohold.conf", "\n".join(lines), [*hints, *more])


def _other(mirrored: Sequence[Mirrored]) -> str:
    other = next((one.prefix for one in mirrored if one.host != DOCKER_HUB), "quay.io")
    return f"{other}/team/app"


def _quoted(text: str) -> str:
    """A string of TOML and of YAML."""
    return json.dumps(text)
