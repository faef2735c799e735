"""`cargohold retention`: say what the retention policies keep and remove, and do it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli import output
from registry.cli.failure import MISUSED, Failure
from registry.cli.gc import settings_of_storage, told
from registry.cli.removing import ask, gc_after, print_json, removed_images, total
from registry.cli.settings_options import ConfigOption, RootOption
from registry.ops.stopping import run_until_stopped

if TYPE_CHECKING:
    from config.settings import Settings
    from registry.cleanup.image_removal import Removed
    from registry.cleanup.retention import Decision, Policy

_HEAD = ("REPOSITORY", "TAG", "IMAGE", "DECISION", "RULE", "POLICY")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for on the command line."""

    policy: str
    for_good: bool


@dataclass(slots=True)
class _Decided:
    """What all policies have decided, in the order of the run."""

    rows: list[tuple[str, str, "Decision"]] = field(default_factory=list)

    def tell(self, repository: str, policy: "Policy", decisions: "Sequence[Decision]") -> None:
        """See `Retaining`."""
        self.rows += [(repository, policy.name, decision) for decision in decisions]


def retention(  # noqa: PLR0917  # the command line gives them by name
    config: ConfigOption = None,
    root: RootOption = None,
    policy: Annotated[
        str, typer.Option("--policy", "-p", metavar="NAME", help="Only this policy.", show_default="all")
    ] = "",
    force: Annotated[bool, typer.Option("--force", "-f", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would stay and go, and by which rule.")
    ] = False,
    then_gc: Annotated[
        bool, typer.Option("--gc", help="Free the space at once; what went cannot be restored.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Remove the tags and images that no rule of `retention.policies` keeps.

    What would go is shown before you are asked; --dry-run also shows what stays, and why. Immutable tags are never
    taken, nor what was pushed within the grace period. Servers may run and clients may push meanwhile. A server does it
    by itself every `retention.interval_seconds`, for policies that are `enabled`. `cargohold restore` brings back what
    went until the grace period has passed; the next garbage collection after that frees the space.

    \b
    Examples:
      cargohold retention --config cargohold.yml --dry-run
      cargohold retention --config cargohold.yml --policy pull-requests
      cargohold retention --config cargohold.yml --force --json
    """
    from registry.app_retention import retention_problems  # noqa: PLC0415  # start-up time

    settings = settings_of_storage(config, root, (retention_problems,))
    _check(settings, policy)
    asked = _Asked(policy, then_gc)
    with told(settings.cleanup.lease_seconds):
        if dry_run or not force:
            removed, decided = run_until_stopped(_retain(settings, asked, dry_run=True))
            if not dry_run and removed.going:
                output.note(f"{_counted(removed, dry_run=True)}:")
                for line in _lines(removed):
                    output.note(f"  {line}")
                ask("WARNING! This will remove them.")
        if not dry_run:
            removed, decided = run_until_stopped(_retain(settings, asked, dry_run=False))
    collected = gc_after(settings, settings.cleanup.grace_seconds) if then_gc and not dry_run else None
    if as_json:
        print_json(removed, collected, dry_run=dry_run, decisions=[_row(*row) for row in decided.rows])
        return
    for note in removed.notes:
        output.note(note)
    if dry_run:
        output.table(_HEAD, [_cells(*row) for row in decided.rows])
        output.result("")
    elif removed.going:
        output.result("\n".join(_lines(removed)) + "\n")
    output.result(f"{_counted(removed, dry_run=dry_run)}. {total(removed, dry_run=dry_run, collected=bool(collected))}")


def _check(settings: "Settings", policy: str) -> None:
    names = [one.name for one in settings.retention.policies]
    if not names:
        raise Failure("there is no policy: write some as retention.policies, and name the file with --config", MISUSED)
    if policy and policy not in names:
        raise Failure(f"--policy: there is no policy {policy!r}, only {', '.join(names)}", MISUSED)


async def _retain(settings: "Settings", asked: _Asked, *, dry_run: bool) -> "tuple[Removed, _Decided]":
    from registry.app_cleanup import build_retention  # noqa: PLC0415  # start-up time

    decided = _Decided()
    work = build_retention(
        settings,
        lambda policy: policy.name == asked.policy or not asked.policy,
        decided.tell,
        for_good=asked.for_good,
        dry_run=dry_run,
    )
    removed = await removed_images(work)
    if asked.policy:
        decided.rows = [row for row in decided.rows if row[1] == asked.policy]
    return removed, decided


def _counted(removed: "Removed", *, dry_run: bool) -> str:
    tags = sum(len(one.tags) for one in removed.going)
    images = sum(one.whole for one in removed.going)
    return f"{'Would remove' if dry_run else 'Removed'} {tags} tags and {images} images"


def _lines(removed: "Removed") -> list[str]:
    found = []
    for one in removed.going:
        name = one.image.repository
        found += [f"untagged: {name}:{tag} ({one.reason})" for tag in one.tags]
        found += [f"deleted: {name}@{one.image.digest} ({one.reason})"] if one.whole else []
    return found


def _cells(repository: str, policy: str, decision: "Decision") -> tuple[str, ...]:
    candidate = decision.candidate
    verdict = "keep" if decision.keeps else "remove"
    return repository, candidate.tag or "<none>", candidate.digest.encoded[:12], verdict, decision.reason, policy


def _row(repository: str, policy: str, decision: "Decision") -> dict[str, object]:
    candidate = decision.candidate
    return {
        "repository": repository,
        "tag": candidate.tag or None,
        "digest": str(candidate.digest),
        "keep": decision.keeps,
        "rule": decision.reason,
        "policy": policy,
    }
