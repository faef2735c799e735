"""What `cargohold sync` is told to bring: sources on the command line, lists of images, files of skopeo, settings.

Makes copies of it, as the settings hold them; must not know how they are done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.cli.failure import MISUSED, Failure
from registry.cli.image_list import read_list
from registry.cli.settings_options import refused

if TYPE_CHECKING:
    from config.settings import Settings
    from config.sync import CopySettings
    from config.upstreams import UpstreamSettings


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options say of every source on the command line."""

    target: str = ""
    tags: Sequence[str] = ()
    exclude_tags: Sequence[str] = ()
    semver: str = ""
    newest: int = 0
    platforms: Sequence[str] = ()
    referrers: bool = True

    @property
    def says_anything(self) -> bool:
        """True if it is more than nothing."""
        return self != Choice()


def gather(
    settings: "Settings", sources: Sequence[str], from_file: Path | None, choice: Choice
) -> "tuple[Settings, list[CopySettings]]":
    """The copies to do, and the settings with the registries that a file of skopeo names. Raises `Failure`."""
    copies = [copy_of(text, choice) for text in sources]
    if from_file is not None and from_file.suffix in (".yml", ".yaml"):
        settings, found = _of_skopeo(settings, from_file, choice)
        copies += found
    elif from_file is not None:
        copies += [copy_of(text, choice) for text in read_list(from_file)]
    if not copies and from_file is None:
        if choice.says_anything:
            raise Failure("the options say how to choose, and no SOURCE of what: name one", MISUSED)
        copies = list(settings.sync.copies)
    if not copies:
        raise Failure("there is nothing to bring: name a SOURCE, or list what to bring as sync.copies", MISUSED)
    _check(copies, settings)
    return settings, copies


def copy_of(text: str, choice: Choice) -> "CopySettings":
    """The copy that a source on the command line means. Raises `Failure`."""
    from config.sync import CopySettings  # noqa: PLC0415  # start-up time
    from registry.app_sync import STORAGE, target_of  # noqa: PLC0415
    from registry.mirror.layout_files import AS_PLACE  # noqa: PLC0415

    source, repository, tags = text, "**", list(choice.tags)
    if not text.startswith(AS_PLACE):
        host, rest = target_of(text) if "/" in text else ("", text)
        name, at, digest = rest.partition("@")
        head, colon, tag = name.rpartition(":")
        repository = head if colon else name
        tags = [digest] if at else [tag] if colon else tags
        source = host or STORAGE
        if not repository:
            raise Failure(f"{text} names no repository: write {text.rstrip('/')}/** for all that it lists", MISUSED)
        if host in ("docker.io", "index.docker.io") and "/" not in repository and repository != "**":
            repository = f"library/{repository}"
    return CopySettings(
        source=source,
        target=choice.target,
        repositories=(repository,),
        tags=tuple(tags),
        exclude_tags=tuple(choice.exclude_tags),
        semver=choice.semver,
        newest=choice.newest,
        platforms=tuple(choice.platforms),
        referrers=choice.referrers,
    )


def _of_skopeo(settings: "Settings", file: Path, choice: Choice) -> "tuple[Settings, list[CopySettings]]":
    from config.load import ConfigError  # noqa: PLC0415  # start-up time
    from config.skopeo import read_skopeo  # noqa: PLC0415

    try:
        upstreams, copies = read_skopeo(file, choice.target, platforms=choice.platforms, referrers=choice.referrers)
    except ConfigError as error:
        raise refused(error) from error
    told = [upstream for upstream in upstreams if upstream.username or upstream.ca_file or not upstream.verify_tls]
    try:
        hosts = {_host(upstream) for upstream in told}
    except ValueError as error:
        raise Failure(f"{file}: {error}", MISUSED) from error
    merged = [_with_login(upstream, settings) for upstream in told]
    merged += [upstream for upstream in settings.upstreams if _host(upstream) not in hosts]
    return settings.model_copy(update={"upstreams": tuple(merged)}), copies


def _with_login(told: "UpstreamSettings", settings: "Settings") -> "UpstreamSettings":
    """What a file says of a registry, which counts more than the settings; where it gives no login, with theirs."""
    known = next((upstream for upstream in settings.upstreams if _host(upstream) == _host(told)), None)
    if known is None or told.username:
        return told
    says = {"name": told.name, "ca_file": told.ca_file or known.ca_file, "verify_tls": told.verify_tls}
    return known.model_copy(update=says)


def _host(upstream: "UpstreamSettings") -> str:
    from registry.mirror.endpoints import Endpoint  # noqa: PLC0415  # start-up time

    return Endpoint.parse(upstream.url, plain_http=upstream.plain_http).host


def _check(copies: "Sequence[CopySettings]", settings: "Settings") -> None:
    from registry.app_sync import check_copy  # noqa: PLC0415  # start-up time

    for copy in copies:
        try:
            check_copy(copy, settings.upstreams)
        except ValueError as error:
            raise Failure(f"{copy.source} {' '.join(copy.repositories)}: {error}", MISUSED) from error
