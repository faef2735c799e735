"""Listings of a bucket against the obvious, a sorted list: also where S3's order is another one."""

import asyncio
import dataclasses
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage_backends.s3 import S3Backend
from storage_backends.s3_bucket import Answer, Bucket
from storage_backends.s3_options import S3Options
from tests.contract.test_listings import _KEY, _KEYS, _PART, _all_pages, _fill

_NUMBERS = itertools.count()
_FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _fresh(options: S3Options) -> S3Backend:
    """An empty part of the bucket."""
    return S3Backend(dataclasses.replace(options, prefix=f"part-{next(_NUMBERS)}/", concurrency=4))


@_FEW
@given(
    keys=_KEYS,
    prefix=st.one_of(st.just(""), _KEY, _KEY.map(lambda key: f"{key}/")),
    after=_KEY,
    limit=st.integers(1, 5),
)
def test_pages_of_keys_are_those_of_a_sorted_list(
    options: S3Options, keys: set[str], prefix: str, after: str, limit: int
) -> None:
    expected = sorted(key for key in keys if key.startswith(prefix) and key > after)
    backend = _fresh(options)
    asyncio.run(_fill(backend, keys))
    assert asyncio.run(_all_pages(lambda start: backend.list(prefix, after=start, limit=limit), after)) == expected


@_FEW
@given(keys=_KEYS, prefix=st.one_of(st.just(""), _KEY.map(lambda key: f"{key}/")), after=_PART, limit=st.integers(1, 5))
def test_pages_of_names_are_those_of_a_sorted_list(
    options: S3Options, keys: set[str], prefix: str, after: str, limit: int
) -> None:
    names = {key[len(prefix) :].partition("/")[0] for key in keys if key.startswith(prefix)}
    backend = _fresh(options)
    asyncio.run(_fill(backend, keys))
    pages = _all_pages(lambda start: backend.children(prefix, after=start, limit=limit), after)
    assert asyncio.run(pages) == sorted(name for name in names if name > after)


@pytest.mark.anyio
async def test_names_that_begin_other_names_stand_before_them_on_every_page(options: S3Options) -> None:
    backend = _fresh(options)
    names = ["1", "1-alpine", *(f"1.{number}" for number in range(30)), "1.9-rc", "10", "v1", "v1.0.0-rc.1"]
    await backend.put_many([(f"t/{name}/current/link", b"x") for name in names])
    for limit in (1, 2, 7, 100):
        found: list[str] = []
        more = True
        while more:
            page = await backend.children("t/", after=found[-1] if found else "", limit=limit)
            found += page.entries
            more = page.more
        assert found == sorted(names)


@pytest.mark.anyio
async def test_objects_that_no_key_can_name_are_not_listed(options: S3Options) -> None:
    """Consoles make an empty object for a folder; who copies a volume to a bucket copies what strayed there, too."""
    backend = _fresh(options)
    odd = ["t/", ".DS_Store", "t/.nfs0000001", "t/.d/file", "t/\u00e4"]
    for key in [*odd, "t/a", "t/b", "u"]:
        backend._bucket.call("put_object", key, Body=b"")

    found: list[str] = []
    more = True
    while more:
        page = await backend.list("", after=found[-1] if found else "", limit=1)
        found += page.entries
        more = page.more
    assert found == ["t/a", "t/b", "u"]


@pytest.mark.anyio
async def test_a_page_without_entries_is_not_the_end(options: S3Options, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = _fresh(options)
    await backend.put_many([("t/a-b", b""), ("t/a/c", b"")])
    whole = Bucket.list

    def empty_first(bucket: Bucket, prefix: str, **arguments: object) -> Answer:
        if "ContinuationToken" not in arguments:
            return {"IsTruncated": True, "NextContinuationToken": "what follows"}
        del arguments["ContinuationToken"]
        return whole(bucket, prefix, **arguments)

    monkeypatch.setattr(Bucket, "list", empty_first)

    assert (await backend.children("t/")).entries == ("a", "a-b")
    assert (await backend.list("t/")).entries == ("t/a-b", "t/a/c")
