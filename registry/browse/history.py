"""How an image came about, step by step, as `docker history` has it: the newest first. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from registry.browse.images import Image, time_said
from registry.content.descriptors import Descriptor
from registry.content.digest import Digest
from registry.content.image_config import Step


@dataclass(frozen=True, slots=True)
class Made:
    """A step of an image's history. `image` is known of the last one only, `layer` and `size` (its compressed bytes) if
    the step has made one.
    """

    image: Digest | None
    created: datetime | None
    created_by: str
    comment: str
    layer: Digest | None
    size: int


def history(image: Image) -> Sequence[Made]:
    """All steps. Layers that the history does not tell of are steps without words."""
    steps = list(image.config.history) if image.config is not None else []
    told = sum(step.made for step in steps)
    steps += [Step()] * (len(image.layers) - told)
    found = list(_with_layers(steps, iter(image.layers)))
    return [_made(image, step, layer, last=place == 0) for place, (step, layer) in enumerate(reversed(found))]


def _with_layers(steps: Sequence[Step], layers: Iterator[Descriptor]) -> Iterator[tuple[Step, Descriptor | None]]:
    for step in steps:
        yield step, next(layers, None) if step.made else None


def _made(image: Image, step: Step, layer: Descriptor | None, *, last: bool) -> Made:
    return Made(
        image.id if last else None,
        time_said(step.created),
        step.created_by,
        step.comment,
        layer.digest if layer else None,
        layer.size if layer else 0,
    )
