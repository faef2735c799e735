"""`cargohold auth serve`: one token service for several registries, each of which believes what is meant for it."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.guarded import RULES, cargohold
from tests.live_server import LiveServer, ReservedPort, answers_at, cargohold_command, live_server
from tests.wire.repository import Repository, digest_of
from tests.wire.wire import Reply, Wire

METRICS = "metrics: {networks: [127.0.0.1]}\n"


class TokenServer(LiveServer):
    """The token service as a process of its own."""

    def command(self) -> list[str]:
        """What is run."""
        words = ["--root", str(self.root), "--listen", self.address]
        return [*cargohold_command(), "auth", "serve", *words, *self.arguments]

    def answers(self) -> bool:
        """True if it is there."""
        return answers_at(self.address, "/healthz")


@dataclass(frozen=True)
class Federation:
    """A token service, and the registries that believe it, by the name of their service."""

    tokens: TokenServer
    config: Path
    registries: Mapping[str, LiveServer]

    def token(self, service: str, password: str = "horse", actions: str = "pull,push") -> str:
        """A bearer token of alice for one of the registries."""
        reply = Wire(self.tokens.url).call(
            "GET", f"/auth/token?service={service}&scope=repository:team/app:{actions}", headers=_basic(password)
        )
        assert reply.status == 200, reply.body
        return str(reply.json["token"])

    def push(self, registry: str, authorization: Mapping[str, str]) -> Reply:
        """Try to push a blob."""
        repository = Repository(Wire(self.registries[registry].url), "team/app")
        path = f"blobs/uploads/?digest={digest_of(b'bytes')}"
        return repository.call("POST", path, body=b"bytes", headers=authorization)


def _basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'alice:{password}'.encode()).decode()}"}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A token service with one user, and two registries."""
    tmp_path = tmp_path_factory.mktemp("federation")
    config = tmp_path / "auth.yml"
    config.write_text(f"auth: {{enabled: true, token: {{service: one, further_services: [two]}}}}\n{METRICS}{RULES}")
    cargohold(tmp_path / "auth", config, "user", "add", "alice", "--password-stdin", stdin="horse")
    port = ReservedPort()
    tokens = TokenServer(tmp_path / "auth", port.number, tmp_path / "auth.log", ["--config", str(config)])
    with ExitStack() as stack:
        stack.callback(port.close)
        tokens.start()
        stack.callback(tokens.kill)
        registries = {}
        for service in ("one", "two"):
            directory = tmp_path / service
            directory.mkdir()
            settings = directory / "cargohold.yml"
            settings.write_text(f"auth: {{url: {tokens.url}, token: {{service: {service}}}}}\n{RULES}")
            arguments = ["--config", str(settings)]
            registries[service] = stack.enter_context(live_server(directory, arguments=arguments))
        yield Federation(tokens, config, registries)


def test_each_registry_sends_its_clients_there_and_believes_what_is_meant_for_it(federation: Federation) -> None:
    for service, other in (("one", "two"), ("two", "one")):
        refused = federation.push(service, {})
        assert refused.status == 401
        challenge = refused.header("WWW-Authenticate")
        assert f'realm="{federation.tokens.url}/auth/token",service="{service}"' in challenge

        token = federation.token(service)

        assert federation.push(service, _bearer(token)).status == 201
        assert federation.push(other, _bearer(token)).status == 401
        assert federation.push(service, _bearer(federation.token(service, actions="pull"))).status == 401


def test_passwords_go_to_the_token_service_alone(federation: Federation) -> None:
    assert federation.push("one", _basic("horse")).status == 401

    wire = Wire(federation.tokens.url)
    assert httpx.get(f"{wire.url}/v2/", trust_env=False).status_code == 404
    assert wire.call("GET", "/auth/token?service=one", headers=_basic("wrong")).status == 401
    assert wire.call("GET", "/auth/token?service=three", headers=_basic("horse")).status == 400


def test_what_the_token_service_answers_is_counted(federation: Federation) -> None:
    federation.token("one")

    counted = httpx.get(f"{federation.tokens.url}/metrics", trust_env=False).text

    assert 'cargohold_requests_total{kind="other",method="GET",status="200"}' in counted
    assert httpx.get(f"{federation.registries['one'].url}/metrics", trust_env=False).status_code == 404


def test_keys_that_were_rotated_and_a_service_that_is_away_stop_nobody(federation: Federation) -> None:
    before = federation.token("one")
    assert federation.push("one", _bearer(before)).status == 201
    cargohold(federation.tokens.root, federation.config, "auth", "keys", "rotate")
    federation.tokens.kill()

    assert federation.push("one", _bearer(before)).status == 201
    federation.tokens.start()
    assert federation.push("one", _bearer(federation.token("one"))).status == 201
