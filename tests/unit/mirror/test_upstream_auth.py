"""Logging in to a registry elsewhere: challenges as registries write them, tokens kept as long as they last."""

import asyncio
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import httpx
import pytest

from registry.mirror.credentials import Credentials, Given
from registry.mirror.endpoints import Endpoint
from registry.mirror.errors import MirrorError, UpstreamDenied, UpstreamMisbehaved
from registry.mirror.upstream_auth import Challenge, UpstreamAuth, parse_challenges, read_token_answer

_PULL = ("repository:team/app:pull",)
_ALICE = Credentials("alice", "secret")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Service:
    """A token service that gives numbered tokens."""

    answer: Mapping[str, object] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> Mapping[str, object]:
        await asyncio.sleep(0)
        self.asked.append(request)
        return {"token": f"t{len(self.asked)}", **self.answer}


def _auth(
    service: Service, credentials: Credentials | None = None, clock: Clock | None = None, host: str = "r.test"
) -> UpstreamAuth:
    return UpstreamAuth(Endpoint.parse(host), Given(credentials), service, clock or Clock())


def _bearer(realm: str = "https://auth.test/token", **more: str) -> list[Challenge]:
    return [Challenge("bearer", {"realm": realm, "service": "r.test", **more})]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
         [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})]),
        (['Basic realm="x"'], [("basic", {"realm": "x"})]),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a", Bearer realm="https://b", service=c'],
         [("basic", {"realm": "a"}), ("bearer", {"realm": "https://b", "service": "c"})]),
        (['bearer REALM = "a \\"b\\", c"', "Negotiate"], [("bearer", {"realm": 'a "b", c'}), ("negotiate", {})]),
        (["", ", ,", 'realm="no scheme"'], []),
    ],
)  # fmt: skip
def test_challenges_are_read_as_registries_write_them(
    fields: list[str], found: list[tuple[str, dict[str, str]]]
) -> None:
    assert [(each.scheme, dict(each.parameters)) for each in parse_challenges(fields)] == found


@pytest.mark.parametrize("field", ["," * 100_000, "a=" + " " * 100_000, 'a="' + "\\x" * 50_000])
def test_a_challenge_that_says_nothing_costs_no_time(field: str) -> None:
    began = time.process_time()

    assert all(not challenge.parameters for challenge in parse_challenges([field]))
    assert time.process_time() - began < 1


async def test_nobody_gets_a_token_without_credentials() -> None:
    service = Service()

    header = await _auth(service).answer(_PULL, _bearer(scope="repository:team/app:pull"), None)

    assert header == "Bearer t1"
    assert str(service.asked[0].url) == "https://auth.test/token?service=r.test&scope=repository%3Ateam%2Fapp%3Apull"
    assert "authorization" not in service.asked[0].headers


async def test_a_password_goes_to_the_token_service_as_basic() -> None:
    service = Service()

    await _auth(service, _ALICE).answer(_PULL, _bearer(), None)

    assert service.asked[0].headers["authorization"].startswith("Basic ")
    assert service.asked[0].url.params["account"] == "alice"


async def test_an_identity_token_is_traded_in_a_form() -> None:
    service = Service({"access_token": "granted", "token": ""})

    header = await _auth(service, Credentials(identity_token="idt")).answer(_PULL, _bearer(), None)

    assert header == "Bearer granted"
    assert service.asked[0].method == "POST"
    form = parse_qs(service.asked[0].read().decode())
    assert (form["grant_type"], form["refresh_token"], form["scope"]) == (["refresh_token"], ["idt"], [*_PULL])


async def test_a_registry_token_is_sent_as_it_is() -> None:
    service = Service()

    assert await _auth(service, Credentials(registry_token="rt")).answer(_PULL, _bearer(), None) == "Bearer rt"
    assert service.asked == []


async def test_a_token_is_kept_by_its_scope_until_shortly_before_its_end() -> None:
    service, clock = Service({"expires_in": 300}), Clock()
    auth = _auth(service, clock=clock)
    await auth.answer(_PULL, _bearer(), None)

    assert auth.header(_PULL) == "Bearer t1"
    assert auth.header(("repository:other:pull",)) is None
    clock.now += 271
    assert auth.header(_PULL) is None


async def test_a_token_that_claims_to_last_for_ever_is_kept_for_an_hour() -> None:
    service, clock = Service({"expires_in": 10**400}), Clock()
    auth = _auth(service, clock=clock)

    assert await auth.answer(_PULL, _bearer(), None) == "Bearer t1"
    clock.now += 3601
    assert auth.header(_PULL) is None


async def test_nothing_is_kept_of_scopes_that_are_denied() -> None:
    """Clients choose the names, and with them the scopes."""
    auth = _auth(Service())

    for number in range(1000):
        with pytest.raises(UpstreamDenied):
            await auth.answer((f"repository:team/{number}:pull",), [], None)

    assert sum(isinstance(thing, asyncio.Lock) for thing in gc.get_objects()) < 1000


async def test_many_that_are_asked_to_log_in_ask_for_one_token() -> None:
    service = Service()
    auth = _auth(service)

    headers = await asyncio.gather(*(auth.answer(_PULL, _bearer(), None) for _ in range(10)))

    assert set(headers) == {"Bearer t1"}
    assert len(service.asked) == 1


async def test_a_token_that_is_refused_is_asked_for_anew() -> None:
    auth = _auth(Service())
    first = await auth.answer(_PULL, _bearer(), None)

    assert await auth.answer(_PULL, _bearer(), first) == "Bearer t2"


async def test_basic_is_answered_and_denied_when_it_was_refused() -> None:
    clock = Clock()
    auth = _auth(Service(), _ALICE, clock)
    header = await auth.answer(_PULL, [Challenge("basic", {})], None)

    assert header == "Basic YWxpY2U6c2VjcmV0"
    assert auth.header(("any",)) == header
    with pytest.raises(UpstreamDenied, match="does not accept the credentials of alice"):
        await auth.answer(_PULL, [Challenge("basic", {})], header)
    clock.now += 901
    assert auth.header(("any",)) is None


@pytest.mark.parametrize("challenges", [[], [Challenge("negotiate", {})], [Challenge("basic", {})]])
async def test_without_a_way_to_log_in_it_is_denied(challenges: list[Challenge]) -> None:
    with pytest.raises(UpstreamDenied):
        await _auth(Service()).answer(_PULL, challenges, None)


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.test/token",
        "https://auth.test/\ttoken",
        "",
        "/token",
        "ftp://auth.test",
        "https://",
        "https://a:b@auth.test/",
        "https://[",
        "x",
    ],
)
async def test_credentials_go_to_no_realm_that_is_unencrypted_or_no_url(realm: str) -> None:
    service = Service()

    with pytest.raises(UpstreamMisbehaved):
        await _auth(service, _ALICE).answer(_PULL, _bearer(realm), None)
    assert service.asked == []


async def test_a_registry_without_encryption_may_have_such_a_token_service() -> None:
    service = Service()

    await _auth(service, _ALICE, host="127.0.0.1:5000").answer(_PULL, _bearer("http://127.0.0.1:5001/token"), None)

    assert service.asked[0].url.port == 5001


@pytest.mark.parametrize("answer", [{"token": ""}, {"token": 7}, {"token": "a b"}, {"token": "a\r\nX: y"}])
async def test_what_is_no_token_is_refused(answer: Mapping[str, object]) -> None:
    with pytest.raises(MirrorError, match="gave no token"):
        await _auth(Service(answer)).answer(_PULL, _bearer(), None)


@pytest.mark.parametrize("body", [b"", b"7", b"[]", b"\xff", b"[" * 1_000_000])
def test_an_answer_without_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_token_answer(body)
