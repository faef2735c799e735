"""Who may pull what through a server that asks for logins."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.counting_proxy import CountingProxy
from tests.guarded import PASSWORDS, Guarded, guarded
from tests.images import random_image
from tests.wire.repository import Repository
from tests.wire.wire import Reply, Wire

IMAGE = random_image(21)
BASIC = "Basic " + base64.b64encode(f"alice:{PASSWORDS['alice']}".encode()).decode()
_SETTINGS = """
mirror:
  default: hub
  sources:
    - {{prefix: hub, upstream: "{address}", ns: [registry.example]}}
    - {{prefix: closed, upstream: "{address}", ns: [closed.example]}}
  signatures: false
access:
  rules:
    - {{who: user:alice, repositories: ["team/**", "closed/**"], actions: [pull, push]}}
    - {{who: anonymous, repositories: "hub/**", actions: pull}}
"""


@pytest.fixture
def mirror(tmp_path: Path, proxy: CountingProxy, there: Repository) -> Iterator[Guarded]:
    """A registry in which anybody may pull what is below `hub/`, and alice what is below `closed/` and `team/`."""
    there.push("v1", IMAGE)
    (tmp_path / "mirror").mkdir()
    with guarded(tmp_path / "mirror", _SETTINGS.format(address=proxy.address)) as found:
        yield found


def _get(mirror: Guarded, path: str, headers: dict[str, str] | None = None) -> Reply:
    return Wire(mirror.server.url).call("GET", path, headers=headers)


def test_what_anybody_may_pull_needs_no_login_by_any_of_its_names(mirror: Guarded) -> None:
    blob = IMAGE.layers[0]

    for path in ("/v2/hub/team/app/{}", "/v2/team/app/{}", "/v2/team/app/{}?ns=registry.example"):
        assert _get(mirror, path.format("manifests/v1")).body == IMAGE.manifest.data
        assert _get(mirror, path.format(f"blobs/{blob.digest}")).body == blob.data


def test_what_anybody_may_pull_may_be_pulled_with_a_token_of_nobody_as_docker_does(mirror: Guarded) -> None:
    granted = _get(mirror, "/auth/token?service=cargohold&scope=repository:team/app:pull")
    nobody = {"Authorization": f"Bearer {granted.json['token']}"}

    found = _get(mirror, "/v2/team/app/manifests/v1", nobody)
    closed = _get(mirror, "/v2/closed/team/app/manifests/v1", nobody)

    assert found.body == IMAGE.manifest.data
    assert (closed.status, closed.codes) == (401, ["UNAUTHORIZED"])


def test_a_token_for_a_name_is_good_for_what_the_default_upstream_has_under_it(
    tmp_path: Path, proxy: CountingProxy, there: Repository
) -> None:
    there.push("v1", IMAGE)
    settings = _SETTINGS.format(address=proxy.address).replace("default: hub", "default: closed")
    settings += "    - {who: user:bob, repositories: closed/**, actions: pull}\n"
    with guarded(tmp_path, settings) as mirror:
        for name in ("alice", "bob"):  # who may push below team/ here, too, and who may not see it
            login = base64.b64encode(f"{name}:{PASSWORDS[name]}".encode()).decode()
            path = "/auth/token?service=cargohold&scope=repository:team/app:pull,push"
            token = _get(mirror, path, {"Authorization": f"Basic {login}"}).json["token"]
            bearer = {"Authorization": f"Bearer {token}"}

            assert _get(mirror, "/v2/team/app/manifests/v1", bearer).body == IMAGE.manifest.data
            assert _get(mirror, f"/v2/team/app/blobs/{IMAGE.config.digest}", bearer).body == IMAGE.config.data
        nobody = _get(mirror, "/auth/token?service=cargohold&scope=repository:team/app:pull").json["token"]
        assert _get(mirror, "/v2/team/app/manifests/v1", {"Authorization": f"Bearer {nobody}"}).status == 401


def test_what_is_closed_is_closed_by_any_of_its_names_and_nothing_is_asked_for_it(
    mirror: Guarded, proxy: CountingProxy
) -> None:
    proxy.forget()
    paths = [
        "/v2/closed/team/app/manifests/v1",
        "/v2/team/app/manifests/v1?ns=closed.example",
        f"/v2/closed/team/app/blobs/{IMAGE.config.digest}",
        "/v2/closed/team/app/tags/list",
    ]

    replies = [_get(mirror, path) for path in paths]

    assert [reply.status for reply in replies] == [401] * len(paths)
    assert 'scope="repository:closed/team/app:pull"' in replies[1].header("WWW-Authenticate")
    assert proxy.requests() == {}


def test_names_that_one_may_not_see_look_alike_whether_they_are_here_or_not(mirror: Guarded) -> None:
    own = {"Authorization": BASIC, "Content-Type": IMAGE.manifest.media_type}
    wire = Wire(mirror.server.url)
    for blob in IMAGE.blobs:
        wire.call("POST", f"/v2/team/secret/blobs/uploads/?digest={blob.digest}", body=blob.data, headers=own)
    pushed = wire.call("PUT", "/v2/team/secret/manifests/v1", body=IMAGE.manifest.data, headers=own)

    here, nowhere = (_get(mirror, f"/v2/team/{name}/manifests/v1") for name in ("secret", "nothing"))

    assert pushed.status == 201
    assert (here.status, here.codes) == (nowhere.status, nowhere.codes)
    assert here.message.replace("secret", "nothing") == nowhere.message


def test_a_login_with_rights_opens_it(mirror: Guarded) -> None:
    found = _get(mirror, "/v2/team/app/manifests/v1?ns=closed.example", {"Authorization": BASIC})
    refused = Wire(mirror.server.url).call(
        "POST", "/v2/closed/team/app/blobs/uploads/", headers={"Authorization": BASIC}
    )

    assert found.body == IMAGE.manifest.data
    assert (refused.status, refused.codes) == (405, ["UNSUPPORTED"])
