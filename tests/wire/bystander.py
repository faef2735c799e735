"""Content that was there before: whatever a test does to a registry, this must read back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.images import random_image
from tests.wire.repository import Repository
from tests.wire.wire import Wire


@contextmanager
def bystander(wire: Wire, seed: int) -> Iterator[None]:
    """Push an image, let the test happen, and read the image back; the registry answers as before."""
    repository, value = Repository(wire, f"wire/bystander-{seed:08x}"), random_image(seed)
    repository.push("earlier", value)
    yield
    assert wire.call("GET", "/v2/").status == 200
    repository.assert_holds("earlier", value)
