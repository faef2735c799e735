"""Promises 1 and 2 held against a registry that came back: what it owes is there, and whatever it serves is true."""

import json
from pathlib import Path

from tests.faults.client import Client, Owed

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def check_all(client: Client, root: Path) -> None:
    """Raise AssertionError on the first promise that is broken; afterwards `client` knows for sure what is there."""
    check_tree(root)
    check_answers(client)


def check_answers(client: Client) -> None:
    """The same, of what can be seen from outside."""
    _check_blobs(client)
    _check_manifests(client)
    _check_tags(client)
    _check_lists(client)
    _check_referrers(client)
    _check_session(client)


def check_tree(root: Path) -> None:
    """What lies in distribution's layout is whole: links with a digest each, and nothing else but blobs."""
    for path in (root / "docker").rglob("*"):
        if path.is_dir():
            continue
        assert path.name in ("link", "data"), f"{path} does not belong there"
        if path.name == "link":
            assert path.read_text().startswith("sha256:") and path.stat().st_size == 71, f"{path} is broken"


def _check_blobs(client: Client) -> None:
    for (name, digest), values in client.owed.blobs.items():
        answer = client.request("GET", f"/v2/{name}/blobs/{digest}")
        head = client.request("HEAD", f"/v2/{name}/blobs/{digest}")
        found = _found(client.owed, answer.status, digest, answer.body)
        assert head.status == answer.status
        assert found in values, f"blob {digest} of {name}: {answer.status}, owed {values}"
        client.owed.blobs[name, digest] = {found}


def _check_manifests(client: Client) -> None:
    for (name, digest), values in client.owed.manifests.items():
        answer = client.request("GET", f"/v2/{name}/manifests/{digest}")
        found = _found(client.owed, answer.status, digest, answer.body)
        assert found in values, f"manifest {digest} of {name}: {answer.status}, owed {values}"
        client.owed.manifests[name, digest] = {found}
        if found is not None:
            document = json.loads(answer.body)
            for descriptor in (document["config"], *document["layers"]):
                blob = client.request("GET", f"/v2/{name}/blobs/{descriptor['digest']}")
                assert _found(client.owed, blob.status, descriptor["digest"], blob.body), (
                    f"{digest} does not pull whole"
                )


def _check_tags(client: Client) -> None:
    for (name, tag), values in client.owed.tags.items():
        answer = client.request("GET", f"/v2/{name}/manifests/{tag}")
        digest = answer.headers.get("docker-content-digest", "")
        found = _found(client.owed, answer.status, digest, answer.body)
        assert found in values, f"tag {tag} of {name}: {answer.status} {digest}, owed {values}"
        client.owed.tags[name, tag] = {found}


def _check_lists(client: Client) -> None:
    there = {key for key, values in client.owed.tags.items() if values != {None}}
    for name in {name for name, _ in client.owed.tags}:
        answer = client.request("GET", f"/v2/{name}/tags/list")
        listed = json.loads(answer.body).get("tags", []) if answer.status == 200 else []
        assert listed == sorted(tag for where, tag in there if where == name)
    catalog = json.loads(client.request("GET", "/v2/_catalog").body)["repositories"]
    assert catalog == sorted(catalog)
    assert {name for name, _ in there} <= set(catalog)


def _check_referrers(client: Client) -> None:
    for name, _ in {(name, "") for name, _ in client.owed.manifests}:
        for subject in set(client.owed.subjects.values()):
            answer = client.request("GET", f"/v2/{name}/referrers/{subject}")
            listed = {entry["digest"] for entry in json.loads(answer.body)["manifests"]}
            owed = {
                digest
                for (where, digest), values in client.owed.manifests.items()
                if where == name and values != {None} and client.owed.subjects.get(digest) == subject
            }
            assert listed == owed, f"referrers of {subject} in {name}"


def _check_session(client: Client) -> None:
    """An upload that was under way goes on where the registry says, and gives the blob that was meant."""
    if not client.session:
        return
    session, client.session = client.session, ""
    status = client.request("GET", session)
    if status.status == 404:
        return  # it had finished, and only the answer was lost
    assert status.status == 204, status
    last = int(status.headers["range"].partition("-")[2])
    data = client.session_blob
    first = 0 if last == 0 else last + 1
    if last == 0 and data:
        # "0-0" is one byte or none; a chunk that begins at the wrong one is told so
        probe = client.request("PATCH", session, data[:1], Content_Range="0-0")
        assert probe.status in (202, 416), probe
        first = 1
    digest = next(digest for digest, content in client.owed.contents.items() if content == data)
    done = client.request("PUT", f"{session}?digest={digest}", data[first:])
    assert done.status == 201, done
    name = session.removeprefix("/v2/").partition("/blobs/")[0]
    blob = client.request("GET", f"/v2/{name}/blobs/{digest}")
    assert blob.body == data
    client.owed.blobs[name, digest] = {digest}


def _found(owed: Owed, status: int, digest: str, body: bytes) -> str | None:
    """The digest of what was served; None if nothing was. Whatever is served must be what its digest says."""
    if status == 404:
        return None
    assert status == 200, f"{digest}: {status} {body[:200]!r}"
    assert owed.contents[digest] == body, f"{digest} was served with other bytes"
    return digest
