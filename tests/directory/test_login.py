"""The server lets in whom the directory lets in, with the groups that the directory knows."""

import signal
from pathlib import Path

import httpx

from tests.directory.slapd import BASE, PASSWORDS, SERVICE_DN, SERVICE_PASSWORD, directory
from tests.guarded import guarded

SETTINGS = """
auth:
  ldap:
    url: {url}
    bind_dn: "{service}"
    bind_password_file: {secret}
    user_base: "ou=people,{base}"
    user_filter: "(&(objectClass=inetOrgPerson)(uid={{user}}))"
    group_base: "ou=groups,{base}"
    remember_seconds: 1s
access:
  rules:
    - {{who: group:dev, repositories: "team/**", actions: [pull, push]}}
    - {{who: group:ops, repositories: "**", actions: [pull, push, delete]}}
"""


def test_people_of_the_directory_log_in_with_their_groups(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SERVICE_PASSWORD + "\n")
    (tmp_path / "slapd").mkdir()
    with directory(tmp_path / "slapd") as running:
        settings = SETTINGS.format(url=running.url, base=BASE, service=SERVICE_DN, secret=tmp_path / "secret")
        with guarded(tmp_path, settings, users={}) as closed:
            url = closed.server.url

            def ask(name: str, password: str, scope: str, **more: str) -> httpx.Response:
                parameters = {"scope": scope, **more}
                return httpx.get(f"{url}/auth/token", params=parameters, auth=(name, password), trust_env=False)

            alice = ask("alice", PASSWORDS["alice"], "repository:any/thing:pull,push,delete", offline_token="true")
            bob = ask("bob", PASSWORDS["bob"], "repository:any/thing:pull repository:team/app:pull,push,delete")

            assert alice.json()["scope"] == "repository:any/thing:pull,push,delete"
            assert bob.json()["scope"] == "repository:team/app:pull,push"
            assert ask("alice", "wrong", "").status_code == 401
            assert ask("nobody", "wrong", "").status_code == 401
            assert ask("locked", PASSWORDS["locked"], "").status_code == 401

            form = {"grant_type": "refresh_token", "refresh_token": alice.json()["refresh_token"]}
            assert httpx.post(f"{url}/auth/token", data=form, trust_env=False).status_code == 200
            begun = httpx.post(f"{url}/v2/team/app/blobs/uploads/", auth=("ALICE", PASSWORDS["alice"]), trust_env=False)
            assert begun.status_code == 202

            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
            down = ask("bob", PASSWORDS["bob"] + "!", "")
            assert (down.status_code, down.headers["retry-after"]) == (503, "5")
            assert PASSWORDS["bob"] not in closed.server.tail()
            assert SERVICE_PASSWORD not in closed.server.tail()
