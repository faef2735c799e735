"""Which repositories mirror what."""

import pytest

from registry.content.errors import NameInvalid, NotMirrored
from registry.mirror.endpoints import Endpoint
from registry.mirror.routes import Route, Routes

HUB = Route("hub", Endpoint.parse("docker.io"))
QUAY = Route("mirror/quay", Endpoint.parse("quay.io"), namespace="ourteam")
DEEP = Route("hub/special", Endpoint.parse("special.example"))
ROUTES = Routes([HUB, QUAY, DEEP])


@pytest.mark.parametrize(
    ("name", "route", "there"),
    [
        ("hub/library/alpine", HUB, "library/alpine"),
        ("hub/alpine", HUB, "library/alpine"),
        ("hub/grafana/grafana", HUB, "grafana/grafana"),
        ("hub/special/app", DEEP, "app"),
        ("mirror/quay/app", QUAY, "ourteam/app"),
    ],
)
def test_a_name_leads_to_what_it_mirrors(name: str, route: Route, there: str) -> None:
    found = ROUTES.find(name)

    assert found is route
    assert found.upstream_name(name) == there


@pytest.mark.parametrize("name", ["team/app", "hub", "hubcap/app", "mirror/app", "mirror/quay", "mirror/quaylike/app"])
def test_other_names_are_ours(name: str) -> None:
    assert ROUTES.find(name) is None


@pytest.mark.parametrize(
    ("allow", "deny", "names"),
    [
        ((), (), {"library/alpine", "team/app", "team/deep/app"}),
        (("library/*",), (), {"library/alpine"}),
        ((), ("team/**",), {"library/alpine"}),
        (("team/**",), ("team/app",), {"team/deep/app"}),
    ],
)
def test_patterns_say_what_is_mirrored(allow: tuple[str, ...], deny: tuple[str, ...], names: set[str]) -> None:
    route = Route("q", Endpoint.parse("quay.io"), allow=allow, deny=deny)
    taken = set()

    for name in ("library/alpine", "team/app", "team/deep/app"):
        try:
            taken.add(route.upstream_name(f"q/{name}"))
        except NotMirrored as error:
            assert "quay.io" in error.message

    assert taken == names


def test_a_name_that_becomes_too_long_over_there_is_refused() -> None:
    route = Route("q", Endpoint.parse("quay.io"), namespace="n" * 200)

    with pytest.raises(NameInvalid):
        route.upstream_name("q/" + "a" * 100)
