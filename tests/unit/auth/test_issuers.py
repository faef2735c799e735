"""Identity tokens of CI systems: which claims become which robot with which scope, and which settings are refused."""

from collections.abc import Iterator, Mapping

import pytest

from auth.errors import AuthError, ScopeInvalid
from auth.identity import Kind
from auth.issuers import IdentityRule, Issuers
from tests.oidc_issuer import AUDIENCE, OidcIssuer, forge, oidc_issuer
from tests.unit.auth.trusting import Claims, identity, is_refused, options, scope, trusting

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcIssuer]:
    """An issuer that no test changes."""
    with oidc_issuer() as running:
        yield running


# what becomes of a good token


async def test_a_good_token_is_a_robot_with_what_its_claims_say(issuer: OidcIssuer) -> None:
    token = issuer.mint({"project_path": "team/app"})

    robot = await identity(token, options(issuer))

    assert (robot.kind, robot.name) == (Kind.ROBOT, "ci/team/app")
    assert robot.scope == scope("team/app/**:pull,push")
    assert (robot.credential.kind, robot.credential.id) == ("issuer", "ci")


async def test_tokens_have_stamps_of_their_own(issuer: OidcIssuer) -> None:
    async def stamp(jti: str | None) -> str:
        return (await identity(issuer.mint({"project_path": "a", "jti": jti}), options(issuer))).credential.stamp

    assert len({await stamp("1"), await stamp("2"), await stamp(None)}) == 3
    assert await stamp("1") == await stamp("1")


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
async def test_every_asymmetric_algorithm_that_is_allowed_counts(algorithm: str) -> None:
    with oidc_issuer(algorithm) as other:
        token = other.mint({"project_path": "team/app"})

        assert (await identity(token, options(other, algorithms=(algorithm,)))).name == "ci/team/app"
        assert await is_refused(token, options(other, algorithms=("RS256",)))


async def test_the_audience_may_be_one_of_several(issuer: OidcIssuer) -> None:
    token = issuer.mint({"project_path": "a", "aud": ["https://elsewhere", AUDIENCE]})

    assert (await identity(token, options(issuer))).name == "ci/a"


async def test_the_first_rule_that_fits_decides(issuer: OidcIssuer) -> None:
    protected = IdentityRule({"project_path": ("team/*",), "ref_protected": ("true",)}, "push", ("team/**:push",))
    rest = IdentityRule({"project_path": ("team/*", "lab/*")}, "pull", ("team/**:pull",))
    trusted = options(issuer, protected, rest)

    async def name(**claims: object) -> str:
        return (await identity(issuer.mint(claims), trusted)).name

    assert await name(project_path="team/app", ref_protected=True) == "push"
    assert await name(project_path="team/app", ref_protected="true") == "push"
    assert await name(project_path="team/app", ref_protected=False) == "pull"
    assert await name(project_path="lab/app") == "pull"
    assert await is_refused(issuer.mint({"project_path": "team/app/deeper"}), trusted)
    assert await is_refused(issuer.mint({}), trusted)


@pytest.mark.parametrize(
    ("value", "pattern", "fits"),
    [
        (["dev", "ops"], "ops", True),
        (["dev", "ops"], "admins", False),
        ([], "**", False),
        ([["ops"]], "ops", False),
        (True, "true", True),
        (1, "true", False),
        (42, "42", True),
        (-7, "-7", True),
        (1.0, "1*", False),
        (None, "**", False),
        ({"ops": 1}, "**", False),
        ("", "**", True),
        ("ops\nadmins", "ops", False),
        ("OPS", "ops", False),
        ("opsx", "ops", False),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
        ("repo:acme/app:ref:refs/heads/main", "repo:acme/*:ref:refs/heads/main", True),
        ("repo:acme/evil/app:ref:refs/heads/main", "repo:acme/*:ref:refs/heads/main", False),
    ],
)
async def test_a_claim_fits_as_a_whole_and_as_what_it_is(
    issuer: OidcIssuer, value: object, pattern: str, fits: bool
) -> None:
    rule = IdentityRule({"claim": (pattern,)}, "robot", ("team/**:pull",))
    token = forge({"alg": "RS256", "kid": issuer.key.id}, {**issuer.claims(), "claim": value}, issuer.key.sign)

    assert await is_refused(token, options(issuer, rule)) is not fits


# claims as they are really made: GitLab's and GitHub's documentation, a projected token of Kubernetes

GITLAB: Claims = {
    "iss": "https://gitlab.example.com",
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
    "namespace_id": "72",
    "namespace_path": "my-group",
    "project_id": "20",
    "project_path": "my-group/my-project",
    "user_id": "1",
    "user_login": "sample-user",
    "user_email": "sample-user@example.com",
    "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "feature-branch-1",
    "ref_type": "branch",
    "ref_path": "refs/heads/feature-branch-1",
    "ref_protected": "false",
    "groups_direct": ["mygroup/mysubgroup", "myothergroup/myothersubgroup"],
    "environment": "test-environment2",
    "environment_protected": "false",
    "deployment_tier": "testing",
    "runner_id": 1,
    "runner_environment": "self-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "project_visibility": "public",
}
GITHUB: Claims = {
    "iss": "https://token.actions.githubusercontent.com",
    "sub": "repo:octo-org/octo-repo:environment:prod",
    "environment": "prod",
    "ref": "refs/heads/main",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "repository": "octo-org/octo-repo",
    "repository_owner": "octo-org",
    "actor_id": "12",
    "repository_visibility": "private",
    "repository_id": "74",
    "repository_owner_id": "65",
    "run_id": "4711",
    "run_number": "10",
    "run_attempt": "2",
    "runner_environment": "github-hosted",
    "actor": "octocat",
    "workflow": "example-workflow",
    "head_ref": "",
    "base_ref": "",
    "event_name": "workflow_dispatch",
    "ref_type": "branch",
    "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
}
KUBERNETES: Claims = {
    "iss": "https://kubernetes.default.svc.cluster.local",
    "aud": [AUDIENCE],
    "kubernetes.io": {
        "namespace": "builds",
        "node": {"name": "worker-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
        "pod": {"name": "builder-5df8d7", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "builder", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        "warnafter": 1_800_003_607,
    },
    "sub": "system:serviceaccount:builds:builder",
}


@pytest.mark.parametrize(
    ("claims", "rule", "name", "granted"),
    [
        (
            GITLAB,
            IdentityRule(
                {"namespace_path": ("my-group",), "ref_type": ("branch",), "runner_id": ("1",)},
                "gitlab/{project_path}",
                ("{project_path}:pull,push", "{project_path}/**:pull,push"),
            ),
            "gitlab/my-group/my-project",
            ("my-group/my-project:pull,push", "my-group/my-project/**:pull,push"),
        ),
        (
            GITLAB,
            IdentityRule({"groups_direct": ("mygroup/*",)}, "gitlab/{user_login}", ("{namespace_path}/*:pull",)),
            "gitlab/sample-user",
            ("my-group/*:pull",),
        ),
        (
            GITHUB,
            IdentityRule(
                {"job_workflow_ref": ("octo-org/octo-automation/.github/workflows/*@refs/heads/main",)},
                "github/{sub}",
                ("ghcr/{repository}:pull,push", "{repository_owner}/base-*:pull"),
            ),
            "github/repo:octo-org/octo-repo:environment:prod",
            ("ghcr/octo-org/octo-repo:pull,push", "octo-org/base-*:pull"),
        ),
        (
            KUBERNETES,
            IdentityRule(
                {"sub": ("system:serviceaccount:builds:*",), "kubernetes.io.serviceaccount.name": ("builder",)},
                "{kubernetes.io.namespace}/{kubernetes.io.serviceaccount.name}",
                ("{kubernetes.io.namespace}/**:pull,push",),
            ),
            "builds/builder",
            ("builds/**:pull,push",),
        ),
    ],
    ids=["gitlab project", "gitlab groups", "github workflow", "kubernetes service account"],
)
async def test_tokens_of_real_systems_become_robots(
    issuer: OidcIssuer, claims: Claims, rule: IdentityRule, name: str, granted: tuple[str, ...]
) -> None:
    robot = await identity(issuer.mint(claims), options(issuer, rule, issuer=claims["iss"]))

    assert robot.name == name
    assert robot.scope == scope(*granted)


# claims that try to be more


@pytest.mark.parametrize(
    "value",
    [
        "*", "**", "a/*", "a/**", "?", "team/app:push", "a:pull,push,delete", "../x", "a/../b", "a/./b", "..", ".",
        "a..b", "/", "/a", "a/", "a//b", "{user}", "{project_path}", "a b", "a,b", "a\n", "a\0", "A", "team/App", "é",
        "a%2fb", "a\\b", "", "-a", "a-", "a/_b", "a|b", "(a)", "[a]", "a$", "^a",
        True, 1.5, None, ["team"], ["*"], {"a": "b"},
    ],
    ids=repr,
)  # fmt: skip
async def test_a_claim_that_is_no_part_of_a_name_drops_the_grant_and_widens_none(
    issuer: OidcIssuer, value: object
) -> None:
    rule = IdentityRule({"sub": ("**",)}, "robot", ("{project}/app:push", "common/base:pull"))
    alone = IdentityRule({"sub": ("**",)}, "robot", ("x-{project}:push",))
    token = forge({"alg": "RS256", "kid": issuer.key.id}, {**issuer.claims(), "project": value}, issuer.key.sign)

    kept = scope("common/base:pull")
    if value is True:  # which is the word
        kept = scope("true/app:push", "common/base:pull")
    assert (await identity(token, options(issuer, rule))).scope == kept
    assert await is_refused(token, options(issuer, alone)) is (value is not True)


@pytest.mark.parametrize("value", ["a b", "a\nb", "\x1b[2J", "é", "", None, ["a"], {"a": 1}, "a" * 255], ids=repr)
async def test_a_claim_that_cannot_be_seen_or_is_too_long_makes_no_name(issuer: OidcIssuer, value: object) -> None:
    rule = IdentityRule({"sub": ("**",)}, "ci/{login}", ("common/base:pull",))

    assert await is_refused(issuer.mint({"login": value}), options(issuer, rule))


@pytest.mark.parametrize(
    "claims",
    [
        {"kubernetes.io.namespace": "a"},
        {"kubernetes": {"io": {"namespace": "a"}}},
        {"kubernetes.io": {"namespace": "a"}},
    ],
    ids=str,
)
async def test_a_dotted_claim_is_found_by_its_longest_name(issuer: OidcIssuer, claims: Claims) -> None:
    rule = IdentityRule({"kubernetes.io.namespace": ("a",)}, "robot", ("{kubernetes.io.namespace}/x:pull",))

    assert (await identity(issuer.mint(claims), options(issuer, rule))).scope == scope("a/x:pull")
    decoy = {"kubernetes.io": {"namespace": "b"}, "kubernetes": {"io": {"namespace": "a"}}}
    assert await is_refused(issuer.mint(decoy), options(issuer, rule))


# settings that cannot be safe


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": ("HS256",)},
        {"algorithms": ("RS256", "HS512")},
        {"algorithms": ("none",)},
        {"algorithms": ("RS256", "None")},
        {"algorithms": ("ES256K",)},
        {"algorithms": ()},
        {"audiences": ()},
        {"audiences": ("",)},
    ],
    ids=str,
)
def test_an_issuer_whose_tokens_anybody_could_make_or_use_is_refused(issuer: OidcIssuer, changes: Claims) -> None:
    with pytest.raises(ValueError, match=r"algorithms|audiences"):
        options(issuer, **changes)


@pytest.mark.parametrize(
    ("when", "name", "granted"),
    [
        ({}, "robot", ("a:pull",)),
        ({"sub": ()}, "robot", ("a:pull",)),
        ({"sub": ("**",)}, "robot", ()),
        ({"sub": ("**",)}, "", ("a:pull",)),
        ({"sub": ("**",)}, "{sub", ("a:pull",)),
        ({"sub": ("**",)}, "robot", ("a",)),
        ({"sub": ("**",)}, "robot", ("a:everything",)),
        ({"sub": ("**",)}, "robot", ("a:{sub}",)),
        ({"sub": ("**",)}, "robot", ("a/{sub:pull",)),
        ({"sub": ("**",)}, "robot", ("a,b:pull",)),
        ({"sub": ("**",)}, "robot", ("Team/{sub}/**:pull",)),
    ],
)
def test_a_rule_that_looks_at_nothing_or_says_nothing_is_refused(
    when: Mapping[str, tuple[str, ...]], name: str, granted: tuple[str, ...]
) -> None:
    with pytest.raises((ValueError, AuthError)) as refused:
        IdentityRule(when, name, granted)
    assert isinstance(refused.value, ValueError | ScopeInvalid)


def test_two_issuers_cannot_be_the_same(issuer: OidcIssuer) -> None:
    with pytest.raises(ValueError, match="two issuers"):
        Issuers([options(issuer), options(issuer, name="other")])
    with pytest.raises(ValueError, match="two issuers"):
        Issuers([options(issuer), options(issuer, issuer="https://other.example.com")])


async def test_every_issuer_is_named(issuer: OidcIssuer) -> None:
    async with trusting(options(issuer), options(issuer, name="b", issuer="https://b.example.com")) as issuers:
        assert issuers.names() == {"ci", "b"}
