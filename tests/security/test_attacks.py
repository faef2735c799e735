"""Every attack of the table, against a live server; and those that take more than one request."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.guarded import guarded
from tests.security.attack import FORM, Attack
from tests.security.attacks import ATTACKS
from tests.security.world import PASSWORDS, SETTINGS, World, basic

REVOKED_SECONDS = 2.5
"""What is promised: so long after a command no process accepts any more what it has revoked."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry with something to steal; in the end its log must not hold any secret that was used on it."""
    with guarded(tmp_path_factory.mktemp("world"), SETTINGS, users=PASSWORDS) as closed:
        found = World(closed)
        yield found
        log = closed.server.log.read_text()
    assert [secret for secret in found.secrets if secret in log] == []
    assert "Traceback" not in log


def test_the_table_has_many_rows_each_with_a_name_of_its_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 150


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(world: World, attack: Attack) -> None:
    reply = world.call(attack.method, attack.target, attack.credential(world), attack.body, attack.headers)

    assert reply.status == attack.status, reply.body
    assert tuple(reply.codes) == attack.codes
    assert attack.check(world, reply)
    assert [secret for secret in world.secrets if secret.encode() in reply.body] == []


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

    assert len(files) >= 4
    assert [file for file in files if file.stat().st_mode & 0o077] == []
    kept = b"".join(file.read_bytes() for file in files)
    assert [secret for secret in world.secrets if secret.encode() in kept] == []
    assert os.geteuid() == files[0].stat().st_uid


def test_guessing_is_held_back_by_address_whatever_is_forwarded(tmp_path: Path) -> None:
    settings = SETTINGS.replace("per_address: 10000", "per_address: 5")
    with guarded(tmp_path, settings, users=PASSWORDS) as closed:
        world = World(closed)
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
        assert world.call("GET", "/v2/", basic("carol")).status == 200, "a password that is remembered is no guess"
