"""`cargohold mirror …`: how container programs learn to ask this registry first."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.settings_options import ConfigOption, settings_as_written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from registry.mirror.configure import Mirrored, Snippet

app = typer.Typer(help="Let container programs ask this registry for images of others.", no_args_is_help=True)
Program = Literal["docker", "containerd", "podman", "cri-o", "k3s"]


@app.command()
def configure(
    program: Annotated[Program, typer.Argument(help="What runs the containers.")],
    config: ConfigOption = None,
    url: Annotated[
        str,
        typer.Option("--url", metavar="URL", help="How clients reach this registry.", show_default="http.external_url"),
    ] = "",
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="HOST[=PREFIX]",
            help="A registry whose images are here, and how their names begin here; may be repeated.",
            show_default="mirror.sources",
        ),
    ] = None,
    ca_file: Annotated[
        str, typer.Option("--ca-file", metavar="FILE", help="Where the client has this registry's authority (PEM).")
    ] = "",
) -> None:
    """Print what a container program needs in its configuration to ask this registry first, and go on as before.

    Names of images stay what they are: docker.io/library/alpine comes from here if it is here, be it mirrored or
    brought by a bundle. Comments say where the text goes and how it takes effect; for docker, whose JSON has none, they
    go to stderr.

    \b
    Examples:
      cargohold mirror configure containerd --config cargohold.yml
      cargohold mirror configure docker --url https://registry.lan
      cargohold mirror configure podman --url http://10.0.0.5:5000 --upstream docker.io=hub --upstream quay.io
      cargohold mirror configure k3s --url https://registry.lan --ca-file /etc/ssl/registry.pem
    """
    from registry.mirror.configure import PROGRAMS, Server  # noqa: PLC0415  # start-up time

    settings = settings_as_written(config)
    server = Server(_url(settings, url), ca_file)
    mirrored = [_given(settings, text) for text in upstream] if upstream else _of_settings(settings)
    try:
        snippets = PROGRAMS[program](server, mirrored)
    except ValueError as error:
        raise Failure(str(error), MISUSED) from error
    _print(snippets, comments=program != "docker")


def _url(settings: "Settings", given: str) -> str:
    """How clients reach this registry. Raises `Failure`."""
    from urllib.parse import urlsplit  # noqa: PLC0415  # start-up time

    from config.addresses import TcpAddress  # noqa: PLC0415
    from registry.content.image_references import is_host  # noqa: PLC0415

    url = (given or settings.http.external_url).rstrip("/")
    if not url:
        address = settings.server.address
        if not isinstance(address, TcpAddress) or address.host in ("0.0.0.0", "::"):  # noqa: S104  # nobody binds it
            raise Failure("say how clients reach this registry: --url https://registry.example.com", MISUSED)
        url = f"{'https' if settings.server.tls.certificate else 'http'}://{address}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and is_host(parts.netloc) and not parts.path and not parts.query
        usable = usable and parts.port != 0  # raises for one that cannot be
    except ValueError:
        usable = False
    if not usable:
        shown = url.rpartition("@")[2]
        raise Failure(f"--url {shown}: write http:// or https:// and the host, without a path", MISUSED)
    return url


def _given(settings: "Settings", text: str) -> "Mirrored":
    """What `--upstream` says. Raises `Failure`."""
    from registry.content.errors import NameInvalid  # noqa: PLC0415  # start-up time
    from registry.content.image_references import host_in_name, is_host  # noqa: PLC0415
    from registry.content.names import RepositoryName  # noqa: PLC0415
    from registry.mirror.configure import Mirrored  # noqa: PLC0415

    host, equals, prefix = text.partition("=")
    if not is_host(host):
        raise Failure(f"--upstream {text}: write HOST or HOST=PREFIX, such as docker.io=hub", MISUSED)
    known = next((one for one in _of_settings(settings) if one.host == host), None)
    if known is not None and not equals:
        return known
    try:
        return Mirrored(host, RepositoryName.parse(prefix if equals else host_in_name(host)), by_name=True)
    except NameInvalid as error:
        raise Failure(f"--upstream {text}: {error.message}", MISUSED) from error


def _of_settings(settings: "Settings") -> "list[Mirrored]":
    """What the settings mirror; where they mirror nothing, what a bundle brings of Docker Hub."""
    from registry.app_mirror import mirror_names  # noqa: PLC0415  # start-up time
    from registry.content.image_references import DOCKER_HUB  # noqa: PLC0415
    from registry.mirror.configure import Mirrored  # noqa: PLC0415
    from registry.mirror.endpoints import Endpoint  # noqa: PLC0415

    hosts: dict[str, str] = {}
    for name, prefix in mirror_names(settings).by_namespace.items():
        hosts.setdefault(Endpoint.parse(name).host, prefix)
    if not hosts:
        return [Mirrored(DOCKER_HUB, DOCKER_HUB, by_name=True)]
    return [Mirrored(host, prefix) for host, prefix in hosts.items()]


def _print(snippets: "Sequence[Snippet]", *, comments: bool) -> None:
    for snippet in snippets:
        lines = [f"{snippet.path}:", *snippet.hints]
        if comments:
            output.result("".join(f"# {line}\n" for line in lines) + snippet.text)
        else:
            output.note("\n".join(lines))
            output.result(snippet.text)
