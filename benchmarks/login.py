"""What a login costs: the same manifest from two of our servers over one directory, one of which asks for a login.

Neither writes an audit log: what that costs is another question.
"""

import base64
import json
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.client import Blob, push_image, requests_per_second
from benchmarks.servers import Command, running

_REPOSITORY = "bench/app"
_BASIC = "Basic " + base64.b64encode(b"bench:correct horse").decode()
_HTPASSWD = "bench:$2b$12$cPRtk769E51aZ/NbQPkxKOKAY3x9kR8Kjd19tqo5tlMe8gQNKzYxq\n"  # of the password above

Rates = tuple[list[float], list[float]]


def rates(ours: str, scratch: Path, rounds: int, seconds: float) -> Mapping[str, Rates]:
    """Requests per second, with a login and without one, round by round, for a bearer token and for Basic."""
    root = Path(tempfile.mkdtemp(dir=scratch))
    users = scratch / "htpasswd"
    users.write_text(_HTPASSWD)
    found: dict[str, Rates] = {}
    with (
        running(Command("open", ours), root) as without,
        running(
            Command("closed", f"env CARGOHOLD_LOG__AUDIT=off CARGOHOLD_AUTH__HTPASSWD={users} {ours}"), root
        ) as closed,
    ):
        digest = push_image(without.port, _REPOSITORY, "latest", Blob(4096))
        credentials: Mapping[str, Callable[[], str]] = {"token": lambda: _token(closed.port), "Basic": lambda: _BASIC}
        for kind, credential in credentials.items():
            for reference, label in (("latest", "tag"), (digest, "digest")):
                path = f"/v2/{_REPOSITORY}/manifests/{reference}"
                pairs: Rates = ([], [])
                for _ in range(rounds):
                    for values, port, login in ((pairs[0], closed.port, credential()), (pairs[1], without.port, "")):
                        values.append(
                            requests_per_second(port, "GET", path, connections=16, seconds=seconds, authorization=login)
                        )
                found[f"login: manifest GET by {label}, {kind}"] = pairs
    return found


def _token(port: int) -> str:
    target = f"http://127.0.0.1:{port}/auth/token?scope=repository:{_REPOSITORY}:pull"
    request = urllib.request.Request(target, headers={"Authorization": _BASIC})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return f"Bearer {json.load(answer)['token']}"
