"""A pipeline pushes with the identity token that its CI system has signed, and no stored secret."""

from collections.abc import Iterator

import httpx
import pytest

from tests.guarded import Guarded, guarded
from tests.oidc_issuer import AUDIENCE, JWKS, OidcIssuer, oidc_issuer

SETTINGS = """
auth:
  throttle: {{per_address: 10000, per_account: 10000}}
  issuers:
    - name: gitlab
      issuer: {issuer}
      audiences: [{audience}]
      identities:
        - when: {{project_path: "team/*", ref_protected: "true"}}
          name: "gitlab/{{project_path}}"
          scope: "{{project_path}}/**:pull,push"
        - when: {{project_path: "team/*"}}
          name: "gitlab/{{project_path}}"
          scope: ["{{project_path}}/**:pull"]
"""
WORKERS = 2
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SCOPE = "repository:team/app/web:pull,push repository:team/other/web:pull"


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcIssuer]:
    with oidc_issuer() as found:
        yield found


@pytest.fixture(scope="module")
def closed(issuer: OidcIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A registry that believes the issuer, on two workers."""
    settings = SETTINGS.format(issuer=issuer.url, audience=AUDIENCE)
    with guarded(tmp_path_factory.mktemp("oidc"), settings, users={}, arguments=["--workers", str(WORKERS)]) as found:
        yield found


def token(issuer: OidcIssuer, **claims: object) -> str:
    """A job's identity token."""
    return issuer.mint(issuer.claims(project_path="team/app", ref_protected="true", **claims))


def log_in(closed: Guarded, identity_token: str) -> httpx.Response:
    """What `docker login --username oidc` does."""
    url = f"{closed.server.url}/auth/token"
    return httpx.get(url, params={"scope": SCOPE}, auth=("oidc", identity_token), trust_env=False)


def test_a_job_may_push_to_its_own_project_and_nowhere_else(closed: Guarded, issuer: OidcIssuer) -> None:
    answer = log_in(closed, token(issuer))

    assert answer.json()["scope"] == "repository:team/app/web:pull,push"
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    url = closed.server.url
    assert httpx.post(f"{url}/v2/team/app/web/blobs/uploads/", headers=bearer, trust_env=False).status_code == 202
    assert httpx.post(f"{url}/v2/team/other/web/blobs/uploads/", headers=bearer, trust_env=False).status_code == 403
    assert "refresh_token" not in answer.json()


def test_claims_decide_what_a_job_may_do(closed: Guarded, issuer: OidcIssuer) -> None:
    unprotected = issuer.mint(issuer.claims(project_path="team/app", ref_protected="false"))
    stranger = issuer.mint(issuer.claims(project_path="evil/app", ref_protected="true"))

    assert log_in(closed, unprotected).json()["scope"] == "repository:team/app/web:pull"
    assert log_in(closed, stranger).status_code == 401


def test_an_identity_token_is_exchanged_and_counts_as_a_password_too(closed: Guarded, issuer: OidcIssuer) -> None:
    form = {"grant_type": EXCHANGE, "subject_token": token(issuer), "scope": SCOPE}
    exchanged = httpx.post(f"{closed.server.url}/auth/token", data=form, trust_env=False)
    begun = httpx.post(
        f"{closed.server.url}/v2/team/app/web/blobs/uploads/", auth=("oidc", token(issuer)), trust_env=False
    )

    assert exchanged.json()["scope"] == "repository:team/app/web:pull,push"
    assert exchanged.json()["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"  # RFC 8693, 2.2.1
    assert begun.status_code == 202


def test_keys_may_rotate_and_the_issuer_may_be_gone_for_a_while(closed: Guarded, issuer: OidcIssuer) -> None:
    for _ in range(200):
        assert log_in(closed, token(issuer)).status_code == 200
        if issuer.requests[JWKS] == WORKERS:  # each of them has the keys now
            break
    issuer.broken = True
    assert log_in(closed, token(issuer)).status_code == 200
    issuer.broken = False


def test_another_audience_and_an_old_token_are_refused(closed: Guarded, issuer: OidcIssuer) -> None:
    assert log_in(closed, token(issuer, aud="another")).status_code == 401
    assert log_in(closed, token(issuer, exp=1_000_000)).status_code == 401
    assert token(issuer) not in closed.server.tail()
