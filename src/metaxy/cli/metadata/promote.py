"""`mx metadata promote`: what a preview added, to the store that it lies over."""

import sys
from typing import Annotated

from cyclopts import Parameter

from metaxy.cli.output import done, say
from metaxy.cli.selection import Features, Flag, warn_of_unknown
from metaxy.cli.workspace import workspace
from metaxy.service import maintenance


def promote(
    branch: str,
    features: Features = None,
    *,
    target: Annotated[str, Parameter(name="--to")],
    force: Flag = False,
    dry_run: Flag = False,
) -> None:
    """Copy what a store added to the rows of another one, which it sees under its own, to that one.

    Args:
        branch: Name of the store to copy from; only its own rows are copied, with history and deletions.
        features: Keys of features, all by default; those that are not known are left out, with a warning.
        target: Name of the store to copy to, one of its fallback stores.
        force: Copy to a store on which it does not fall back.
        dry_run: Only say how many rows would be copied.
    """
    project = workspace()
    warn_of_unknown(project.unknown(features))
    copied = maintenance.promote(
        project,
        features,
        branch=branch,
        target=target,
        force=force,
        dry_run=dry_run,
        progress=sys.stderr.isatty(),
    )
    what = f"{copied.features} feature(s), {copied.rows} row(s)"
    say(f"Dry run: would promote {what}") if dry_run else done(f"Promoted {what} of {branch} to {target}")
