"""Downloads that break, drip or lie: they go on from where they were, or end in an error of ours."""

import asyncio
from dataclasses import replace

import pytest

from registry.content.errors import DigestInvalid, SizeInvalid
from registry.content.verifying import verified
from registry.mirror.endpoints import Endpoint
from registry.mirror.errors import UpstreamMisbehaved, UpstreamUnavailable
from registry.mirror.upstream import Upstream
from registry.mirror.upstream_options import UpstreamOptions
from tests.mirror.places import NAME, blocks
from tests.mirror.scripted import Asked, Says, scripted
from tests.mirror.upstreams import DATA, DIGEST, PATIENCE, read, upstream_at


def _from(asked: Asked) -> int:
    return int(asked.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def _part(start: int, cut: int | None = None) -> Says:
    headers = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
    return Says(206 if start else 200, DATA[start:], headers if start else {}, cut)


async def test_a_download_that_is_cut_goes_on_from_where_it_was() -> None:
    cuts = [1_000_000, 500_000]

    def script(asked: Asked) -> Says:
        return _part(_from(asked), cuts.pop() if cuts else None)

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert await read(upstream) == DATA

    starts = [_from(asked) for asked in registry.asked]
    assert starts[0] == 0
    assert 0 < starts[1] < starts[2]


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_blob_whose_size_its_answer_does_not_say_is_asked_for_it_and_goes_on_where_it_ended(
    *, chunked: bool
) -> None:
    """Also where the answer comes from a URL that may only be fetched, as those of S3 that are signed for GET."""
    cuts = [1_000_000]

    def script(asked: Asked) -> Says:
        if asked.path == "/signed":
            part = _part(_from(asked), cuts.pop() if cuts else None)
            return replace(part, sized=False, chunked=chunked) if asked.method == "GET" else Says(403)
        return Says(body=DATA) if asked.method == "HEAD" else Says(307, headers={"Location": "/signed"})

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            assert await read(upstream) == DATA
    assert len(registry.paths("HEAD")) == 1


async def test_a_download_that_never_ends_is_given_up_although_it_is_never_silent() -> None:
    with scripted(lambda asked: Says(200, DATA, drip=0.05)) as registry:
        options = UpstreamOptions(Endpoint.parse(registry.address), patience=replace(PATIENCE, trickle=0.2))
        async with Upstream(options) as upstream:
            with pytest.raises(UpstreamUnavailable, match="far too slowly"):
                await read(upstream)
    assert len(registry.asked) == 6, "each time it may have been the connection"


async def test_who_takes_their_time_with_what_has_come_does_not_make_a_registry_slow() -> None:
    with scripted(lambda asked: _part(_from(asked))) as registry:
        options = UpstreamOptions(Endpoint.parse(registry.address), patience=replace(PATIENCE, trickle=0.2))
        async with Upstream(options) as upstream, upstream.blob(NAME, DIGEST) as opened:
            size = 0
            async for block in opened.blocks:
                if not size:
                    await asyncio.sleep(0.3)
                size += len(block)
    assert size == len(DATA)
    assert len(registry.asked) == 1


async def test_a_registry_without_ranges_sends_the_blob_again_and_what_is_there_is_passed_over() -> None:
    cuts = [1_000_000]

    with scripted(lambda _: _part(0, cuts.pop() if cuts else None)) as registry:
        async with upstream_at(registry) as upstream:
            assert await read(upstream) == DATA
    assert len(registry.asked) == 2


async def test_a_download_that_breaks_without_getting_on_is_given_up() -> None:
    with scripted(lambda asked: _part(_from(asked), 1_000)) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamUnavailable):
                await read(upstream)
    assert len(registry.asked) < 10


async def test_another_range_than_was_asked_for_is_refused() -> None:
    def script(asked: Asked) -> Says:
        start = _from(asked)
        return _part(0, 1_000_000) if not start else Says(206, DATA, {"Content-Range": f"bytes 0-9/{len(DATA)}"})

    with scripted(script) as registry:
        async with upstream_at(registry) as upstream:
            with pytest.raises(UpstreamMisbehaved, match="another range"):
                await read(upstream)


@pytest.mark.parametrize(
    ("says", "error"),
    [(Says(body=DATA[:-1] + b"!"), DigestInvalid), (Says(body=DATA[:-1]), DigestInvalid)],
)
async def test_bytes_with_another_digest_are_found_before_the_last_of_them_is_handed_on(
    says: Says, error: type[Exception]
) -> None:
    got = 0
    with scripted(lambda _: says) as registry:
        async with upstream_at(registry) as upstream, upstream.blob(NAME, DIGEST) as opened:
            with pytest.raises(error):
                async for block in verified(DIGEST, opened.size, opened.blocks):
                    got += len(block)
    assert got < len(says.body)


async def test_more_bytes_than_announced_are_refused() -> None:
    with pytest.raises(SizeInvalid, match="more than 10"):
        [block async for block in verified(DIGEST, 10, blocks(DATA))]


@pytest.mark.parametrize("status", [200, 416])
async def test_a_registry_that_does_not_send_a_part_has_shown_nothing(status: int) -> None:
    with scripted(lambda _: Says(status, DATA)) as registry:
        async with upstream_at(registry) as upstream:
            assert await upstream.blob_part(NAME, DIGEST, 1000, 1000) == b""
