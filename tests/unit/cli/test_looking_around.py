"""`cargohold images`, `inspect`, `history`, `tag`, `rmi`, `referrers` and `du`: on a storage and on a running registry.

`tests/clients/test_looking_around.py` compares with what docker says of the same images.
"""

import json
import os
import re
from pathlib import Path

import pytest

from config.units import format_size
from registry.content import keyspace
from registry.content.digest import Digest
from tests.live_server import LiveServer
from tests.unit.cli.conftest import Cargohold
from tests.unit.cli.shelf import AMD, ARM, BASE, BOTH, ONE, SBOM, SIZE, prefix, short


def test_images_are_listed_in_dockers_columns_the_newest_first(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    done = cargohold("images", *at)

    lines = [line.split() for line in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert lines[0] == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [(line[0], line[1], line[2]) for line in lines[1:]] == [
        (f"{prefix(at)}team/app", "1", short(ONE.config.digest)),
        (f"{prefix(at)}team/app", "latest", short(ONE.config.digest)),
        (f"{prefix(at)}team/app", "both", short(AMD.config.digest)),
        (f"{prefix(at)}lib/base", "1", lines[4][2]),
    ]
    assert lines[1][4:] == ["years", "ago", format_size(SIZE)]
    assert lines[4][3] == "N/A"


def test_a_repository_an_image_or_a_pattern_is_listed_alone(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    form = ("--format", "{{.Repository}}:{{.Tag}}")
    base, app = f"{prefix(at)}lib/base", f"{prefix(at)}team/app"

    assert cargohold("images", *at, *form, "lib/base").out == f"{base}:1\n"
    assert cargohold("images", *at, *form, "team/app:latest").out == f"{app}:latest\n"
    assert cargohold("images", *at, *form, "*/*:l*").out == f"{app}:latest\n"
    assert cargohold("images", *at, *form, f"team/app@{ONE.manifest.digest}").out == f"{app}:<none>\n"
    assert cargohold("images", *at, *form, "nothing/*").out == ""


@pytest.mark.parametrize(
    ("filters", "tags"),
    [
        (["label=stage"], ["1", "latest"]),
        (["label=stage=prod", "reference=team/app:1"], ["1"]),
        (["label=stage=test"], []),
        (["since=team/app:both"], ["1", "latest"]),
        (["before=team/app:1"], ["both", "1"]),
        (["before=team/app:1", "since=team/app:both"], []),
        (["reference=*/base", "reference=team/app:l*"], ["latest", "1"]),
        (["dangling=false", "label=stage"], ["1", "latest"]),
    ],
)
def test_filters_choose_as_with_docker(
    cargohold: Cargohold, at: tuple[str, ...], filters: list[str], tags: list[str]
) -> None:
    options = [word for text in filters for word in ("--filter", text)]

    assert cargohold("images", *at, *options, "--format", "{{.Tag}}").out.split() == tags


def test_all_shows_each_platform(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    done = cargohold("images", *at, "--all", "--filter", "reference=*/*:both", "--no-trunc", "--digests")

    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "PLATFORM", "CREATED", "SIZE"]
    assert [line[2:5] for line in lines[1:]] == [
        [BOTH.manifest.digest, AMD.config.digest, "linux/amd64"],
        [BOTH.manifest.digest, ARM.config.digest, "linux/arm64"],
    ]


def test_a_platform_can_be_chosen(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    done = cargohold("images", *at, "team/app:both", "--platform", "linux/arm64", "--quiet", "--no-trunc")

    assert done.out == f"{ARM.config.digest}\n"
    missing = cargohold("inspect", *at, "team/app:both", "--platform", "linux/s390x")
    assert (missing.code, missing.out) == (1, "[]\n")
    assert "not there for linux/s390x, only for linux/arm64, linux/amd64" in missing.err


def test_json_has_bytes_and_times_for_programs(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    [found] = json.loads(cargohold("images", *at, "team/app:1", "--json").out)

    assert found == {
        "repository": f"{prefix(at)}team/app",
        "tag": "1",
        "digest": ONE.manifest.digest,
        "id": ONE.config.digest,
        "platform": "linux/amd64",
        "created": "2024-06-01T00:00:00Z",
        "size": SIZE,
    }


def test_a_format_of_docker_gives_what_docker_gives(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    app = f"{prefix(at)}team/app"

    table = cargohold("images", *at, "team/app:1", "--format", r"table {{.ID}}\t{{.Repository}}@{{.Digest}}")
    assert table.out.split()[:3] == ["IMAGE", "ID", "REPOSITORY@DIGEST"]
    assert table.out.split()[3:] == [short(ONE.config.digest), f"{app}@{ONE.manifest.digest}"]
    line = json.loads(cargohold("images", *at, "team/app:1", "--format", "json").out)
    assert (line["Repository"], line["Tag"], line["ID"]) == (app, "1", short(ONE.config.digest))
    assert line["CreatedAt"].startswith("2024-06-01 ")


@pytest.mark.parametrize(("name", "message"), [("team/nope", "no repository team/nope"), ("team/app:nope", "nope")])
def test_of_an_image_that_is_not_there_the_list_is_empty(
    cargohold: Cargohold, at: tuple[str, ...], name: str, message: str
) -> None:
    done = cargohold("images", *at, name)

    assert (done.code, done.out.split()[0], len(done.out.splitlines())) == (0, "REPOSITORY", 1)
    assert message in done.err
    assert cargohold("images", *at, name, "--quiet").out == ""


def test_dangling_images_of_a_storage_are_shown(cargohold: Cargohold, shelf: Path) -> None:
    cargohold("rmi", "--root", shelf, "team/app:both", "--no-prune")

    done = cargohold("images", "--root", shelf, "--filter", "dangling=true", "--format", "{{.Tag}} {{.Digest}}")
    every = cargohold("images", "--root", shelf, "--all", "--format", "{{.Tag}}")

    assert done.out == f"<none> {BOTH.manifest.digest}\n"
    assert sorted(every.out.split()) == ["1", "1", "<none>", "<none>", "latest"]


def test_inspect_shows_dockers_json_with_all_tags(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    first, second = json.loads(cargohold("inspect", *at, "team/app:1", "team/app:both").out)

    assert first["Id"] == ONE.config.digest
    assert first["RepoTags"] == [f"{prefix(at)}team/app:1", f"{prefix(at)}team/app:latest"]
    assert first["Config"]["Entrypoint"] == ["/app"]
    assert first["Size"] == SIZE
    assert [each["digest"] for each in second["Manifests"]] == [ARM.manifest.digest, AMD.manifest.digest]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Config.Labels.stage}} {{.Config.Labels.nope}}", "prod <no value>"),
        ("{{json .Config.Cmd}} {{.Config.StopSignal}}", '["serve"] <no value>'),
        ("{{index .RepoDigests 0 | printf `%.3s`}} {{.Os}}/{{.Architecture}}", None),
        ("{{range .Layers}}{{println .size}}{{end}}", "".join(f"{len(layer.data)}\n" for layer in ONE.layers)),
    ],
)
def test_inspect_fills_in_a_template(
    cargohold: Cargohold, at: tuple[str, ...], template: str, text: str | None
) -> None:
    done = cargohold("inspect", *at, "team/app:1", "--format", template)

    assert done.code == 0
    assert done.out == f"{text}\n" if text is not None else done.out.endswith(" linux/amd64\n")


def test_what_others_have_written_does_nothing_to_the_terminal(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    table = cargohold("history", *at, "team/app:1")
    assert "\x1b" not in table.out
    assert "ENV?[2J a=b" in table.out
    value = cargohold("inspect", *at, "team/app:1", "--format", "{{.Config.Labels.evil}}")
    assert (value.code, "ud800" in value.out) == (0, True)


def test_history_shows_each_step_with_its_layer(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    done = cargohold("history", *at, "team/app:1")
    steps = json.loads(cargohold("history", *at, "team/app:1", "--json").out)

    lines = done.out.splitlines()
    assert lines[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert lines[1].startswith(f"{short(ONE.config.digest)}   ")
    assert lines[2].startswith("<missing> ")
    assert re.split(" {3,}", lines[3])[2] == "ADD base " + "x" * 35 + "…"
    assert [step["size"] for step in steps] == [len(ONE.layers[1].data), 0, len(BASE.data)]
    assert [step["layer"] for step in steps] == [ONE.layers[1].digest, None, BASE.digest]
    form = "{{.Size}} {{.CreatedAt}}"
    plain = cargohold("history", *at, "team/app:1", "--no-human", "--no-trunc", "--format", form)
    assert plain.out.splitlines()[2] == f"{len(BASE.data)} 2024-05-01T00:00:00Z"
    for flag in ("--no-human", "--human=false", "-H=false", "--human=0"):
        assert plain == cargohold("history", *at, "team/app:1", flag, "--no-trunc=true", "--format", form)
    assert cargohold("history", *at, "team/app:1", "-q").out.split()[1:] == ["<missing>", "<missing>"]


def test_referrers_are_a_tree(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    done = cargohold("referrers", *at, "team/app:1")
    tree = json.loads(cargohold("referrers", *at, "team/app:1", "--json").out)

    assert done.out.splitlines() == [
        f"{prefix(at)}team/app@{ONE.manifest.digest}",
        f"└── application/sbom  {SBOM.manifest.digest}  {len(SBOM.manifest.data)}B",
    ]
    assert tree["referrers"][0]["digest"] == SBOM.manifest.digest
    none = cargohold("referrers", *at, "team/app:1", "--artifact-type", "application/other")
    assert len(none.out.splitlines()) == 1


def test_du_counts_each_blob_once(cargohold: Cargohold, at: tuple[str, ...]) -> None:
    done = cargohold("du", *at)
    found = json.loads(cargohold("du", *at, "--json").out)

    assert done.out.splitlines()[0].split() == ["REPOSITORY", "TAGS", "IMAGES", "SIZE", "OWN", "SHARED", "RECLAIMABLE"]
    assert "each counted once" in done.out
    app, base = found["repositories"]
    assert (app["repository"], base["repository"]) == ("team/app", "lib/base")
    assert app["shared"] == base["shared"] >= len(BASE.data)
    assert found["tagged"] == app["own"] + base["own"] + app["shared"]
    assert app["reclaimable"] == (None if at[0] == "--url" else 0)
    assert ("RECLAIMABLE" in done.out, "N/A" in done.out) == (True, at[0] == "--url")
    assert len(cargohold("du", *at, "lib/base").out.splitlines()) == 2


def test_du_says_what_still_holds_the_rest(cargohold: Cargohold, shelf: Path) -> None:
    cargohold("rmi", "--root", shelf, "team/app:both", "--no-prune")
    untagged = json.loads(cargohold("du", "--root", shelf, "--json").out)
    cargohold("rmi", "--root", shelf, f"team/app@{BOTH.manifest.digest}")
    deleted = json.loads(cargohold("du", "--root", shelf, "--json").out)
    for file in shelf.rglob("*"):
        os.utime(file, (1, 1))
    old = json.loads(cargohold("du", "--root", shelf, "--json").out)
    cargohold("gc", "--root", shelf, "--quiet")
    collected = json.loads(cargohold("du", "--root", shelf, "--json").out)

    size = untagged["untagged"]
    assert size > len(AMD.layers[0].data)
    assert (untagged["collectable"], untagged["held"]) == (0, 0)
    assert (deleted["untagged"], deleted["held"], deleted["collectable"]) == (0, size, 0)
    assert (old["held"], old["collectable"]) == (0, size)
    assert (collected["held"], collected["collectable"], collected["tagged"]) == (0, 0, old["tagged"])


def test_a_tag_is_given_inside_its_repository_and_in_another(cargohold: Cargohold, shelf: Path) -> None:
    assert cargohold("tag", "--root", shelf, "team/app:both", "team/app:stable").code == 0
    assert cargohold("tag", "--root", shelf, f"team/app@{BOTH.manifest.digest}", "prod/app").code == 0

    done = cargohold("images", "--root", shelf, "--all", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}")
    assert done.out.count(f"team/app:stable {BOTH.manifest.digest}") == 2
    assert done.out.count(f"prod/app:latest {BOTH.manifest.digest}") == 2


def test_rmi_removes_a_tag_and_with_the_last_one_the_image(cargohold: Cargohold, shelf: Path) -> None:
    dry = cargohold("rmi", "--root", shelf, "team/app:1", "--dry-run")
    assert dry.out == "Would untag: team/app:1\n"
    first = cargohold("rmi", "--root", shelf, "team/app:1")
    assert (first.code, first.out) == (0, "Untagged: team/app:1\n")
    assert first.err == "the image itself stays: team/app:latest names it, too\n"

    last = cargohold("rmi", "--root", shelf, "team/app:latest")

    assert last.out == f"Untagged: team/app:latest\nDeleted: team/app@{ONE.manifest.digest}\n"
    assert cargohold("inspect", "--root", shelf, f"team/app@{ONE.manifest.digest}").code == 1


def test_rmi_of_several_goes_on_after_one_that_cannot_go(cargohold: Cargohold, shelf: Path) -> None:
    wanted = (f"team/app@{ONE.manifest.digest}", "team/app:nope", "nowhere/app:1", "lib/base:1")

    done = cargohold("rmi", "--root", shelf, *wanted, "--json")

    assert done.code == 1
    assert json.loads(done.out)["untagged"] == ["lib/base:1"]
    for words in (
        "must be forced): it has tags, team/app:1, team/app:latest",
        "nope is not in",
        "no repository nowhere",
    ):
        assert words in done.err
    forced = cargohold("rmi", "--root", shelf, *wanted, "--force")
    assert (forced.code, "nope is not in" in forced.err) == (0, True)
    assert forced.out.startswith("Untagged: team/app:1\nUntagged: team/app:latest\nDeleted: team/app@")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["images", "--filter", "nope=1"], 2, "--filter 'nope=1' is no filter; there are before="),
        (["images", "--filter", "dangling=maybe"], 2, "write true or false"),
        (["images", "--filter", "before=team/app:nope"], 1, "nope"),
        (["images", "--filter", "before=lib/base:1"], 1, "does not say when it was created"),
        (["images", "--filter", "since=UPPER"], 2, "UPPER: "),
        (["images", "--format", "{{.Nope}}"], 2, "--format: there is no field .Nope"),
        (["images", "--format", "{{.Tag"], 2, "--format: '{{' is not closed with '}}', at character 1"),
        (["images", "--format", "table {{index .Tag 99}}"], 1, "index: there is no number 99"),
        (["images", "--platform", "amd64"], 2, "--platform: 'amd64' is not a platform"),
        (["images", "../etc"], 2, "'..' is not a host"),
        (["inspect", "team/app:nope"], 1, "nope"),
        (["inspect", "team/app:1", "--format", "{{.Config.Nope}}"], 2, "there is no field .Nope"),
        (["inspect", "team/app:1", "--format", "{{range .Layers}}{{.nope}}{{end}}"], 2, "there is no field .nope"),
        (["inspect", "team/app:1", "--format", "{{index .RepoDigests 7}}"], 1, "there is no number 7 among 1"),
        (["inspect", "team/app@sha256:12"], 2, "a sha256 digest has 64"),
        (["history", "team/app:nope"], 1, "nope"),
        (["history", "team/app:1", "--format", "{{"], 2, "--format: "),
        (["tag", "team/app:nope", "team/app:2"], 1, "nope"),
        (["tag", "team/app:1", "team/app@sha256:" + "0" * 64], 2, "write a tag"),
        (["rmi", "team/app:nope"], 1, "nope"),
        (["rmi", "--no-prune", "team/app@sha256:" + "0" * 64], 2, "removes tags alone"),
        (["referrers", "team/app:nope"], 1, "nope"),
        (["du", "team/nope"], 1, "no repository team/nope"),
        (["du", "team/app:1"], 2, "without a tag"),
    ],
)
def test_what_is_wrong_is_said_with_an_exit_code(
    cargohold: Cargohold, at: tuple[str, ...], arguments: list[str], code: int, message: str
) -> None:
    done = cargohold(*arguments, *at)

    assert done.code == code
    assert message in done.err
    assert done.out in ("", "[]\n")


def test_dangling_images_of_a_registry_cannot_be_seen(cargohold: Cargohold, shelf_server: LiveServer) -> None:
    done = cargohold("images", "--url", shelf_server.address, "--filter", "dangling=true")

    assert (done.code, "with --root" in done.err) == (2, True)


def test_a_registry_that_nobody_answers_for_is_one_message(cargohold: Cargohold) -> None:
    done = cargohold("images", "--url", "127.0.0.1:9")

    assert (done.code, done.out) == (1, "")
    assert "cannot be reached" in done.err


def test_an_image_whose_config_is_gone_is_listed_with_a_note(cargohold: Cargohold, shelf: Path) -> None:
    (shelf / keyspace.blob(Digest.parse(ONE.config.digest))).unlink()

    done = cargohold("images", "--root", shelf, "team/app")

    assert done.code == 0
    assert short(ONE.manifest.digest) in done.out
    assert f"team/app@{ONE.manifest.digest}: its config cannot be read" in done.err


def test_a_manifest_that_is_damaged_stops_the_list_before_anything_is_printed(
    cargohold: Cargohold, shelf: Path
) -> None:
    (shelf / keyspace.blob(Digest.parse(ONE.manifest.digest))).write_bytes(b"{}")

    done = cargohold("images", "--root", shelf)

    assert (done.code, done.out) == (1, "")
    assert ONE.manifest.digest in done.err
