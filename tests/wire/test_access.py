"""Rules that hold for everybody: immutable tags, read-only mode, rules that change while the server runs; audit."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest

from tests.guarded import AUTH, PASSWORDS, RULES, Guarded, guarded
from tests.images import OCI_MANIFEST, random_image
from tests.live_server import live_server

NOTICED_SECONDS = 2.5
"""What is promised: a changed file counts within two seconds, on every worker."""
SETTINGS = (
    AUTH
    + RULES
    + """
  immutable_tags:
    - {repositories: "team/**", tags: ["v*"]}
"""
)


class Client:
    """Somebody who sends a password with each request."""

    def __init__(self, url: str, name: str = "") -> None:
        auth = (name, PASSWORDS[name]) if name else None
        self.http = httpx.Client(base_url=url, auth=auth, timeout=30, trust_env=False)

    def push(self, repository: str, tag: str, seed: int) -> httpx.Response:
        """Push a small image; the answer is that of the manifest's push."""
        image = random_image(seed)
        for content in (image.config, *image.layers):
            target = f"/v2/{repository}/blobs/uploads/?digest={content.digest}"
            self.http.post(target, content=content.data).raise_for_status()
        return self.tag(repository, tag, seed)

    def tag(self, repository: str, tag: str, seed: int) -> httpx.Response:
        """Push the manifest alone."""
        data, headers = random_image(seed).manifest.data, {"content-type": OCI_MANIFEST}
        return self.http.put(f"/v2/{repository}/manifests/{tag}", content=data, headers=headers)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A registry with accounts and immutable tags, on two workers."""
    with guarded(tmp_path_factory.mktemp("closed"), SETTINGS, arguments=["--workers", "2"]) as found:
        yield found


@pytest.fixture
def alice(closed: Guarded) -> Iterator[Client]:
    client = Client(closed.server.url, "alice")
    yield client
    client.http.close()


@pytest.fixture
def repository(unique: bytes) -> str:
    return f"team/test-{unique.decode()}"


def codes(answer: httpx.Response) -> list[str]:
    return [item["code"] for item in answer.json()["errors"]]


def test_an_immutable_tag_is_pushed_once_and_again_only_as_it_is(alice: Client, repository: str, seed: int) -> None:
    assert alice.push(repository, "v1", seed).status_code == 201
    assert alice.push(repository, "latest", seed).status_code == 201

    assert alice.push(repository, "v1", seed).status_code == 201
    moved = alice.push(repository, "v1", seed + 1)
    assert (moved.status_code, codes(moved)) == (409, ["DENIED"])
    assert "immutable" in moved.json()["errors"][0]["message"]

    assert alice.push(repository, "latest", seed + 1).status_code == 201
    served = alice.http.get(f"/v2/{repository}/manifests/v1").headers["docker-content-digest"]
    assert served == random_image(seed).manifest.digest


def test_an_immutable_tag_cannot_be_deleted_nor_its_manifest(alice: Client, repository: str, seed: int) -> None:
    alice.push(repository, "v1", seed)
    alice.push(repository, "latest", seed)
    digest = random_image(seed).manifest.digest

    for reference in ("v1", digest):
        assert alice.http.delete(f"/v2/{repository}/manifests/{reference}").status_code == 409
    assert alice.http.delete(f"/v2/{repository}/manifests/latest").status_code == 202

    assert alice.http.get(f"/v2/{repository}/manifests/v1").status_code == 200


def test_of_many_pushes_of_one_immutable_tag_exactly_one_wins(
    closed: Guarded, alice: Client, repository: str, seed: int
) -> None:
    for number in range(8):
        alice.push(repository, f"x{number}", seed + number)
    answers: list[int] = []

    def push(number: int) -> None:
        client = Client(closed.server.url, "alice")
        answers.append(client.tag(repository, "v1", seed + number).status_code)
        client.http.close()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [201] + [409] * 7


def test_rules_count_as_soon_as_the_file_changes_and_wrong_ones_never(tmp_path: Path, seed: int) -> None:
    with guarded(tmp_path, AUTH + RULES) as closed:
        bob = Client(closed.server.url, "bob")
        assert (
            bob.http.get("/v2/public/x/tags/list").json()["errors"][0]["message"] == "there is no repository public/x"
        )
        assert bob.push("bob/x", "1", seed).status_code == 201

        closed.config.write_text(AUTH + RULES.replace("user:bob", "user:nobody"))
        time.sleep(NOTICED_SECONDS)
        assert bob.http.get("/v2/bob/x/manifests/1").status_code == 404

        line = 1 + (AUTH + RULES).splitlines().index(
            '    - {who: user:bob, repositories: "bob/**", actions: [pull, push]}'
        )
        closed.config.write_text(AUTH + RULES.replace("who: user:bob", "who: everybody"))
        time.sleep(NOTICED_SECONDS)
        assert bob.http.get("/v2/bob/x/manifests/1").status_code == 404
        assert f"cargohold.yml:{line}" in closed.server.tail()

        closed.config.write_text(AUTH + RULES)
        time.sleep(NOTICED_SECONDS)
        assert bob.http.get("/v2/bob/x/manifests/1").status_code == 200
        bob.http.close()


def test_a_file_that_is_emptied_and_written_again_opens_nothing_to_a_stranger(tmp_path: Path, seed: int) -> None:
    denied = RULES + "    - {who: user:bob, repositories: bob/secret, actions: [pull, push], effect: deny}\n"
    with guarded(tmp_path, AUTH + denied) as closed:
        bob, stranger = Client(closed.server.url, "bob"), Client(closed.server.url)
        assert bob.push("bob/x", "1", seed).status_code == 201
        seen = set()
        for text in ("", AUTH, AUTH + RULES, AUTH + denied):  # as an editor that stops now and then leaves it
            with closed.config.open("r+") as file:
                file.truncate()
                file.write(text)
            until = time.monotonic() + (NOTICED_SECONDS if text in ("", AUTH) else 0.2)
            while time.monotonic() < until:
                seen |= {
                    (
                        stranger.http.get("/v2/bob/x/manifests/1").status_code,
                        stranger.http.post("/v2/bob/x/blobs/uploads/").status_code,
                        stranger.http.delete("/v2/bob/x/manifests/1").status_code,
                        stranger.http.post("/admin/gc").status_code,
                        bob.http.post("/v2/team/x/blobs/uploads/").status_code,
                        bob.http.post("/v2/bob/secret/blobs/uploads/").status_code,
                    )
                }
                time.sleep(0.05)

        assert seen == {(401, 401, 401, 401, 403, 403)}
        assert "restart the server" in closed.server.log.read_text()
        for client in (bob, stranger):
            client.http.close()


def test_in_read_only_mode_pulling_goes_on(tmp_path: Path, seed: int) -> None:
    with live_server(tmp_path) as server:
        writer = Client(server.url)
        writer.push("a", "1", seed)
        writer.http.close()
    with live_server(tmp_path, environment={"CARGOHOLD_ACCESS__READ_ONLY": "true"}) as server:
        client = Client(server.url)

        assert client.http.get("/v2/a/manifests/1").status_code == 200
        refused = [
            client.http.post("/v2/a/blobs/uploads/"),
            client.tag("a", "2", seed),
            client.http.delete("/v2/a/manifests/1"),
        ]

        assert [(answer.status_code, codes(answer)) for answer in refused] == [(405, ["UNSUPPORTED"])] * 3
        client.http.close()


def test_the_audit_log_says_who_did_what_and_who_was_refused(tmp_path: Path, seed: int) -> None:
    log = tmp_path / "audit.jsonl"
    with guarded(tmp_path, AUTH + RULES + f"log: {{audit: {log}}}\n") as closed:
        alice, bob = Client(closed.server.url, "alice"), Client(closed.server.url, "bob")
        alice.push("team/x", "1", seed)
        alice.http.get("/v2/team/x/manifests/1")
        digest = random_image(seed).config.digest
        alice.http.post(f"/v2/team/y/blobs/uploads/?mount={digest}&from=team/x")
        alice.http.delete("/v2/team/x/manifests/1")
        bob.http.get("/v2/team/x/manifests/1")
        httpx.get(f"{closed.server.url}/v2/team/x/manifests/1", trust_env=False)
        httpx.get(f"{closed.server.url}/auth/token", auth=("mallory", "wrong horse"), trust_env=False)
        closed.server.stop()
        alice.http.close()
        bob.http.close()
    entries = [json.loads(line) for line in log.read_text().splitlines()]

    assert [(one["action"], one["outcome"], one["user"]) for one in entries if "digest" not in one] == [
        ("delete", "ok", "alice"),
        ("pull", "refused", "bob"),
        ("login", "invalid_grant", "anonymous"),
    ]
    [push] = [one for one in entries if one["action"] == "push" and one.get("reference")]
    assert push["digest"] == random_image(seed).manifest.digest
    assert (push["repository"], push["reference"], push["credential"]) == ("team/x", "1", "password")
    assert push["address"] == "127.0.0.1"
    [mount] = [one for one in entries if one["action"] == "mount"]
    assert (mount["repository"], mount["digest"], mount["detail"]) == ("team/y", digest, "from team/x")
    assert entries[-1]["claimed"] == "mallory"
    assert "horse" not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_the_audit_log_does_not_say_from_where_where_a_mount_does_not(tmp_path: Path, seed: int) -> None:
    log = tmp_path / "audit.jsonl"
    rules = 'access: {rules: [{who: user:alice, repositories: "**", actions: "*"}]}\n'
    with guarded(tmp_path, AUTH + rules + f"log: {{audit: {log}}}\n") as closed:
        alice = Client(closed.server.url, "alice")
        alice.push("team/x", "1", seed)
        mounted = alice.http.post(f"/v2/team/y/blobs/uploads/?mount={random_image(seed).config.digest}")
        closed.server.stop()
        alice.http.close()
    last = json.loads(log.read_text().splitlines()[-1])

    assert mounted.status_code == 201
    assert (last["action"], last["repository"], last.get("detail")) == ("mount", "team/y", None)


def test_the_audit_log_has_the_name_that_was_given_wherever_a_login_fails(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    settings = "auth: {enabled: true, throttle: {per_address: 4}}\n" + RULES + f"log: {{audit: {log}}}\n"
    with guarded(tmp_path, settings) as closed:
        url, pasted = closed.server.url, closed.robot("ci", "team/*:pull")
        wrong = ("mallory", "wrong horse")
        answers = [
            httpx.get(f"{url}/v2/", auth=wrong, trust_env=False),
            httpx.put(f"{url}/v2/team/x/manifests/1", auth=wrong, trust_env=False),
            httpx.get(f"{url}/v2/team/x/manifests/1", auth=(pasted, "x"), trust_env=False),
            httpx.get(f"{url}/auth/token", auth=wrong, trust_env=False),
            httpx.get(f"{url}/v2/", auth=wrong, trust_env=False),
            httpx.get(f"{url}/v2/team/x/manifests/1", auth=wrong, trust_env=False),
        ]
        closed.server.stop()
    entries = [json.loads(line) for line in log.read_text().splitlines()]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 429, 429]
    assert [(one["action"], one["outcome"], one["user"], one.get("claimed")) for one in entries] == [
        ("get", "refused", "anonymous", "mallory"),
        ("push", "refused", "anonymous", "mallory"),
        ("pull", "refused", "anonymous", "***"),
        ("login", "invalid_grant", "anonymous", "mallory"),
        ("get", "refused", "anonymous", "mallory"),
        ("pull", "refused", "anonymous", "mallory"),
    ]
    assert pasted not in log.read_text()


def test_the_audit_log_has_the_name_of_a_login_that_has_ended(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    htpasswd = tmp_path / "htpasswd"
    users = [f"{name}:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n" for name in ("carol", "dave")]
    htpasswd.write_text("".join(users))
    with guarded(tmp_path, f"auth: {{htpasswd: {htpasswd}}}\nlog: {{audit: {log}}}\n", users={}) as closed:
        url = f"{closed.server.url}/auth/token"

        def refresh(token: str) -> int:
            form = {"grant_type": "refresh_token", "refresh_token": token}
            return httpx.post(url, data=form, trust_env=False).status_code

        query = {"offline_token": "true", "scope": "repository:a:pull"}
        begun = httpx.get(url, params=query, auth=("carol", "secret"), trust_env=False).json()
        assert refresh(begun["refresh_token"]) == 200
        htpasswd.write_text(users[1])
        time.sleep(1.1)
        bearer = {"Authorization": f"Bearer {begun['token']}"}
        assert httpx.get(f"{closed.server.url}/v2/a/tags/list", headers=bearer, trust_env=False).status_code == 401
        assert refresh(begun["refresh_token"]) == 401
        [login] = closed.logins()
        closed.cargohold("token", "revoke", login["id"])
        assert refresh(begun["refresh_token"]) == 401
        closed.server.stop()
    entries = [json.loads(line) for line in log.read_text().splitlines()]

    assert [(one["action"], one["outcome"], one["user"], one.get("claimed")) for one in entries] == [
        ("login", "ok", "carol", None),
        ("refresh", "ok", "carol", None),
        ("get", "refused", "anonymous", "carol"),
        ("refresh", "invalid_grant", "anonymous", "carol"),
        ("refresh", "invalid_grant", "anonymous", f"login {login['id']}"),
    ]


def test_whoever_mounts_without_a_login_is_told_to_ask_for_both_repositories(tmp_path: Path) -> None:
    open_to_all = '    - {who: anonymous, repositories: "inbox/**", actions: [pull, push]}\n'
    with guarded(tmp_path, AUTH + RULES + open_to_all, users={}) as closed:

        def mount(target: str, source: str) -> httpx.Response:
            query = {"mount": f"sha256:{'0' * 64}", "from": source}
            return httpx.post(f"{closed.server.url}/v2/{target}/blobs/uploads/", params=query, trust_env=False)

        for source in ("public/base", "team/base"):
            asked = f'scope="repository:team/app:pull,push repository:{source}:pull"'
            assert asked in mount("team/app", source).headers["www-authenticate"]
        assert mount("inbox/x", "team/base").status_code == 202, "whoever needs no login for it is not asked for one"


def test_the_realm_is_the_address_by_which_the_client_reached_the_proxy(tmp_path: Path) -> None:
    settings = AUTH + RULES + "http: {trusted_proxies: [127.0.0.1]}\n"
    with guarded(tmp_path, settings, users={}) as closed:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "registry.example.com"}
        answer = httpx.get(f"{closed.server.url}/v2/", headers=forwarded, trust_env=False)

    assert 'realm="https://registry.example.com/auth/token"' in answer.headers["www-authenticate"]


def test_of_two_credentials_none_counts_even_if_one_has_just_been_seen(closed: Guarded) -> None:
    token = httpx.get(
        f"{closed.server.url}/auth/token?scope=repository:public/x:pull",
        auth=("alice", PASSWORDS["alice"]),
        trust_env=False,
    ).json()["token"]
    bearer, basic = ("Authorization", f"Bearer {token}"), ("Authorization", "Basic eDp5")
    accepts = [("Accept", "a/b"), ("Accept", "c/d")]

    def status(*headers: tuple[str, str]) -> int:
        url = f"{closed.server.url}/v2/public/x/tags/list"
        return httpx.get(url, headers=list(headers), trust_env=False).status_code

    for _ in range(4):  # there are two workers
        assert status(bearer, *accepts) == 404
        assert status(basic, bearer) == status(bearer, basic) == status(bearer, bearer) == 401
