"""Makes a bundle out of images that lie in one or more places. Knows in which order; not where the places are."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from registry.content.places import Source
from registry.mirror.archive import Parts
from registry.mirror.bundle_base import Base
from registry.mirror.bundle_output import PartialFiles
from registry.mirror.bundle_writer import BundleWriter, whole_entries
from registry.mirror.copy import Copying, Options, each
from registry.mirror.progress import Event, Report, Wanted
from registry.mirror.seekable_zstd import Output, ZstdOutput


@dataclass(frozen=True, slots=True)
class Shape:
    """Into what a bundle is written: parts of `part_size` bytes (0: one file), compressed or not."""

    part_size: int = 0
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Making:
    """A bundle that has been begun, or is gone on with: `resumed` says how many bytes were there already."""

    files: PartialFiles
    writer: BundleWriter
    resumed: int


def request_of(parts: Iterable[str]) -> str:
    """A short hash of what a bundle is made from: only the same request goes on with what is there."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def begin(final: Path, request: str, shape: Shape, base: Base, *, differential: bool) -> Making:
    """Begin a bundle, or go on with one that was begun for the same request. *Blocking*.

    A compressed one is begun anew: where it ends cannot be told. Raises `BundleBusy`, `OSError`.
    """
    files = PartialFiles(final, request, shape.part_size)
    with ExitStack() as opened:
        opened.callback(files.close)
        files.forget_others()
        there = []
        if not shape.compress and files.tell():
            data = Parts(files.paths)
            there = whole_entries(data)
            data.close()
        output: Output = ZstdOutput(files) if shape.compress else files
        writer = BundleWriter(output, base, differential=differential, there=there)
        opened.pop_all()
    return Making(files, writer, there[-1].end if there else 0)


async def fill(
    writer: BundleWriter, groups: Sequence[tuple[Source, Sequence[Wanted]]], options: Options, report: Report
) -> None:
    """Put the images of each place into the bundle, one after the other; those that fail leave no trace in it."""

    def both(event: Event) -> None:
        writer.hear(event)
        report(event)

    for source, images in groups:
        await Copying(source, writer, replace(options, jobs=1, sparse=True), both).run(each(images))
