"""Which identity tokens are believed: times, audiences, signatures, keys; and every forgery that must not be."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest

from auth.errors import IdentityUnavailable, Unauthenticated
from tests.oidc_issuer import AUDIENCE, JWKS, IssuerKey, OidcIssuer, forge, hs256, oidc_issuer, unsigned
from tests.unit.auth.trusting import Claims, identity, is_refused, options, trusting

pytestmark = pytest.mark.anyio
NOW = 1_800_000_000
STRANGER = IssuerKey.make("ES256")
GOOD: Claims = {"project_path": "team/app"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcIssuer]:
    """An issuer that no test changes."""
    with oidc_issuer() as running:
        yield running


# times


@pytest.mark.parametrize(
    ("times", "accepted"),
    [
        ({"exp": NOW - 59}, True),
        ({"exp": NOW - 60}, False),
        ({"iat": NOW + 60}, True),
        ({"iat": NOW + 61}, False),
        ({"nbf": NOW + 60}, True),
        ({"nbf": NOW + 61}, False),
        ({"nbf": None}, True),
        ({"exp": NOW + 0.5}, True),
        ({"exp": None}, False),
        ({"iat": None}, False),
        ({"exp": str(NOW + 300)}, False),
        ({"exp": True}, False),
        ({"exp": [NOW + 300]}, False),
        ({"exp": float("nan")}, False),
        ({"exp": float("inf")}, False),
        ({"exp": 10**400}, False),
        ({"iat": float("-inf")}, False),
        ({"nbf": "0"}, False),
        ({"exp": NOW + 3601, "iat": NOW}, False),
        ({"exp": NOW + 3600, "iat": NOW}, True),
    ],
    ids=str,
)
async def test_a_token_counts_in_its_time_and_within_the_difference_of_clocks(
    issuer: OidcIssuer, times: Claims, accepted: bool
) -> None:
    token = issuer.mint({"project_path": "a", "iat": NOW - 100, "nbf": NOW - 100, "exp": NOW + 300, **times})

    refused = await is_refused(token, options(issuer, max_lifetime=3600), clock=lambda: NOW)

    assert refused is not accepted


async def test_the_time_is_looked_at_each_time(issuer: OidcIssuer) -> None:
    now = [float(NOW)]
    token = issuer.mint({"project_path": "a", "iat": NOW, "nbf": NOW, "exp": NOW + 300})

    async with trusting(options(issuer), clock=lambda: now[0]) as issuers:
        await issuers.identify(token)
        now[0] += 360
        with pytest.raises(Unauthenticated):
            await issuers.identify(token)


# claims that every token needs


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere"},
        {"aud": ["https://elsewhere"]},
        {"aud": []},
        {"aud": None},
        {"aud": 7},
        {"aud": {AUDIENCE: 1}},
        {"aud": AUDIENCE.upper()},
        {"aud": AUDIENCE + "/"},
        {"aud": AUDIENCE[:-1]},
        {"aud": [7, AUDIENCE]},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"jti": 7},
    ],
    ids=str,
)
async def test_a_token_for_somebody_else_or_about_nobody_is_refused(issuer: OidcIssuer, changes: Claims) -> None:
    assert await is_refused(issuer.mint({"project_path": "a", **changes}), options(issuer))


@pytest.mark.parametrize("suffix", ["/", "x", "?", "#", "/../", " "])
async def test_an_issuer_is_known_by_its_exact_name(issuer: OidcIssuer, suffix: str) -> None:
    token = issuer.mint({"project_path": "a", "iss": issuer.url + suffix})

    async with trusting(options(issuer)) as issuers:
        assert not issuers.knows(token)
    assert await is_refused(token, options(issuer))


@pytest.mark.parametrize("value", [None, 7, True, [], {}, ["{url}"]], ids=repr)
async def test_an_issuer_that_is_no_text_is_nobody(issuer: OidcIssuer, value: object) -> None:
    token = issuer.mint({"project_path": "a", "iss": [issuer.url] if value == ["{url}"] else value})

    assert await is_refused(token, options(issuer))


async def test_one_issuer_cannot_speak_for_another(issuer: OidcIssuer) -> None:
    with oidc_issuer("ES256") as other:
        both = (options(issuer), options(other, name="other"))
        claims = {"project_path": "a", "iss": issuer.url}

        assert await is_refused(other.mint(claims), *both)
        assert await is_refused(other.mint(claims, headers={"kid": issuer.key.id}), *both)
        assert (await identity(other.mint({"project_path": "a"}), *both)).credential.id == "other"


# attacks on the signature


def header(issuer: OidcIssuer, **changes: object) -> dict[str, object]:
    return {"alg": "RS256", "kid": issuer.key.id, "typ": "JWT", **changes}


def unsigned_as(algorithm: object) -> Callable[[OidcIssuer], str]:
    return lambda issuer: forge(header(issuer, alg=algorithm), issuer.claims(**GOOD), unsigned)


def hmac_with(
    secret: Callable[[IssuerKey], bytes], algorithm: str = "HS256", **more: object
) -> Callable[[OidcIssuer], str]:
    return lambda issuer: forge(header(issuer, alg=algorithm, **more), issuer.claims(**GOOD), hs256(secret(issuer.key)))


def by_stranger(*addresses: str, **more: object) -> Callable[[OidcIssuer], str]:
    """Rightly signed, by a key that is not the issuer's; `addresses` are headers that lead to it."""
    return lambda issuer: forge(
        {"alg": "ES256", "kid": STRANGER.id, **dict.fromkeys(addresses, issuer.url + "/evil"), **more},
        issuer.claims(**GOOD),
        STRANGER.sign,
    )


def by_issuer(payload: bytes) -> Callable[[OidcIssuer], str]:
    return lambda issuer: forge(header(issuer), payload, issuer.key.sign)


def with_headers(**headers: object) -> Callable[[OidcIssuer], str]:
    return lambda issuer: issuer.mint(GOOD, headers=headers)


def patched(part: int, text: Callable[[OidcIssuer], str]) -> Callable[[OidcIssuer], str]:
    """A good token, one part of which comes from another place."""

    def patch(issuer: OidcIssuer) -> str:
        parts = issuer.mint(GOOD).split(".")
        parts[part] = text(issuer)
        return ".".join(parts)

    return patch


ATTACKS: Mapping[str, Callable[[OidcIssuer], str]] = {
    **{f"alg {word!r}": unsigned_as(word) for word in ("none", "None", "NONE", "nOnE", "", "null", None, ["RS256"])},
    "alg none over a good signature": patched(0, lambda issuer: unsigned_as("none")(issuer).split(".")[0]),
    "alg in lower case": with_headers(alg="rs256"),
    "another algorithm's name over a good signature": with_headers(alg="PS256"),
    "signature stripped": patched(2, lambda _: ""),
    "signature of another token": patched(2, lambda issuer: issuer.mint(GOOD).split(".")[2]),
    "payload of another token": patched(1, lambda issuer: issuer.mint({"project_path": "other"}).split(".")[1]),
    "signature cut": lambda issuer: issuer.mint(GOOD)[:-4],
    "HS256 with the public key as PEM": hmac_with(IssuerKey.pem),
    "HS256 with the public key as PEM, stripped": hmac_with(lambda key: key.pem().strip()),
    "HS256 with the public key as JWK": hmac_with(lambda key: json.dumps(key.public()).encode()),
    "HS256 with the modulus": hmac_with(lambda key: key.public()["n"].encode()),
    "HS256 with nothing": hmac_with(lambda _: b""),
    "HMAC under the name RS256": hmac_with(IssuerKey.pem, "RS256"),
    "signed by a stranger": by_stranger(),
    "signed by a stranger under the issuer's algorithm": by_stranger(alg="RS256"),
    "signed by a stranger without a key id": by_stranger(kid=None),
    "key in the header": by_stranger(jwk=STRANGER.public()),
    "key at an address in the header": by_stranger("jku"),
    "certificate at an address in the header": by_stranger("x5u", kid=None),
    "certificate in the header": by_stranger(x5c=["AAAA"], kid=None),
    "kid is a path": hmac_with(lambda _: b"", kid="../../../../dev/null"),
    "kid is a path under an allowed algorithm": hmac_with(lambda _: b"", "ES256", kid="../../../../dev/null"),
    "kid is SQL": hmac_with(lambda _: b"key", "ES256", kid="x' UNION SELECT 'key"),
    "kid is a command": hmac_with(lambda _: b"", "ES256", kid="|touch /tmp/x"),
    "kid is empty": with_headers(kid=""),
    "kid is a number": with_headers(kid=7),
    "kid is a list": with_headers(kid=["a"]),
    "critical header": with_headers(crit=["exp"]),
    "critical header that is empty": with_headers(crit=[]),
    "critical header b64": with_headers(crit=["b64"], b64=False),
    "payload is a list": by_issuer(b"[]"),
    "payload is no JSON": by_issuer(b"\xff"),
    "payload is deep": by_issuer(b'{"iss":' + b"[" * 8000),
    "payload is a huge number": by_issuer(b'{"iss":' + b"9" * 8000 + b"}"),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_token_is_refused_as_every_other_is(issuer: OidcIssuer, attack: str) -> None:
    before = set(issuer.requests)

    assert await is_refused(ATTACKS[attack](issuer), options(issuer))
    assert set(issuer.requests) - before <= {JWKS}  # nobody follows a header


async def test_headers_that_name_keys_do_not_spoil_a_good_token(issuer: OidcIssuer) -> None:
    token = issuer.mint({"project_path": "a"}, headers={"jku": issuer.url + "/evil", "jwk": STRANGER.public()})

    assert (await identity(token, options(issuer))).name == "ci/a"
    assert "/evil" not in issuer.requests


async def test_a_token_without_a_key_id_counts_only_if_one_key_fits() -> None:
    with oidc_issuer("ES256") as other:
        token = other.mint({"project_path": "a"}, headers={"kid": None})
        assert (await identity(token, options(other))).name == "ci/a"

        other.published.append(STRANGER.public())
        assert await is_refused(token, options(other))


@pytest.mark.parametrize("word", ["", "hunter2", "a.b", "a.b.c", "a.b.c.d", "..", "é.é.é", "e30.e30.", "e30.e30.\n"])
async def test_a_password_is_no_token(issuer: OidcIssuer, word: str) -> None:
    async with trusting(options(issuer)) as issuers:
        assert not issuers.knows(word)
        with pytest.raises(Unauthenticated):
            await issuers.identify(word)


# keys come and go


async def test_tokens_of_a_new_key_are_accepted_and_those_of_a_withdrawn_one_are_not_forever() -> None:
    with oidc_issuer("ES256") as other:
        old = other.mint({"project_path": "a"})
        other.rotate(keep=True)
        async with trusting(options(other)) as issuers:
            await issuers.identify(old)
            await issuers.identify(other.mint({"project_path": "a"}))

        other.published = other.published[1:]
        assert await is_refused(old, options(other))


async def test_a_storm_of_made_up_key_ids_neither_floods_the_issuer_nor_shuts_out_good_tokens(
    issuer: OidcIssuer,
) -> None:
    issuer.requests.clear()
    async with trusting(options(issuer)) as issuers:
        for number in range(100):
            with pytest.raises(Unauthenticated):
                await issuers.identify(issuer.mint({"project_path": "a"}, headers={"kid": f"made-up-{number}"}))

        assert (await issuers.identify(issuer.mint({"project_path": "a"}))).name == "ci/a"
    assert issuer.requests == {JWKS: 1}


async def test_an_issuer_that_is_down_is_an_outage_until_its_keys_are_known() -> None:
    with oidc_issuer("ES256") as other:
        token = other.mint({"project_path": "a"})
        async with trusting(options(other)) as issuers:
            await issuers.identify(token)
            other.broken = True
            assert (await issuers.identify(token)).name == "ci/a"
        with pytest.raises(IdentityUnavailable):
            await identity(token, options(other))


# what the log says


async def test_a_refusal_is_logged_with_its_reason_and_without_the_token(
    issuer: OidcIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    token = issuer.mint({"project_path": "a", "exp": 1})

    with caplog.at_level(logging.DEBUG):
        assert await is_refused(token, options(issuer))
        assert await is_refused(issuer.mint(headers={"alg": "x" * 5000 + "\n"}), options(issuer))

    expired, algorithm = caplog.messages
    assert expired == "an identity token of issuer ci is refused: it has expired"
    assert len(algorithm) < 200
    assert "\n" not in algorithm
    assert not [part for part in token.split(".") if part in caplog.text]
