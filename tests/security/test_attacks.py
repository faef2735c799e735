"""Every attack of the table, against a live server; and those that take more than one request."""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.guarded import guarded
from tests.images import OCI_INDEX, random_image
from tests.security.attack import FORM, VAULT_BLOB, Attack
from tests.security.attacks import ATTACKS
from tests.security.world import PASSWORDS, SETTINGS, Reply, World, basic

REVOKED_SECONDS = 2.5
"""What is promised: so long after a command no process accepts any more what it has revoked."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry with something to steal; in the end its log must not hold any secret that was used on it."""
    with guarded(tmp_path_factory.mktemp("world"), SETTINGS, users=PASSWORDS) as closed:
        found = World(closed)
        yield found
        log = closed.server.log.read_text()
    assert [secret for secret in (*found.secrets, *found.bearers) if secret in log] == []
    assert "Traceback" not in log


def test_the_table_has_many_rows_each_with_a_name_of_its_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 350


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(world: World, attack: Attack) -> None:
    reply = world.call(attack.method, attack.target, attack.credential(world), attack.body, attack.headers)

    assert reply.status == attack.status, reply.body
    assert tuple(reply.codes) == attack.codes
    assert attack.check(world, reply)
    assert [secret for secret in world.secrets if secret.encode() in reply.body] == []


def test_an_upload_session_is_its_repositorys_alone(world: World) -> None:
    mine = world.call("POST", "/v2/bob/own/blobs/uploads/", basic("bob")).headers["location"]
    elsewhere = mine.replace("/bob/own/", "/team/app/")
    digest = f"digest={VAULT_BLOB}"

    stolen = [
        world.call(method, target, basic("alice"), body)
        for method, target, body in [
            ("GET", elsewhere, b""),
            ("PATCH", elsewhere, b"x"),
            ("PUT", f"{elsewhere}?{digest}", b"x"),
            ("DELETE", elsewhere, b""),
        ]
    ]
    direct = [
        world.call(method, mine, who, b"x" if method == "PATCH" else b"").status
        for who in (basic("alice"), basic("ci", world.robot))
        for method in ("GET", "PATCH", "DELETE")
    ]

    assert [reply.codes for reply in stolen] == [["BLOB_UPLOAD_UNKNOWN"]] * 4
    assert direct == [403] * 6
    assert world.call("PATCH", mine, basic("bob"), b"mine").headers["range"] == "0-3"


def test_a_refresh_token_gets_no_more_than_its_user_has(world: World) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": world.refresh}
    more = urlencode({**form, "scope": "repository:secret/vault:pull repository:team/app:*"})
    reply = world.call("POST", "/auth/token", None, more.encode(), FORM)

    assert reply.status == 200
    assert json.loads(reply.body)["scope"] == "repository:team/app:pull,push"
    for changed in ({"service": "bank"}, {"refresh_token": world.refresh + "\0"}, {"refresh_token": world.robot}):
        refused = world.call("POST", "/auth/token", None, urlencode({**form, **changed}).encode(), FORM)
        assert refused.status in (400, 401), changed


def test_a_token_for_one_service_is_worth_nothing_at_another(tmp_path: Path) -> None:
    settings = SETTINGS.replace("auth: {", "auth: {token: {further_services: [mirror]}, ")
    with guarded(tmp_path, settings, users=PASSWORDS) as closed:
        world = World(closed)
        query = "service=mirror&offline_token=true&scope=repository:secret/vault:pull"
        granted = json.loads(world.call("GET", f"/auth/token?{query}", basic("carol")).body)
        form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}

        assert world.call("GET", "/v2/secret/vault/manifests/1", f"Bearer {granted['token']}").status == 401
        for service, status in [("cargohold", 401), ("", 401), ("mirror", 200)]:
            body = urlencode({**form, "service": service}).encode()
            assert world.call("POST", "/auth/token", None, body, FORM).status == status, service


def test_a_robot_and_a_user_of_one_name_have_nothing_in_common(world: World) -> None:
    robot = world.closed.robot("carol", "public/**:pull")
    world.closed.cargohold("user", "add", "ci", "--password-stdin", stdin="not a robot")
    vault, app = "/v2/secret/vault/manifests/1", "/v2/team/app/manifests/1"

    assert world.call("GET", "/v2/public/base/manifests/1", basic("carol", robot)).status == 200
    assert world.call("GET", vault, basic("carol", robot)).status == 404
    assert world.call("GET", vault, basic("carol")).status == 200
    assert world.call("GET", app, basic("ci", "not a robot")).status == 404
    assert world.call("GET", app, basic("ci", world.robot)).status == 200
    for name in ("robot:ci", "group:keepers", "../carol", "car\nol", "*", "{user}", " carol"):
        with pytest.raises(AssertionError, match="cannot be a name"):
            world.closed.cargohold("user", "add", name, "--password-stdin", stdin="a password")


def test_a_connection_remembers_nobody(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.closed.server.port, timeout=30)
    statuses = []
    with closing(connection):
        for authorization in (basic("carol"), None, world.bearer("carol", "repository:secret/vault:pull"), None):
            headers = {} if authorization is None else {"Authorization": authorization}
            connection.request("GET", "/v2/secret/vault/manifests/1", headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)

    assert statuses == [200, 401, 200, 401]


def test_a_new_password_ends_what_was_begun_with_the_old_one(world: World) -> None:
    world.closed.cargohold("user", "add", "trent", "--password-stdin", stdin="old password")
    query = "/auth/token?scope=repository:public/base:pull&offline_token=true"
    begun = json.loads(world.call("GET", query, basic("trent", "old password")).body)
    form = urlencode({"grant_type": "refresh_token", "refresh_token": begun["refresh_token"]}).encode()
    assert world.call("GET", "/v2/", f"Bearer {begun['token']}").status == 200

    world.closed.cargohold("user", "passwd", "trent", "--password-stdin", stdin="new password")
    time.sleep(REVOKED_SECONDS)

    assert world.call("GET", "/v2/", basic("trent", "old password")).status == 401
    assert world.call("GET", "/v2/", f"Bearer {begun['token']}").status == 401
    assert world.call("POST", "/auth/token", None, form, FORM).status == 401
    assert world.call("GET", "/v2/", basic("trent", "new password")).status == 200


def test_who_takes_the_name_of_a_removed_user_takes_nothing_else(world: World) -> None:
    add = ("user", "add", "peggy", "--password-stdin")
    world.closed.cargohold(*add, stdin="first peggy")
    query = "/auth/token?scope=repository:public/base:pull&offline_token=true"
    begun = json.loads(world.call("GET", query, basic("peggy", "first peggy")).body)
    personal = world.closed.cargohold("token", "create", "--name", "peggys", "--user", "peggy").strip()
    form = urlencode({"grant_type": "refresh_token", "refresh_token": begun["refresh_token"]}).encode()

    world.closed.cargohold("user", "remove", "peggy")
    world.closed.cargohold(*add, stdin="second peggy")
    time.sleep(REVOKED_SECONDS)

    assert world.call("GET", "/v2/", basic("peggy", "first peggy")).status == 401
    assert world.call("GET", "/v2/", basic("peggy", personal)).status == 401
    assert world.call("GET", "/v2/", f"Bearer {begun['token']}").status == 401
    assert world.call("POST", "/auth/token", None, form, FORM).status == 401


def test_no_line_of_the_log_can_be_forged(world: World) -> None:
    forged = 'x\n{"level":"info","message":"forged"}\r\nforged\x1b[31m\u2028'
    world.call("GET", "/v2/", basic(forged, "p"))
    world.call("GET", "/auth/token", basic(forged, "p"))
    form = urlencode({"grant_type": "password", "username": forged + '","user":"carol', "password": "p"})
    world.call("POST", "/auth/token", None, form.encode(), FORM)
    world.call("GET", "/auth/token?scope=repository:x%0aforged:pull", basic("alice"))
    world.call("GET", "/v2/team/app/manifests/1?x=%0aforged", basic("alice"), headers={"User-Agent": '","user":"carol'})
    world.closed.server.stop()
    log = world.closed.server.log.read_bytes()
    world.closed.server.start()

    lines = [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]
    assert [line for line in log.splitlines() if line.startswith(b"forged")] == []
    assert [line for line in lines if line.get("message") == "forged"] == []
    assert [line for line in lines if line.get("user") == "carol" and line.get("outcome") == "invalid_grant"] == []
    assert b"\x1b" not in log


def test_a_token_that_is_typed_where_the_name_belongs_is_not_written_down(world: World) -> None:
    token = world.closed.robot("typo", "public/**:pull")
    assert world.call("GET", "/v2/", basic(token, "x")).status == 401
    assert world.call("GET", "/auth/token", basic(token, "x")).status == 401
    form = urlencode({"grant_type": "password", "username": token, "password": "x"})
    assert world.call("POST", "/auth/token", None, form.encode(), FORM).status == 401

    world.closed.server.restart()

    assert token.encode() not in world.closed.server.log.read_bytes()


def test_an_immutable_index_keeps_what_it_names(world: World) -> None:
    image, kind = random_image(7), {"Content-Type": OCI_INDEX}
    world.push("bob", "bob/multi", image, image.manifest.digest)
    entries = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image.manifest.descriptor]}
    index = json.dumps(entries).encode()
    assert world.call("PUT", "/v2/bob/multi/manifests/v1", basic("bob"), index, kind).status == 201

    reply = world.call("DELETE", f"/v2/bob/multi/manifests/{image.manifest.digest}", basic("bob"))

    assert (reply.status, reply.codes) == (409, ["DENIED"])
    assert world.call("GET", f"/v2/bob/multi/manifests/{image.manifest.digest}", basic("bob")).status == 200


def test_a_refresh_token_works_once_more_and_is_dead_when_it_is_revoked(world: World) -> None:
    refresh = str(world.token_for("alice", offline=True)["refresh_token"])
    form = urlencode({"grant_type": "refresh_token", "refresh_token": refresh, "scope": "repository:team/app:pull"})
    first = world.call("POST", "/auth/token", None, form.encode(), FORM)
    bearer = f"Bearer {json.loads(first.body)['token']}"
    assert world.call("GET", "/v2/team/app/manifests/1", bearer).status == 200

    world.closed.cargohold("token", "revoke", refresh.split("_")[2])
    time.sleep(REVOKED_SECONDS)

    assert world.call("POST", "/auth/token", None, form.encode(), FORM).status == 401
    assert world.call("GET", "/v2/team/app/manifests/1", bearer).status == 401


def test_a_user_who_is_removed_is_out_with_all_that_they_hold(world: World) -> None:
    world.closed.cargohold("user", "add", "mallory", "--password-stdin", stdin="sleight of hand")
    mallory = basic("mallory", "sleight of hand")
    token = json.loads(world.call("GET", "/auth/token?scope=repository:public/base:pull", mallory).body)["token"]
    personal = world.closed.cargohold("token", "create", "--name", "mallorys", "--user", "mallory").strip()
    assert world.call("GET", "/v2/", f"Bearer {token}").status == 200
    assert world.call("GET", "/v2/", basic("mallory", personal)).status == 200

    world.closed.cargohold("user", "remove", "mallory")
    time.sleep(REVOKED_SECONDS)

    assert world.call("GET", "/v2/", mallory).status == 401
    assert world.call("GET", "/v2/", f"Bearer {token}").status == 401
    assert world.call("GET", "/v2/", basic("mallory", personal)).status == 401


def test_keys_that_got_into_wrong_hands_are_worth_nothing_after_a_rotation(tmp_path: Path) -> None:
    with guarded(tmp_path, SETTINGS, users=PASSWORDS, arguments=["--workers", "2"]) as closed:
        world = World(closed)
        forged = f"Bearer {world.mint()}"
        assert world.call("GET", "/v2/secret/vault/manifests/1", forged).status == 200

        closed.cargohold("auth", "keys", "rotate", "--at-once")
        time.sleep(REVOKED_SECONDS)

        assert [world.call("GET", "/v2/secret/vault/manifests/1", forged).status for _ in range(8)] == [401] * 8
        fresh = world.bearer("carol", "repository:secret/vault:pull")
        assert world.call("GET", "/v2/secret/vault/manifests/1", fresh).status == 200


def test_a_key_of_another_registry_opens_nothing(world: World, tmp_path: Path) -> None:
    with guarded(tmp_path, SETTINGS, users=PASSWORDS) as closed:
        foreign = World(closed).bearer("carol", "repository:secret/vault:pull")

    assert world.call("GET", "/v2/secret/vault/manifests/1", foreign).status == 401


def test_what_is_kept_for_logins_can_be_read_by_its_owner_alone(world: World) -> None:
    files = [file for file in (world.closed.server.root / "cargohold/v1/auth").rglob("*") if file.is_file()]

    assert len(files) >= 3  # keys, accounts, and a login at least
    assert [file for file in files if file.stat().st_mode & 0o077] == []
    kept = b"".join(file.read_bytes() for file in files)
    assert [secret for secret in world.secrets if secret.encode() in kept] == []
    assert os.geteuid() == files[0].stat().st_uid


def test_guessing_many_at_once_is_held_back_as_well(tmp_path: Path) -> None:
    settings = SETTINGS.replace("per_account: 10000", "per_account: 5")
    with guarded(tmp_path, settings, users=PASSWORDS) as closed, ThreadPoolExecutor(30) as pool:
        world = World(closed, filled=False)
        guesses = [basic("dave", f"guess {number}") for number in range(30)]
        answers = list(pool.map(lambda guess: world.call("GET", "/auth/token", guess).status, guesses))

    assert sorted(answers) == [401] * 5 + [429] * 25


def test_guessing_is_held_back_by_account_on_every_way(tmp_path: Path) -> None:
    settings = SETTINGS.replace("per_account: 10000", "per_account: 3")
    with guarded(tmp_path, settings, users=PASSWORDS) as closed:
        world = World(closed, filled=False)
        form = urlencode({"grant_type": "password", "username": "dave", "password": "guess 3"}).encode()
        ways: list[Callable[[], Reply]] = [
            lambda: world.call("GET", "/v2/", basic("dave", "guess 1")),
            lambda: world.call("GET", "/auth/token", basic("DAVE", "guess 2")),
            lambda: world.call("POST", "/auth/token", None, form, FORM),
        ]

        assert [way().status for way in ways] == [401] * 3
        assert [way().status for way in ways] == [429] * 3
        assert world.call("GET", "/v2/", basic("erin", "guess")).status == 401


def test_guessing_is_held_back_by_address_whatever_is_forwarded(tmp_path: Path) -> None:
    settings = SETTINGS.replace("per_address: 10000", "per_address: 5")
    with guarded(tmp_path, settings, users=PASSWORDS) as closed:
        world = World(closed, filled=False)
        assert world.call("GET", "/v2/", basic("carol")).status == 200
        answers = [
            world.call(
                "GET", "/auth/token", basic("alice", f"guess {number}"), headers={"X-Forwarded-For": f"1.2.3.{number}"}
            )
            for number in range(7)
        ]

        assert [answer.status for answer in answers] == [401] * 5 + [429] * 2
        assert answers[-1].codes == ["TOOMANYREQUESTS"]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert world.call("GET", "/v2/", basic("bob", "guess")).status == 429
        assert world.call("GET", "/v2/", basic("carol")).status == 429, "a guess may be right, and remembered"
