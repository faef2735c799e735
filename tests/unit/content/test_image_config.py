"""What an image's config says, also when it says it badly."""

import json
from datetime import UTC, datetime

import pytest

from registry.content.image_config import Step, parse_image_config, parse_time


def test_everything_that_docker_shows_is_read() -> None:
    document = {
        "created": "2024-05-06T07:08:09.123456789Z",
        "author": "somebody",
        "comment": "made by hand",
        "docker_version": "20.10",
        "os": "linux",
        "os.version": "1",
        "architecture": "arm",
        "variant": "v7",
        "config": {"Labels": {"a": "b"}, "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "ADD", "comment": "c", "empty_layer": True}],
    }

    config = parse_image_config(json.dumps(document).encode())

    assert config is not None
    assert (config.created, config.author, config.comment) == (document["created"], "somebody", "made by hand")
    assert (config.docker_version, config.os, config.os_version) == ("20.10", "linux", "1")
    assert (config.architecture, config.variant) == ("arm", "v7")
    assert config.labels == {"a": "b"}
    assert config.run["Cmd"] == ["sh"]
    assert config.diff_ids == ["sha256:1"]
    assert config.history == [Step("2024-01-01T00:00:00Z", "ADD", "c", made=False)]


@pytest.mark.parametrize("data", [b"", b"\x00\x01", b"[]", b"null", b'"text"', b"[" * 100_000])
def test_what_is_no_config_is_none(data: bytes) -> None:
    assert parse_image_config(data) is None


def test_members_of_the_wrong_kind_count_as_absent() -> None:
    odd = {"created": 5, "author": None, "config": [], "rootfs": {"diff_ids": "x"}, "history": [1, {"created_by": 2}]}

    config = parse_image_config(json.dumps(odd).encode())

    assert config is not None
    assert (config.created, config.author, dict(config.labels), config.diff_ids) == ("", "", {}, ())
    assert config.history == [Step()]


@pytest.mark.parametrize("labels", [None, [], "x", {"a": 1, "b": None}])
def test_labels_of_the_wrong_kind_are_none(labels: object) -> None:
    config = parse_image_config(json.dumps({"config": {"Labels": labels}}).encode())

    assert config is not None
    assert config.labels == {}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05.1Z", datetime(2024, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC)),
        ("2024-01-02T03:04:05.123456789Z", datetime(2024, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2024-13-02T03:04:05Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_read_as_docker_writes_them(text: str, moment: datetime | None) -> None:
    assert parse_time(text) == moment
