"""Attempts to administer the registry, or to learn how it does, by who may do neither."""

from tests.security.attack import ALICE, PERSONAL, ROBOT, Attack, challenges, nobody, sent, with_password, with_token
from tests.security.world import Credential

_DENIED: list[tuple[str, Credential]] = [
    ("who may push somewhere", ALICE),
    ("who may delete somewhere", with_password("carol")),
    ("a robot", ROBOT),
    ("a personal token", PERSONAL),
]
_NOT_LOGGED_IN: list[tuple[str, Credential]] = [
    ("nobody", nobody),
    ("a wrong password", with_password("alice", "wrong horse")),
    ("a bearer token", with_token("alice", "repository:team/app:pull,push")),
    ("a bearer token for all that there is", with_token("alice", "registry:catalog:*")),
    ("an invented token", sent("Bearer abc.def.ghi")),
    ("no known scheme", sent("Digest x")),
]

ADMINISTRATION = [
    *(
        Attack(f"{method} /admin/gc is not for {who}", method, "/admin/gc", credential, 403, codes)
        for method, codes in (("GET", ("DENIED",)), ("POST", ("DENIED",)), ("HEAD", ()))
        for who, credential in _DENIED
    ),
    *(
        Attack(
            f"{method} /admin/gc asks {who} for a password",
            method,
            "/admin/gc",
            credential,
            401,
            ("UNAUTHORIZED",),
            check=challenges("Basic realm="),
        )
        for method in ("GET", "POST")
        for who, credential in _NOT_LOGGED_IN
    ),
    *(
        Attack(f"nothing else is there: {path}", "GET", path, ALICE, 404, codes)
        for path, codes in (
            ("/admin/", ("UNSUPPORTED",)),
            ("/admin/gc/", ("UNSUPPORTED",)),
            ("/admin/%67c", ("UNSUPPORTED",)),
            ("/admin//gc", ("UNSUPPORTED",)),
            ("/admin/../admin/gc", ("UNSUPPORTED",)),
            ("/v2/../admin/gc", ("UNSUPPORTED",)),
        )
    ),
]
