"""Keys of an issuer: which are used, when they are fetched, and what happens while they cannot be."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from auth.errors import IdentityUnavailable
from auth.jwks import JwksCache
from auth.jwks_source import KeySource, read_keys
from tests.oidc_issuer import DISCOVERY, JWKS, Answer, IssuerKey, OidcIssuer, oidc_issuer, write_certificate

pytestmark = pytest.mark.anyio
FRESH = 600.0


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with oidc_issuer("ES256") as running:
        yield running


@asynccontextmanager
async def caching(source: KeySource, clock: Clock, timeout: float = 5.0) -> AsyncIterator[JwksCache]:
    keys = JwksCache(source, FRESH, clock, timeout)
    try:
        yield keys
    finally:
        keys.close()


async def has(keys: JwksCache, key: IssuerKey) -> bool:
    return await keys.find(key.id, key.algorithm) is not None


async def test_keys_are_found_through_the_discovery_document_and_fetched_once(issuer: OidcIssuer, clock: Clock) -> None:
    async with caching(KeySource(issuer.url), clock) as keys:
        assert await has(keys, issuer.key)
        clock.now += FRESH
        assert await has(keys, issuer.key)

    assert issuer.requests == {DISCOVERY: 1, JWKS: 1}


async def test_keys_are_fetched_again_when_they_are_old_and_a_withdrawn_one_counts_no_more(
    issuer: OidcIssuer, clock: Clock
) -> None:
    async with caching(KeySource(issuer.url), clock) as keys:
        assert await has(keys, issuer.key)
        old = issuer.rotate()
        clock.now += FRESH + 1

        assert not await has(keys, old)
        assert await has(keys, issuer.key)


async def test_a_new_key_is_known_at_once_if_nobody_has_asked_for_an_unknown_one_lately(
    issuer: OidcIssuer, clock: Clock
) -> None:
    async with caching(KeySource(issuer.url), clock) as keys:
        old = issuer.key
        assert await has(keys, old)
        issuer.rotate(keep=True)
        clock.now += 11

        assert await has(keys, issuer.key)
        assert await has(keys, old)


async def test_a_storm_of_unknown_ids_causes_one_fetch_in_ten_seconds(issuer: OidcIssuer, clock: Clock) -> None:
    async with caching(KeySource(url=issuer.url + JWKS), clock) as keys:
        found = await asyncio.gather(*(keys.find(f"made-up-{number}", "ES256") for number in range(200)))
        assert set(found) == {None}
        assert issuer.requests[JWKS] == 1

        clock.now += 9
        await asyncio.gather(*(keys.find(f"other-{number}", "ES256") for number in range(200)))
        assert issuer.requests[JWKS] == 1

        clock.now += 2
        await asyncio.gather(*(keys.find(f"more-{number}", "ES256") for number in range(200)))
        assert issuer.requests[JWKS] == 2


async def test_one_who_gives_up_waiting_does_not_end_the_fetch_of_the_others(issuer: OidcIssuer, clock: Clock) -> None:
    issuer.hold()
    async with caching(KeySource(url=issuer.url + JWKS), clock) as keys:
        first = asyncio.create_task(has(keys, issuer.key))
        second = asyncio.create_task(has(keys, issuer.key))
        await asyncio.sleep(0)  # both have begun to wait
        first.cancel()
        issuer.release()

        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first
    assert issuer.requests[JWKS] == 1


async def test_known_keys_outlive_an_issuer_that_is_down_for_a_day(issuer: OidcIssuer, clock: Clock) -> None:
    async with caching(KeySource(issuer.url), clock) as keys:
        assert await has(keys, issuer.key)
        issuer.broken = True
        clock.now += 86_000
        assert await has(keys, issuer.key)

        clock.now += 86_400
        with pytest.raises(IdentityUnavailable):
            await has(keys, issuer.key)

        issuer.broken = False
        clock.now += 11
        assert await has(keys, issuer.key)


async def test_an_issuer_that_goes_on_hanging_holds_nobody_up_whose_key_is_known(
    issuer: OidcIssuer, clock: Clock
) -> None:
    async with caching(KeySource(url=issuer.url + JWKS), clock, timeout=0.1) as keys:
        assert await has(keys, issuer.key)
        issuer.hold()
        clock.now += FRESH + 1
        assert await has(keys, issuer.key)

        keys._timeout = 60.0
        clock.now += 11
        async with asyncio.timeout(10):
            assert await has(keys, issuer.key)
        assert keys._fetching is not None
        issuer.release()
        await keys._fetching

        old = issuer.rotate()
        clock.now += FRESH + 1
        assert not await has(keys, old)


async def test_without_known_keys_an_issuer_that_is_down_is_an_outage_and_is_not_stormed(
    issuer: OidcIssuer, clock: Clock
) -> None:
    issuer.broken = True
    async with caching(KeySource(issuer.url), clock) as keys:
        for _ in range(20):
            with pytest.raises(IdentityUnavailable) as refused:
                await has(keys, issuer.key)

    assert issuer.requests == {DISCOVERY: 1}
    assert issuer.url not in refused.value.message


async def test_an_issuer_that_hangs_is_an_outage_after_the_timeout(issuer: OidcIssuer, clock: Clock) -> None:
    issuer.hold()
    async with caching(KeySource(issuer.url), clock, timeout=0.1) as keys:
        with pytest.raises(IdentityUnavailable):
            await has(keys, issuer.key)
        issuer.release()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": 7}',
        b'{"keys": []}',
        b'{"keys": [null, 7, "x", [], {}, {"kty": "EC"}, {"kty": "RSA", "n": 5, "e": null}, {"kty": ["EC"]}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_what_is_no_key_set_is_an_outage(issuer: OidcIssuer, clock: Clock, body: bytes) -> None:
    issuer.answers[JWKS] = Answer(body)
    async with caching(KeySource(issuer.url), clock) as keys:
        with pytest.raises(IdentityUnavailable):
            await has(keys, issuer.key)
    assert issuer.requests[JWKS] == 1


@pytest.mark.parametrize(
    ("headers", "padding", "counts"), [({}, 1000, True), ({}, 1024 * 1024, False), ({"x": "y" * 70_000}, 0, False)]
)
async def test_an_answer_that_is_too_large_is_not_read(
    issuer: OidcIssuer, clock: Clock, headers: dict[str, str], padding: int, counts: bool
) -> None:
    issuer.answers[JWKS] = Answer(json.dumps({"keys": issuer.published}).encode() + b" " * padding, headers=headers)
    async with caching(KeySource(issuer.url), clock) as keys:
        if counts:
            assert await has(keys, issuer.key)
        else:
            with pytest.raises(IdentityUnavailable):
                await has(keys, issuer.key)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://another.example.com", "jwks_uri": "{url}/keys"},
        {"jwks_uri": "{url}/keys"},
        {"issuer": "{url}"},
        {"issuer": "{url}", "jwks_uri": 7},
        {"issuer": "{url}", "jwks_uri": "file:///etc/hostname"},
        {"issuer": "{url}", "jwks_uri": "ftp://127.0.0.1/keys"},
        {"issuer": "{url}", "jwks_uri": "data:application/json,{}"},
        {"issuer": "{url}", "jwks_uri": "http://keys.example.com/keys"},
        {"issuer": "{url}", "jwks_uri": "http://127.0.0.1.example.com/keys"},
        {"issuer": "{url}", "jwks_uri": "http://localhost@keys.example.com/keys"},
    ],
    ids=str,
)
def test_a_discovery_document_that_is_wrong_leads_nowhere(issuer: OidcIssuer, document: dict[str, Any]) -> None:
    issuer.answers[DISCOVERY] = Answer(json.dumps(document).replace("{url}", issuer.url).encode())

    with pytest.raises(ValueError, match=r"another issuer's|no jwks_uri|is not https"):
        read_keys(KeySource(issuer.url), 5.0)
    assert issuer.requests == {DISCOVERY: 1}


def test_redirects_are_not_followed(issuer: OidcIssuer) -> None:
    issuer.answers["/moved"] = Answer(b"", 302, {"location": issuer.url + JWKS})

    with pytest.raises(OSError, match="answers 302"):
        read_keys(KeySource(url=issuer.url + "/moved"), 5.0)
    assert issuer.requests == {"/moved": 1}


def test_a_proxy_of_the_environment_sees_no_unencrypted_keys(
    issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert [key.id for key in read_keys(KeySource(url=issuer.url + JWKS), 5.0)] == [issuer.key.id]


def test_the_token_for_the_keys_is_read_at_each_fetch_and_not_shown_in_errors(
    issuer: OidcIssuer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    source = KeySource(url=issuer.url + JWKS, token_file=str(file))
    for word in ("first\n", "second\n"):
        file.write_text(word)
        read_keys(source, 5.0)
    file.write_text("two\nlines")

    with pytest.raises(ValueError, match="does not hold one token") as refused:
        read_keys(source, 5.0)
    assert issuer.authorizations == ["Bearer first", "Bearer second"]
    assert "lines" not in str(refused.value)


ES, RS = IssuerKey.make("ES256"), IssuerKey.make("RS256")


@pytest.mark.parametrize(
    ("entry", "algorithm"),
    [
        (ES.public(use="enc"), "ES256"),
        (ES.public(key_ops=["sign"]), "ES256"),
        (ES.public(alg="ES384"), "ES256"),
        (ES.public(alg="ECDH-ES"), "ES256"),
        (ES.public(alg=None), "ES384"),
        (ES.public(alg=None), "EdDSA"),
        (ES.public(crv="secp256k1", alg=None), "ES256"),
        (RS.public(alg="PS256"), "RS256"),
        (RS.public(), "ES256"),
        (RS.public(), "HS256"),
        (RS.public(alg=None), "none"),
        (RS.public(alg=None), ""),
        ({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": ES.id}, "HS256"),
        (ES.public(d=ES.secret()), "ES256"),
        (IssuerKey(rsa.generate_private_key(65537, 1024), "RS256", ES.id).public(), "RS256"),
        (ES.public(kid=7), "ES256"),
    ],
)
async def test_a_key_that_is_not_for_such_signatures_is_never_used(
    tmp_path: Path, clock: Clock, entry: dict[str, Any], algorithm: str
) -> None:
    file = tmp_path / "keys.json"
    other = IssuerKey.make("EdDSA")
    file.write_text(json.dumps({"keys": [entry, other.public(alg="EdDSA")]}))

    async with caching(KeySource(file=str(file)), clock) as keys:
        assert await keys.find(entry["kid"], algorithm) is None
        assert await has(keys, other)


async def test_a_key_is_found_without_its_id_only_if_it_is_the_only_one_that_fits(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [ES.public(kid=None), RS.public(), IssuerKey.make("RS256").public()]}))

    async with caching(KeySource(file=str(file)), clock) as keys:
        assert await keys.find(None, "ES256") is not None
        assert await keys.find(None, "RS256") is None
        assert await keys.find("", "ES256") is None


async def test_two_keys_with_one_id_are_none(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [ES.public(), IssuerKey.make("ES256").public(kid=ES.id), RS.public()]}))

    async with caching(KeySource(file=str(file)), clock) as keys:
        assert not await has(keys, ES)
        assert await has(keys, RS)


async def test_a_key_file_counts_as_soon_as_it_changes(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [ES.public()]}))

    async with caching(KeySource(file=str(file)), clock) as keys:
        assert await has(keys, ES)
        clock.now += 10 * 86_400  # which makes a file that has not changed no older
        assert await has(keys, ES)

        file.write_text(json.dumps({"keys": [RS.public(), ES.public(use="enc")]}))
        assert not await has(keys, ES)
        assert await has(keys, RS)

        file.write_text("{")
        assert await has(keys, RS)
        file.unlink()
        assert await has(keys, RS)


async def test_a_key_file_that_comes_late_is_used_at_once(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys.json"
    async with caching(KeySource(file=str(file)), clock) as keys:
        with pytest.raises(IdentityUnavailable):
            await has(keys, ES)
        file.write_text(json.dumps({"keys": [ES.public()]}))

        assert await has(keys, ES)


def test_an_issuer_is_believed_only_behind_an_authority_that_is_trusted(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    with oidc_issuer("ES256", certificate) as issuer:
        assert read_keys(KeySource(issuer.url, ca_file=str(certificate)), 5.0)
        issuer.requests.clear()

        with pytest.raises(OSError, match="certificate verify failed"):
            read_keys(KeySource(issuer.url), 5.0)
        with pytest.raises(OSError, match="certificate verify failed"):
            read_keys(KeySource(issuer.url, ca_file=str(write_certificate(tmp_path / "another.pem"))), 5.0)
        assert not issuer.requests


def test_an_encrypted_discovery_document_cannot_lead_to_unencrypted_keys(issuer: OidcIssuer, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    with oidc_issuer("ES256", certificate) as encrypted:
        document = {"issuer": encrypted.url, "jwks_uri": issuer.url + JWKS}
        encrypted.answers[DISCOVERY] = Answer(json.dumps(document).encode())

        with pytest.raises(ValueError, match="is not https, as the discovery document is"):
            read_keys(KeySource(encrypted.url, ca_file=str(certificate)), 5.0)
    assert not issuer.requests


def test_an_answer_that_comes_byte_by_byte_is_given_up(issuer: OidcIssuer) -> None:
    issuer.answers[JWKS] = Answer(b" " * 1000, pause=0.01)

    with pytest.raises(TimeoutError):
        read_keys(KeySource(url=issuer.url + JWKS), 0.1)
