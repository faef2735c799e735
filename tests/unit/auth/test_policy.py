"""Rules allow what they say, deny what they say, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.access import (
    EVERYTHING,
    NONE,
    Action,
    Grant,
    ResourceScope,
    is_repository_name,
    parse_actions,
    parse_scopes,
    print_actions,
)
from auth.errors import ScopeInvalid
from auth.identity import ANONYMOUS, Credential, Identity, Kind
from auth.patterns import check_pattern, check_repositories, check_tags, fixed_beginning, is_namespace, matches
from auth.policy import DEFAULT_RULES, OPEN_RULES, ImmutableTags, Policy, Rule, Subject

PULL, PUSH, DELETE, ADMIN = Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN
ALICE, BOB = Identity(Kind.USER, "alice", frozenset({"dev"})), Identity(Kind.USER, "bob")


def rule(who: str, repositories: str, actions: str, *, deny: bool = False) -> Rule:
    subjects = tuple(Subject.parse(text) for text in who.split())
    return Rule(subjects, tuple(repositories.split()), parse_actions(actions.split(",")), deny, f"{who} {repositories}")


def robot(*scope: str, name: str = "ci") -> Identity:
    return Identity(Kind.ROBOT, name, scope=tuple(Grant.parse(text) for text in scope))


def limited(*scope: str) -> Identity:
    return Identity(Kind.USER, "alice", frozenset({"dev"}), tuple(Grant.parse(text) for text in scope))


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("team/*", "team/app", True),
        ("team/*", "team/app/cache", False),
        ("team/**", "team/app/cache", True),
        ("team/**", "team", False),
        ("**", "any/thing", True),
        ("*", "one", True),
        ("*", "one/two", False),
        ("team/a?p", "team/app", True),
        ("team/a?p", "team/a/p", False),
        ("team/app", "team/app", True),
        ("team/app", "xteam/app", False),
        ("team/app", "team/app\n", False),
        ("team.app", "teamxapp", False),
        ("users/{user}/**", "users/alice/x", True),
        ("users/{user}/**", "users/bob/x", False),
        ("{nobody}/**", "alice/x", False),
    ],
)
def test_a_pattern_fits_whole_names(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name, {"user": "alice"}) is fits


@pytest.mark.parametrize("user", ["*", "**", "a/b", "", ".", "..", "{user}", "a*"])
def test_a_user_whose_name_is_more_than_a_part_of_a_name_has_no_namespace(user: str) -> None:
    assert not matches("users/{user}/**", f"users/{user}/x", {"user": user})
    assert not matches("users/{user}/**", "users/bob/x", {"user": user})


@pytest.mark.parametrize(
    "text", ["", "/a", "a/", "a//b", "a b", "a,b", "a:b", "[a]", "a|b", "{User}", "{user", "a}", "^a$"]
)
def test_what_only_looks_like_a_pattern_is_refused(text: str) -> None:
    with pytest.raises(ScopeInvalid):
        check_pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        "**",
        "*",
        "?",
        "private/**",
        "{user}/**",
        "users/{user}/*",
        "a.b_c__d---e/**",
        "a*/**/b?c",
        "**.x",
        "a__*",
        "x-{user}",
        "docker.io/a",
        "*.*",
    ],
)
def test_a_pattern_of_repositories_may_be_any_that_fits_one(text: str) -> None:
    assert check_repositories(text, "user") == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Private/**", "'P'"),
        ("team/App", "'A'"),
        ("a@b", "'@'"),
        ("\u00e4/**", "'\u00e4'"),
        (".hidden/**", "'.'"),
        ("a/_b", "'_'"),
        ("a-/b", "'-'"),
        ("a..b", "'..'"),
        ("a___b/*", "'___'"),
        ("a.-b", "'.-'"),
        ("*/a.", "'.'"),
        ("private/{usr}/**", "{usr} stands for nothing here; write {user}"),
    ],
)
def test_a_pattern_that_fits_no_repository_is_refused(text: str, says: str) -> None:
    with pytest.raises(ScopeInvalid, match=re.escape(says)):
        check_repositories(text, "user")


def test_where_nobody_is_meant_there_is_no_placeholder() -> None:
    with pytest.raises(ScopeInvalid, match="write \\*, \\*\\* or"):
        check_repositories("{user}/**")


@given(st.text("aA.-_/*?", min_size=1, max_size=6), st.from_regex(r"[ab][ab/._-]{0,6}", fullmatch=True))
def test_what_is_refused_fits_no_name(pattern: str, name: str) -> None:
    if is_repository_name(name) and matches(pattern, name):
        assert check_repositories(pattern) == pattern


@pytest.mark.parametrize(
    ("text", "fits"), [("v*", True), ("V1.?-_x", True), ("{user}", False), ("a/b", False), ("**", True), ("v+", False)]
)
def test_a_pattern_of_tags_fits_some(text: str, fits: bool) -> None:
    if fits:
        assert check_tags(text) == text
    else:
        with pytest.raises(ScopeInvalid):
            check_tags(text)


@pytest.mark.parametrize(("user", "has"), [("alice", True), ("a.b-c", True), ("Alice", False), ("a@b", False)])
def test_a_user_has_a_namespace_if_a_repository_can_have_the_name(user: str, has: bool) -> None:
    assert is_namespace(user) is has


@given(st.text("ab/*?", min_size=1, max_size=8), st.text("ab/", max_size=8))
def test_what_fits_begins_with_the_fixed_beginning(pattern: str, name: str) -> None:
    beginning = fixed_beginning(pattern)

    assert beginning is not None
    assert not matches(pattern, name) or name.startswith(beginning)


@pytest.mark.parametrize("text", ["group", "group:", "everybody", "user", "", "Authenticated", "robot:", "user:"])
def test_somebody_whom_no_rule_can_mean_is_refused(text: str) -> None:
    with pytest.raises(ScopeInvalid):
        Subject.parse(text)


def test_without_rules_nobody_may_do_anything() -> None:
    policy = Policy(())

    assert {policy.decide(who, "a") for who in (ANONYMOUS, ALICE, robot("b:pull"))} == {NONE}
    assert policy.decide(robot("a:pull"), "a") == {PULL}
    assert policy.explain(ALICE, PULL, "a").reason == "no rule allows it"


def test_the_default_lets_users_do_all_but_administer() -> None:
    policy = Policy(DEFAULT_RULES)

    assert policy.decide(ALICE, "a/b") == {PULL, PUSH, DELETE}
    assert policy.decide(ANONYMOUS, "a/b") == NONE
    assert policy.decide(robot("x:pull"), "a/b") == NONE
    assert not policy.admits_anonymous()


def test_an_open_registry_lets_everybody_do_everything() -> None:
    policy = Policy(OPEN_RULES)

    assert policy.decide(ANONYMOUS, "a") == EVERYTHING
    assert policy.may_everywhere(Action.PULL, ANONYMOUS)


@pytest.mark.parametrize(
    ("who", "alice", "bob", "nobody", "machine"),
    [
        ("user:alice", True, False, False, False),
        ("group:dev", True, False, False, False),
        ("group:ops", False, True, False, False),
        ("authenticated", True, True, False, False),
        ("anonymous", True, True, True, True),
        ("robot:ci", False, False, False, True),
        ("robot:alice", False, False, False, False),
        ("user:ci", False, False, False, False),
        ("user:bob robot:ci", False, True, False, True),
    ],
)
def test_a_rule_is_about_whom_it_names(who: str, alice: bool, bob: bool, nobody: bool, machine: bool) -> None:
    policy = Policy((rule(who, "a/**", "pull"),), {"ops": frozenset({"bob"})})

    found = [PULL in policy.decide(one, "a/b") for one in (ALICE, BOB, ANONYMOUS, robot("other:pull"))]

    assert found == [alice, bob, nobody, machine]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_deny_wins_wherever_it_stands(order: tuple[int, int]) -> None:
    rules = (rule("authenticated", "**", "pull,push"), rule("group:dev", "team/locked", "push", deny=True))
    policy = Policy((rules[order[0]], rules[order[1]]))

    assert policy.decide(ALICE, "team/locked") == {PULL}
    assert policy.decide(BOB, "team/locked") == {PULL, PUSH}
    explained = policy.explain(ALICE, PUSH, "team/locked")
    assert (explained.allowed, explained.rule) == (False, rules[1])


def test_a_deny_for_all_who_have_logged_in_holds_for_robots_too() -> None:
    policy = Policy((rule("authenticated", "**", "delete", deny=True),))

    assert policy.decide(robot("a:pull,delete"), "a") == {PULL}


def test_a_deny_for_strangers_leaves_users_alone() -> None:
    policy = Policy((rule("anonymous", "**", "pull"), rule("anonymous", "secret/**", "pull", deny=True)))

    assert policy.decide(ANONYMOUS, "secret/a") == NONE
    assert policy.decide(ALICE, "secret/a") == {PULL}


def test_who_may_administer_may_do_everything_and_who_may_not_may_do_the_rest() -> None:
    policy = Policy((rule("user:alice", "a", "admin"), rule("user:alice", "a", "admin", deny=True)))

    assert policy.decide(ALICE, "a") == {PULL, PUSH, DELETE}
    assert Policy((rule("user:alice", "a", "admin"),)).decide(ALICE, "a") == EVERYTHING


def test_a_limited_token_is_never_more_than_its_user() -> None:
    policy = Policy((rule("user:alice", "team/**", "pull,push"), rule("anonymous", "public/**", "pull")))
    token = limited("team/app:pull,delete", "other/**:pull")

    assert policy.decide(token, "team/app") == {PULL}
    assert policy.decide(token, "team/web") == NONE
    assert policy.decide(token, "other/x") == NONE
    assert policy.decide(token, "public/x") == {PULL}
    assert "outside the scope" in policy.explain(token, PUSH, "team/app").reason


def test_a_robot_has_its_scope_and_what_rules_name_it_for() -> None:
    policy = Policy((rule("authenticated", "**", "pull,push,delete"), rule("robot:ci", "base/**", "pull")))
    machine = robot("team/*:pull,push")

    assert policy.decide(machine, "team/app") == {PULL, PUSH}
    assert policy.decide(machine, "base/os") == {PULL}
    assert policy.decide(machine, "bob/x") == NONE
    assert policy.explain(machine, PUSH, "team/app").reason == "allowed by the robot's own scope"


def test_groups_of_the_settings_are_users_only() -> None:
    policy = Policy((rule("group:dev", "**", "pull"),), {"dev": frozenset({"alice", "ci"}), "ops": frozenset({"bob"})})

    assert policy.decide(ALICE, "a") == {PULL}
    assert policy.decide(BOB, "a") == NONE
    assert policy.decide(robot("b:push"), "a") == NONE


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user:alice", "group:dev", "authenticated", "anonymous", "robot:ci", "user:bob"]),
            st.sampled_from(["**", "a/*", "a/**", "a/b", "{user}/**", "b?"]),
            st.sampled_from(["pull", "push", "pull,push", "delete", "admin", "*"]),
            st.booleans(),
        ),
        max_size=5,
    ),
    st.sampled_from([ANONYMOUS, ALICE, BOB, robot("a/*:pull,push"), robot("**:admin"), limited("a/**:pull")]),
    st.sampled_from(["a/b", "a/b/c", "bc", "alice/x", "z"]),
)
def test_what_is_decided_is_what_is_explained(
    rules: list[tuple[str, str, str, bool]], who: Identity, name: str
) -> None:
    policy = Policy(tuple(rule(one, where, what, deny=deny) for one, where, what, deny in rules))

    decided = policy.decide(who, name)

    assert decided == {action for action in Action if policy.explain(who, action, name).allowed}
    if PULL in decided:
        assert all(
            policy.may_see_below(who, name[:end] + "/") for end in range(len(name)) if name[end : end + 1] == "/"
        )
        assert policy.may_see_below(who, "")
    elif policy.may_everywhere(Action.PULL, who):
        pytest.fail("something is hidden from somebody from whom nothing is")


def test_what_may_be_seen_says_where_to_look() -> None:
    policy = Policy((rule("user:alice", "team/app users/{user}/**", "pull"),))

    assert policy.may_see_below(ALICE, "team/")
    assert policy.may_see_below(ALICE, "users/alice/x/")
    assert not policy.may_see_below(ALICE, "users/bob/")
    assert not policy.may_see_below(BOB, "team/")
    assert policy.may_see_below(robot("team/**:admin"), "team/")


@pytest.mark.parametrize(
    ("name", "tag", "fixed"),
    [("prod/a", "v1", True), ("prod/a", "latest", False), ("dev/a", "v1", False), ("prod/a", "v", True)],
)
def test_immutable_tags_are_found_by_repository_and_tag(name: str, tag: str, fixed: bool) -> None:
    covers = Policy((), immutable_tags=(ImmutableTags(("prod/**",), ("v*",)),)).immutable_in(name)

    assert (covers is not None and covers(tag)) is fixed
    assert Policy(()).immutable_in(name) is None


@pytest.mark.parametrize(
    ("text", "kind", "resource_class", "name", "wanted"),
    [
        ("repository:a/b:pull,push", "repository", "", "a/b", {PULL, PUSH}),
        ("repository(plugin):a/b:pull", "repository", "plugin", "a/b", {PULL}),
        ("repository:host:5000/a:pull", "repository", "", "host:5000/a", {PULL}),
        ("registry:catalog:*", "registry", "", "catalog", EVERYTHING),
        ("repository:a:*", "repository", "", "a", EVERYTHING),
        ("repository:a:", "repository", "", "a", NONE),
        ("repository:a:pull,fly", "repository", "", "a", {PULL}),
    ],
)
def test_scopes_are_read_as_docker_writes_them(
    text: str, kind: str, resource_class: str, name: str, wanted: set[Action]
) -> None:
    scope = ResourceScope.parse(text)

    assert (scope.kind, scope.resource_class, scope.name) == (kind, resource_class, name)
    assert scope.wanted == wanted


@pytest.mark.parametrize(
    "text", ["", "repository", "repository:a", ":a:pull", "REPO:a:pull", "repository::pull", "a(b:c:d"]
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ScopeInvalid):
        ResourceScope.parse(text)


def test_a_token_has_so_many_scopes_at_most() -> None:
    assert len(parse_scopes(["repository:a:pull repository:b:pull", "registry:catalog:*"])) == 3
    with pytest.raises(ScopeInvalid):
        parse_scopes(["repository:a:pull"] * 101)


@given(st.sets(st.sampled_from(list(Action)), min_size=1), st.sampled_from(["a/*", "**", "users/{user}/x"]))
def test_a_grant_is_printed_as_it_is_read(actions: set[Action], pattern: str) -> None:
    grant = Grant(pattern, frozenset(actions))

    assert Grant.parse(str(grant)) == grant
    assert print_actions(reversed(list(actions))) == print_actions(actions)


def test_an_identity_comes_back_from_plain_values_as_it_was() -> None:
    for who in (
        ANONYMOUS,
        ALICE,
        robot("a/*:pull"),
        Identity(Kind.USER, "x", credential=Credential("token", "1", "2")),
    ):
        assert Identity.from_plain(who.as_plain()) == who
