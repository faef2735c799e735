"""The images that files name."""

from collections.abc import Mapping

import pytest

from config.documents import read_documents
from registry.mirror.lists import Images
from registry.mirror.lists_compose import is_compose, read_compose
from registry.mirror.lists_dockerfile import read_dockerfile
from registry.mirror.lists_kubernetes import is_kubernetes, read_kubernetes
from registry.mirror.lists_variables import Unresolved, fill

_DIGEST = "sha256:" + "0" * 64


def compose(text: str, **values: str) -> Images:
    images = Images(as_docker=False)
    [document] = read_documents(text)
    assert is_compose(document)
    assert not is_kubernetes(document)
    read_compose(images, "compose.yaml", document, values)
    return images


def kubernetes(text: str, **values: str) -> Images:
    images = Images(as_docker=False)
    for document in read_documents(text):
        assert is_kubernetes(document)
        assert not is_compose(document)
        read_kubernetes(images, "k.yaml", document, values)
    return images


def dockerfile(text: str, values: Mapping[str, str] | None = None) -> Images:
    images = Images(as_docker=False)
    read_dockerfile(images, "Dockerfile", text, values or {})
    return images


def warnings(images: Images) -> list[str]:
    return [f"{warned.place}: {warned.message}" for warned in images.warnings]


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("ghcr.io/a/b@" + _DIGEST, "ghcr.io/a/b@" + _DIGEST),
        ("a:1@" + _DIGEST, "docker.io/library/a:1@" + _DIGEST),
        ("host:5000/a", "host:5000/a:latest"),
    ],
)
def test_names_are_completed_as_docker_does(text: str, full: str) -> None:
    assert list(listed(f"FROM {text}").named) == [full]


def listed(text: str) -> Images:
    images = Images()
    read_dockerfile(images, "Dockerfile", text, {})
    return images


def test_an_image_is_listed_once_with_all_places() -> None:
    [named] = listed("FROM nginx\nFROM docker.io/library/nginx:latest\n").named.values()

    assert [place.line for place in named.places] == [1, 2]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("a$B", "a1"),
        ("${B}c", "1c"),
        ("${NO:-x}", "x"),
        ("${NO-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${NO:-${B}}", "1"),
        ("${NO:-${NO:-${B:-y}}}", "1"),
        ("${B:+x}", "x"),
        ("${NO:+x}", ""),
        ("${B:?why}", "1"),
        ("$$B", "$B"),
        ("$ 1", "$ 1"),
        ("$", "$"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert fill(text, {"B": "1", "EMPTY": ""}, "$$") == filled


@pytest.mark.parametrize("text", ["$NO", "${NO}", "${NO:?why}", "${NO?}", "${", "${B", "${}", "${B#x}", "${1}"])
def test_what_has_no_value_is_not_guessed(text: str) -> None:
    with pytest.raises(Unresolved):
        fill(text, {"B": "1"}, "$$")


def test_defaults_that_go_too_deep_are_refused() -> None:
    with pytest.raises(Unresolved, match="too deep"):
        fill("${A:-" * 5000 + "}" * 5000, {}, "$$")


def test_a_compose_file_names_images_of_services_volumes_and_builds() -> None:
    found = compose(
        """
x-base: &base {image: "redis:${REDIS:-7}"}
services:
  one: {<<: *base}
  two: {image: "$REG/app:${TAG}"}
  three:
    image: busybox
    volumes: [{type: image, source: data:1, target: /x}, "./a:/b", {type: bind, source: /x}]
  four:
    build: {context: ./four, additional_contexts: {base: "docker-image://alpine:3", other: ./x}}
  five:
    build:
      args: {V: 2}
      dockerfile_inline: |
        ARG V=1
        FROM inline:$V
  six: {image: ""}
""",
        REG="r.io",
        TAG="1",
    )

    assert list(found.named) == ["redis:7", "r.io/app:1", "busybox", "data:1", "alpine:3", "inline:2"]
    assert warnings(found) == ["compose.yaml:10: service four is built from ./four: name its Dockerfile too"]


def test_a_variable_without_a_value_is_a_warning_with_file_and_line() -> None:
    found = compose("services:\n  a: {image: 'a:$TAG'}\n  b: {image: 'b:${TAG:?say which}'}\n  c: {image: 'C C'}\n")

    assert list(found.named) == []
    first, second, third = warnings(found)
    assert first == "compose.yaml:2: 'a:$TAG' cannot be told: TAG has no value"
    assert second.endswith("TAG has no value: say which")
    assert third.startswith("compose.yaml:4: 'C C' is no image")


_POD = "{initContainers: [{image: i}], containers: [{image: c}, {name: x}], ephemeralContainers: [{image: e}]}"


@pytest.mark.parametrize(
    "resource",
    [
        f"{{apiVersion: v1, kind: Pod, spec: {_POD}}}",
        *(
            f"{{apiVersion: {version}, kind: {kind}, spec: {{template: {{spec: {_POD}}}}}}}"
            for version, kind in [
                ("apps/v1", "Deployment"),
                ("apps/v1", "StatefulSet"),
                ("apps/v1", "DaemonSet"),
                ("apps/v1", "ReplicaSet"),
                ("v1", "ReplicationController"),
                ("batch/v1", "Job"),
                ("serving.knative.dev/v1", "Service"),
            ]
        ),
        f"{{apiVersion: v1, kind: PodTemplate, template: {{spec: {_POD}}}}}",
        f"{{apiVersion: batch/v1, kind: CronJob, spec: {{jobTemplate: {{spec: {{template: {{spec: {_POD}}}}}}}}}}}",
        f"{{apiVersion: v1, kind: List, items: [{{apiVersion: v1, kind: Pod, spec: {_POD}}}]}}",
    ],
)
def test_every_workload_of_kubernetes_is_understood(resource: str) -> None:
    found = kubernetes(resource)

    assert (list(found.named), found.warnings) == (["i", "c", "e"], [])
    assert not any(named.guessed for named in found.named.values())


def test_images_that_are_volumes_count() -> None:
    pod = "{containers: [{image: c}], volumes: [{name: v, image: {reference: 'data:1'}}, {name: w, emptyDir: {}}]}"

    assert list(kubernetes(f"{{apiVersion: v1, kind: Pod, spec: {pod}}}").named) == ["c", "data:1"]


def test_fields_of_other_resources_are_guessed_and_that_is_said() -> None:
    found = kubernetes(
        """
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
spec:
  image: quay.io/p/p:v2
  thanos: {baseImage: q/t}
  web: {image: {registry: r.io, repository: a/b, tag: "3"}}
  on: {image: true, pullImage: "3"}
  containers: [{image: sure, env: [{name: RELATED_IMAGE_X, value: "x:1"}]}]
"""
    )

    assert {name: named.guessed for name, named in found.named.items()} == {
        "quay.io/p/p:v2": True,
        "q/t": True,
        "r.io/a/b:3": True,
        "x:1": True,
        "sure": False,
    }
    assert "k.yaml:5: quay.io/p/p:v2 is taken for an image because of its field spec.image of a Prometheus" in warnings(
        found
    )
    assert len(found.warnings) == 4


def test_what_only_describes_or_configures_names_no_image() -> None:
    assert not kubernetes("{apiVersion: v1, kind: ConfigMap, data: {image: x}}").named
    schema = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, spec: {image: {type: string}}}"
    assert not kubernetes(schema).named
    assert not kubernetes("{apiVersion: v1, kind: Service, spec: {image: x}}").named


def test_templates_and_placeholders_are_warnings() -> None:
    found = kubernetes(
        "{apiVersion: v1, kind: Pod, spec: {containers: [{image: '{{ .Values.image }}'}, {image: 'a:${TAG}'}]}}"
    )

    assert not found.named
    assert "helm template" in warnings(found)[0]
    assert "TAG has no value" in warnings(found)[1]


def test_a_resource_that_holds_itself_is_looked_at_once() -> None:
    assert list(kubernetes("&a {apiVersion: x.io/v1, kind: X, spec: {image: 'a:1', again: *a}}").named) == ["a:1"]


def test_all_stages_of_a_dockerfile_count() -> None:
    found = dockerfile(
        """\
# syntax=docker/dockerfile:1.7
# a comment
ARG TAG=3.19
ARG BASE=alpine:${TAG} OTHER
FROM --platform=$BUILDPLATFORM $BASE AS Build
RUN --mount=type=bind,from=busybox:1,target=/x --mount=type=bind,from=build,target=/y \\
    # a comment between

    echo FROM no:image
COPY --from=build /a /b
from build as second
COPY --chown=1 --from=golang:1.22 /x /y
COPY --from=0 /x /y
COPY --from=second /x /y
ONBUILD COPY --from=onbuild:1 /x /y
RUN <<EOF
FROM heredoc:1
EOF
COPY <<-"END" /x
\tFROM heredoc:2
\tEND
FROM scratch
"""
    )

    assert found.warnings == []
    assert list(found.named) == ["docker/dockerfile:1.7", "alpine:3.19", "busybox:1", "golang:1.22", "onbuild:1"]
    assert [named.places[0].line for named in found.named.values()] == [1, 5, 6, 12, 15]


def test_build_arguments_that_are_given_count() -> None:
    text = "ARG TAG=1\nARG REG\nFROM $REG/app:$TAG\nARG TAG\nARG INNER=3\nCOPY --from=x:$TAG-$INNER / /\n"

    assert list(dockerfile(text, {"TAG": "2", "REG": "r.io"}).named) == ["r.io/app:2", "x:2-3"]


def test_an_argument_without_a_value_is_a_warning() -> None:
    found = dockerfile("ARG REG\nFROM $REG/app\nFROM base-${TARGETARCH}\n")

    assert not found.named
    assert warnings(found) == [
        "Dockerfile:2: '$REG/app' cannot be told: REG has no value",
        "Dockerfile:3: 'base-${TARGETARCH}' cannot be told: TARGETARCH has no value",
    ]


def test_a_stage_hides_an_image_only_after_it_was_named() -> None:
    assert list(dockerfile("FROM golang AS golang\nFROM golang\n").named) == ["golang"]
    assert list(dockerfile("FROM alpine\nCOPY --from=later / /\nFROM busybox AS later\n").named) == [
        "alpine",
        "later",
        "busybox",
    ]


def test_another_escape_character_and_odd_ends_are_read() -> None:
    assert list(dockerfile("# escape=`\nFROM `\n  windows:1\nCOPY a C:\\\nFROM other").named) == ["windows:1", "other"]
    assert list(dockerfile("FROM a:1 \\").named) == ["a:1"]
    assert list(dockerfile("FROM\nFROM \nRUN --mount=\nRUN <<EOF\nx").named) == []
    assert list(dockerfile("\r\nFROM a:1\r\nFROM b:1\r\n").named) == ["a:1", "b:1"]


def test_only_the_first_lines_are_directives() -> None:
    assert list(dockerfile("FROM a\n# syntax=docker/dockerfile:1\n").named) == ["a"]
    assert list(dockerfile("\n# syntax=docker/dockerfile:1\nFROM a\n").named) == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        "RUN read word <<<text",
        "RUN python -c 'print(1<<2)'",
        "RUN echo $((1<<20))",
        'RUN echo "a <<EOF b"',
        "RUN cat <<EOF",
        "WORKDIR C:\\app\\\\",
    ],
)
def test_what_only_looks_like_a_here_document_or_a_continued_line_hides_no_stage(line: str) -> None:
    assert list(dockerfile(f"FROM a:1\n{line}\nFROM b:1\n").named) == ["a:1", "b:1"]


@pytest.mark.parametrize(
    "lines",
    [
        "RUN 3<<E cat\nFROM x\nE",
        "RUN <<A <<'B C'\nFROM x\nA\nFROM y\nB C",
        "ONBUILD RUN <<EOF\nFROM x\nEOF",
        "ONBUILD\tCOPY <<-\\EOF /x\nFROM x\n\tEOF",
    ],
)
def test_what_stands_in_a_here_document_is_no_instruction(lines: str) -> None:
    assert list(dockerfile(f"FROM a:1\n{lines}\nFROM b:1\n").named) == ["a:1", "b:1"]


def test_instructions_may_be_parted_by_tabs_and_names_by_a_continued_line() -> None:
    assert list(dockerfile("FROM\ta:1\nCOPY\t--from=b:1\t/x /y\nFROM al\\\npine:3\n").named) == [
        "a:1",
        "b:1",
        "alpine:3",
    ]


def test_lists_of_assignments_in_a_compose_file_count_as_maps_do() -> None:
    found = compose(
        """
services:
  one:
    build:
      args: ["V=$TAG", "W", "UNKNOWN=$UNKNOWN"]
      additional_contexts: ["base=docker-image://alpine:$TAG", "other=./x"]
      dockerfile_inline: |
        ARG V=1
        FROM inline:$V
""",
        TAG="3",
    )

    assert list(found.named) == ["alpine:3", "inline:3"]
    assert warnings(found) == ["compose.yaml:5: '$UNKNOWN' cannot be told: UNKNOWN has no value"]


def test_files_that_a_compose_file_takes_services_from_are_warnings() -> None:
    found = compose(
        """
include:
  - a.yaml
  - {path: b.yaml}
  - path: [c.yaml, d.yaml]
services:
  one: {extends: {file: e.yaml, service: x}}
  two: {image: two, extends: {file: f.yaml, service: x}}
  three: {extends: two}
"""
    )

    assert list(found.named) == ["two"]
    assert warnings(found) == [
        *(
            f"compose.yaml:{line}: {name}.yaml is included: name it too"
            for line, name in zip((3, 4, 5, 5), "abcd", strict=True)
        ),
        "compose.yaml:7: service one extends one of e.yaml: name that file too",
    ]


@pytest.mark.parametrize("value", ["null", "~", "", "!reset null", "!reset x"])
def test_a_service_that_takes_its_image_back_names_none(value: str) -> None:
    found = compose(f"services:\n  one: {{image: {value}}}\n")

    assert (list(found.named), found.warnings) == ([], [])
