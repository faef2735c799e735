"""What clients of a mirror mean by a name, and who may have it."""

from dataclasses import replace

import pytest
from starlette.types import ASGIApp

from auth.errors import Unauthenticated
from auth.guard import Caller
from auth.policy import DEFAULT_RULES, Policy
from auth.policy_source import PolicySource
from registry.api.asgi import RegistryApi
from registry.api.audit import Audit
from registry.api.gate import Gate, GateOptions
from registry.api.locations import Locations
from registry.api.mirror_names import MirrorNames
from registry.api.options import ApiOptions
from registry.content.errors import NameUnknown
from registry.content.repository import Registry, Rules
from registry.proxies import Proxies
from storage_backends.memory import MemoryBackend
from tests.images import Content, random_image
from tests.unit.api.asgi_client import call
from tests.unit.api.conftest import MakeApi

NAMES = MirrorNames({"docker.io": "hub", "quay.io": "mirror/quay"}, ("hub", "mirror/quay"), "hub")
IMAGE = random_image(1)
OWN = random_image(2)


@pytest.mark.parametrize(
    ("namespace", "name", "ours"),
    [
        ("docker.io", "library/alpine", "hub/library/alpine"),
        ("DOCKER.io", "library/alpine", "hub/library/alpine"),
        ("docker.io", "hub/library/alpine", "hub/library/alpine"),
        ("quay.io", "team/app", "mirror/quay/team/app"),
        ("ghcr.io", "ghcr.io/team/app", "ghcr.io/team/app"),
        ("lan:5000", "carried/lan-5000/app", "carried/lan-5000/app"),
    ],
)
def test_a_name_within_a_registry_is_one_of_ours(namespace: str, name: str, ours: str) -> None:
    assert NAMES.within(namespace, name) == ours


@pytest.mark.parametrize("namespace", ["ghcr.io", "docker.io:443", "", "x" * 5000])
def test_a_registry_that_is_not_mirrored_is_unknown(namespace: str) -> None:
    with pytest.raises(NameUnknown, match="is not mirrored here; ask there"):
        NAMES.within(namespace, "library/alpine")


@pytest.mark.parametrize(
    ("names", "name", "ours"),
    [
        (NAMES, "library/alpine", "hub/library/alpine"),
        (NAMES, "hub/library/alpine", None),
        (NAMES, "mirror/quay/app", None),
        (NAMES, "mirror/app", "hub/mirror/app"),
        (replace(NAMES, default=""), "library/alpine", None),
    ],
)
def test_a_name_that_nothing_of_ours_has_may_be_meant_of_the_default(
    names: MirrorNames, name: str, ours: str | None
) -> None:
    assert names.instead(name) == ours


async def _push(api: ASGIApp, name: str, manifest: Content) -> None:
    headers = {"Content-Type": manifest.media_type}
    reply = await call(api, "PUT", f"/v2/{name}/manifests/v1", body=manifest.data, headers=headers)
    assert reply.status == 201, reply.body


async def test_what_is_ours_comes_first_and_a_namespace_is_told_back(make_api: MakeApi) -> None:
    api = make_api(rules=Rules(check_references=False), names=NAMES)
    await _push(api, "hub/library/alpine", IMAGE.manifest)
    await _push(api, "team/app", OWN.manifest)

    by_ns = await call(api, "GET", "/v2/library/alpine/manifests/v1?ns=docker.io")
    by_default = await call(api, "GET", "/v2/library/alpine/manifests/v1")
    own = await call(api, "GET", "/v2/team/app/manifests/v1")
    unknown_ns = await call(api, "GET", "/v2/team/app/manifests/v1?ns=ghcr.io")
    nowhere = await call(api, "GET", "/v2/team/none/manifests/v1")
    deletion = await call(api, "DELETE", "/v2/library/alpine/manifests/v1")

    assert by_ns.body == by_default.body == IMAGE.manifest.data
    assert by_ns.headers["oci-namespace"] == "docker.io"
    assert "oci-namespace" not in by_default.headers
    assert own.body == OWN.manifest.data
    assert (unknown_ns.status, unknown_ns.codes) == (404, ["NAME_UNKNOWN"])
    assert nowhere.status == 404
    assert deletion.status == 404


class _Refusing:
    """A guard that knows nobody, and counts who asks."""

    service = "registry.test"

    def __init__(self) -> None:
        self.asked = 0

    def recall(self, _: str | None) -> None:
        """See `Guard`."""

    async def identify(self, *_: object) -> Caller:
        """See `Guard`."""
        self.asked += 1
        raise Unauthenticated("the user name or password is wrong")


async def test_a_wrong_password_is_tried_once(backend: MemoryBackend) -> None:
    """Whoever fails is held back after so many tries."""
    guard, locations = _Refusing(), Locations(relative=True, external_url="", proxies=Proxies())
    options = ApiOptions(locations, allow_delete=True, max_uploads=1, default_page_size=1, max_page_size=1, names=NAMES)
    policy = PolicySource(Policy(DEFAULT_RULES))
    gate = Gate(policy, guard, GateOptions("", "/auth/token", locations, Proxies()))  # type: ignore[arg-type]
    api = RegistryApi(Registry(backend, Rules()), gate, options, Audit(None, Proxies()))

    reply = await call(api, "GET", "/v2/library/alpine/manifests/v1", headers={"Authorization": "Basic eDp5"})

    assert (reply.status, guard.asked) == (401, 1)


async def test_what_bundles_bring_is_found_with_a_default_and_no_mirror(make_api: MakeApi) -> None:
    api = make_api(rules=Rules(check_references=False), names=MirrorNames(default="docker.io"))
    await _push(api, "docker.io/library/alpine", IMAGE.manifest)

    bare = await call(api, "GET", "/v2/library/alpine/manifests/v1")
    by_ns = await call(api, "GET", "/v2/library/alpine/manifests/v1?ns=docker.io")
    named = await call(api, "GET", "/v2/docker.io/library/alpine/manifests/v1?ns=docker.io")
    missing = await call(api, "GET", "/v2/library/other/manifests/v1")

    assert bare.body == by_ns.body == named.body == IMAGE.manifest.data
    assert missing.status == 404


async def test_without_mirrors_a_namespace_means_nothing(make_api: MakeApi) -> None:
    api = make_api(rules=Rules(check_references=False))
    await _push(api, "team/app", OWN.manifest)

    reply = await call(api, "GET", "/v2/team/app/manifests/v1?ns=docker.io")

    assert reply.body == OWN.manifest.data
    assert "oci-namespace" not in reply.headers
