"""Tags where a version is an entity tag: what is written anew with the same bytes has the version of the old."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from registry.content.digest import Digest
from registry.content.names import RepositoryName, Tag
from registry.content.repository import Registry, Rules
from storage_backends.s3 import S3Backend
from storage_backends.s3_options import S3Options
from tests.buckets.faults import Before
from tests.buckets.gateway import Gateway
from tests.buckets.proxy import Proxy
from tests.unit.content.documents import encoded, index

pytestmark = pytest.mark.anyio
_SECONDS = 20.0


@pytest.fixture
def other_proxy(gateway: Gateway) -> Iterator[Proxy]:
    """What another process reaches the server through."""
    proxy = Proxy(gateway.port)
    yield proxy
    proxy.close()


async def test_a_tag_that_is_pushed_while_its_manifest_is_deleted_stays_if_the_push_was_acknowledged(
    options: S3Options, proxy: Proxy, other_proxy: Proxy
) -> None:
    patient = replace(options, read_timeout=_SECONDS)
    pusher = Registry(S3Backend(patient), Rules())
    deleter = Registry(S3Backend(replace(patient, endpoint=other_proxy.endpoint)), Rules())
    name, tag, data = RepositoryName("team/app"), Tag("t"), encoded(index())
    digest = Digest.of(data)
    await pusher.put_manifest(name, digest, data, None)
    tag_comes, link_goes, push_looks, tag_goes, pushed = (threading.Event() for _ in range(5))

    def before_the_tag() -> None:
        tag_comes.set()
        proxy.break_("HeadObject", Before(before_the_look), part=f"revisions/sha256/{digest.encoded}")
        link_goes.wait(_SECONDS)

    def before_the_look() -> None:
        push_looks.set()
        tag_goes.wait(_SECONDS)

    def before_the_link_goes() -> None:
        link_goes.set()
        push_looks.wait(_SECONDS)

    def before_the_tag_goes() -> None:
        tag_goes.set()
        pushed.wait(_SECONDS)

    proxy.break_("PutObject", Before(before_the_tag), part="tags/t/current")
    other_proxy.break_("DeleteObject", Before(before_the_link_goes), part=f"revisions/sha256/{digest.encoded}")
    other_proxy.break_("DeleteObject", Before(before_the_tag_goes), part="tags/t/current")

    push = asyncio.create_task(pusher.put_manifest(name, tag, data, None))
    push.add_done_callback(lambda _: pushed.set())
    assert await asyncio.to_thread(tag_comes.wait, _SECONDS)
    assert await asyncio.to_thread(tag_comes.wait, _SECONDS)
    await deleter.delete_manifest(name, digest)
    await push

    assert other_proxy.left() == 0
    assert await pusher.resolve(name, tag) == digest
    assert (await deleter.tags(name, "", 10)).names == ("t",)
