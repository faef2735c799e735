"""What `cargohold sync` is told to bring, and what it says of words that mean nothing."""

import io
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from config.upstreams import UpstreamSettings
from registry.cli.failure import Failure
from registry.cli.sync_sources import Choice, copy_of, gather
from registry.name_patterns import NamePattern
from tests.images import random_image, write_oci_layout
from tests.unit.cli.conftest import Cargohold


@pytest.mark.parametrize(
    ("text", "source", "repository", "tags"),
    [
        ("docker.io/alpine:3.20", "docker.io", "library/alpine", ("3.20",)),
        ("docker.io/grafana/**", "docker.io", "grafana/**", ()),
        ("registry.lan:5000/a/b", "registry.lan:5000", "a/b", ()),
        ("registry.lan/a/*:v1.*", "registry.lan", "a/*", ("v1.*",)),
        (f"registry.lan/a@sha256:{'a' * 64}", "registry.lan", "a", (f"sha256:{'a' * 64}",)),
        (f"registry.lan/a:v1@sha256:{'a' * 64}", "registry.lan", "a", (f"sha256:{'a' * 64}",)),
        ("team/**", "storage", "team/**", ()),
        ("app:5000", "storage", "app", ("5000",)),
        ("oci:/media/images", "oci:/media/images", "**", ()),
    ],
)
def test_a_source_is_read_as_an_image_or_a_pattern(
    text: str, source: str, repository: str, tags: tuple[str, ...]
) -> None:
    found = copy_of(text, Choice("mirror"))

    assert (found.source, found.repositories, found.tags, found.target) == (source, (repository,), tags, "mirror")


def test_a_list_has_a_source_a_line_and_comments(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# ours\n\ndocker.io/library/a:1  # one\nquay.io/b/c\n")

    _, copies = gather(Settings(), (), tmp_path / "list", Choice(newest=2))

    assert [(copy.source, *copy.repositories, copy.newest) for copy in copies] == [
        ("docker.io", "library/a", 2),
        ("quay.io", "b/c", 2),
    ]


def test_a_list_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("quay.io/b/c:1\n"))

    _, copies = gather(Settings(), (), Path("-"), Choice())

    assert [(copy.source, *copy.repositories, *copy.tags) for copy in copies] == [("quay.io", "b/c", "1")]


def test_a_file_of_skopeo_gives_copies_and_registries(tmp_path: Path) -> None:
    (tmp_path / "sync.yml").write_text(
        "docker.io:\n  images:\n    busybox:\n    redis: [1.10]\n  images-by-semver: {alpine: '>= 3.12.0'}\n"
        "quay.io:\n  tls-verify: false\n  cert-dir: /certs\n  images-by-tag-regex: {a/b: ^v1}\n"
        "  credentials: {username: john, password: this is a secret}\n"
    )
    known = UpstreamSettings(name="hub", url="docker.io", username="me", password=SecretStr("x"))

    settings, copies = gather(Settings(upstreams=(known,)), (), tmp_path / "sync.yml", Choice("mirror"))

    assert [(copy.source, *copy.repositories, copy.tags, copy.semver) for copy in copies] == [
        ("docker.io", "library/busybox", (), ""),
        ("docker.io", "library/redis", ("1.10",), ""),
        ("docker.io", "library/alpine", (), ">= 3.12.0"),
        ("quay.io", "a/b", ("/^v1/",), ""),
    ]
    quay, hub = settings.upstreams
    assert (quay.username, quay.verify_tls, quay.ca_file) == ("john", False, Path("/certs"))
    assert hub == known
    assert "secret" not in repr(quay)


def test_a_login_of_the_settings_is_used_where_a_file_of_skopeo_gives_none(tmp_path: Path) -> None:
    (tmp_path / "sync.yml").write_text("x.lan:5000: {tls-verify: false, images: {a: [v1]}}\n")
    known = UpstreamSettings(name="x", url="https://x.lan:5000", username="me", password=SecretStr("secret"))

    settings, [copy] = gather(Settings(upstreams=(known,)), (), tmp_path / "sync.yml", Choice())

    [found] = settings.upstreams
    assert (copy.source, found.name, found.username, found.verify_tls) == ("x.lan:5000", "x.lan:5000", "me", False)


@pytest.mark.parametrize(
    ("expression", "fits", "fits_not"),
    [
        ("^[[:digit:]]+[.][[:digit:]]$", "12.3", "v1.2"),
        ("^[[:alpha:]_][[:^digit:]]+$", "_rc", "_1"),
        (r"^v[0-9]\z", "v1", "v12"),
        ("[[:punct:]]x", "1-x", "1x"),
    ],
)
def test_expressions_of_skopeo_mean_what_they_mean_there(
    tmp_path: Path, expression: str, fits: str, fits_not: str
) -> None:
    (tmp_path / "sync.yml").write_text(f"x.io: {{images-by-tag-regex: {{a: '{expression}'}}}}")

    _, [copy] = gather(Settings(), (), tmp_path / "sync.yml", Choice())

    pattern = NamePattern.parse(copy.tags[0])
    assert (pattern.fits(fits), pattern.fits(fits_not)) == (True, False)


@pytest.mark.parametrize(
    ("versions", "ours"), [("~> 1.2", "~ 1.2"), ("=>1.2, =<2", ">=1.2, <=2"), (">=1 <2", ">=1 <2")]
)
def test_ranges_of_skopeo_mean_what_they_mean_there(tmp_path: Path, versions: str, ours: str) -> None:
    (tmp_path / "sync.yml").write_text(f"x.io: {{images-by-semver: {{a: '{versions}'}}}}")

    _, [copy] = gather(Settings(), (), tmp_path / "sync.yml", Choice())

    assert copy.semver == ours


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("a: " + 5000 * "[", "is not YAML"),
        ("[]", "the file"),
        ("x.io: {images: 7}", "x.io.images"),
        ("x.io: {image: {}}", "x.io.image: skopeo knows no such key; there are images, images-by-tag-regex, "),
        ("x.io: {credentials: {username: a}}", "x.io.credentials.password"),
        ("x.io: {images-by-semver: {a: newest}}", "is not a range of versions"),
        ("x.io: {images-by-tag-regex: {a: '('}}", "in this regular expression"),
        ("x.io: {images: {A: []}}", "x.io A"),
        ("a b: {tls-verify: false, images: {a: []}}", "'a b' is not a registry"),
        ("", "nothing to bring"),
    ],
)
def test_a_file_of_skopeo_that_means_nothing_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sync.yml").write_text(text)

    with pytest.raises(Failure, match=message):
        gather(Settings(), (), tmp_path / "sync.yml", Choice())


def test_a_mistake_in_a_file_of_skopeo_tells_no_password(tmp_path: Path) -> None:
    (tmp_path / "sync.yml").write_text("x.io:\n  credentials: {password: 'secret' : }\n")

    with pytest.raises(Failure, match=r"sync\.yml:2: is not YAML") as refused:
        gather(Settings(), (), tmp_path / "sync.yml", Choice())

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to bring"),
        (["--newest", "3"], "no SOURCE of what"),
        (["registry.lan/"], "names no repository"),
        (["registry.lan/a", "--semver", "newest"], "is not a range of versions"),
        (["registry.lan/a", "--tag", "/(/"], "in this regular expression"),
        (["registry.lan/a", "--platform", "arm"], "is not a platform"),
        (["registry.lan/a", "--to", "{user}"], "in braces stand"),
        (["registry.lan/a", "--to", "Mirror"], "is not a repository name"),
        (["registry.lan/a@sha256:12"], "sha256 digest has 64"),
        (["registry.lan/A"], "registry.lan A"),
        (["--from-file", "not-there"], "cannot be read"),
        (["--from-file", "not-there.yml"], "cannot be read"),
    ],
)
def test_words_that_mean_nothing_are_named_and_nothing_is_done(
    cargohold: Cargohold, tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = cargohold("sync", *arguments, "--root", tmp_path / "data")

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert not (tmp_path / "data").exists()


def test_a_layout_is_brought_with_a_line_for_each_image(cargohold: Cargohold, tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "app", {"v1": random_image(1), "v2": random_image(2)})
    arguments = ["sync", f"oci:{tmp_path / 'app'}", "--root", str(tmp_path / "data"), "--quiet"]

    planned = cargohold(*arguments, "--dry-run")
    done = cargohold(*arguments)
    again = cargohold(*arguments)

    assert planned.out.count("would copy app:v") == 2
    assert (
        done.out.splitlines()[-1]
        == f"copied 2 images with {done.out.split()[-7].rstrip(',')}, tagged 0, 0 unchanged, 0 failed"
    )
    assert again.out == "copied 0 images with 0B, tagged 0, 2 unchanged, 0 failed\n"
    assert (planned.code, done.code, again.code) == (0, 0, 0)


def test_sources_that_would_become_one_do_not_overwrite_each_other(cargohold: Cargohold, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number, name in enumerate(("a", "b")):
        write_oci_layout(tmp_path / name / "app", {"v1": random_image(number)})
        cargohold("sync", f"oci:{tmp_path / name / 'app'}", "--to", name, "--root", data)

    ended = cargohold("sync", "a/app", "b/app", "--to", "both/{base}", "--root", data)

    assert ended.code == 1
    assert "failed: b/app:v1: a/app has become both/app:v1 in this run" in ended.out


def test_of_the_others_nothing_is_said_that_is_not_so(cargohold: Cargohold, tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "app", {"v1": random_image(1), "v2": random_image(2)})
    gone = random_image(2).manifest.digest.replace(":", "/")
    (tmp_path / "app" / "blobs" / gone).unlink()
    arguments = ("sync", f"oci:{tmp_path / 'app'}", "--root", tmp_path / "data", "--quiet")

    alone = cargohold("sync", f"oci:{tmp_path}", "--root", tmp_path / "data", "--quiet")
    planned = cargohold(*arguments, "--dry-run")
    done = cargohold(*arguments)
    again = cargohold(*arguments)

    assert alone.err.endswith("1 images, or lists of them, failed\n")
    assert planned.err.endswith("1 images, or lists of them, failed; the others would be brought\n")
    assert done.err.endswith("1 images, or lists of them, failed; the others were brought\n")
    assert again.err.endswith("1 images, or lists of them, failed\n")


def test_a_storage_that_is_not_there_is_no_empty_source(cargohold: Cargohold, tmp_path: Path) -> None:
    ended = cargohold("sync", "team/**", "--to", "registry.lan/backup", "--root", tmp_path / "data")

    assert ended.code != 0
    assert "data is not there" in ended.err
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what others cannot")
def test_root_brings_nothing_into_a_storage_that_the_server_of_another_user_writes_to(
    cargohold: Cargohold, tmp_path: Path
) -> None:
    write_oci_layout(tmp_path / "app", {"v1": random_image(1)})
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 1234, 1234)

    ended = cargohold("sync", f"oci:{tmp_path / 'app'}", "--root", tmp_path / "data")

    assert ended.code == 2
    assert "belongs to user 1234" in ended.err


def test_what_is_no_layout_is_named(cargohold: Cargohold, tmp_path: Path) -> None:
    ended = cargohold("sync", f"oci:{tmp_path}", "--root", tmp_path / "data")

    assert ended.code == 1
    assert "there is no oci-layout in it" in ended.out


def test_copies_of_the_settings_are_checked_with_their_place(cargohold: Cargohold, tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("sync:\n  copies:\n    - source: registry.lan\n      tags: ['/(/']\n")

    ended = cargohold("config", "check", tmp_path / "c.yml")

    assert ended.code == 2
    assert "c.yml:3:7: sync.copies.0: /(/" in ended.err
