"""`mx metadata rebase`: rows that are still right, taken over to another version of their feature."""

from typing import Annotated

from cyclopts import Parameter

from metaxy.cli.output import done, progress, say
from metaxy.cli.selection import Flag, Store
from metaxy.cli.workspace import workspace
from metaxy.service import maintenance


def rebase(
    feature: str,
    *,
    from_version: Annotated[str, Parameter(name="--from")],
    to_version: Annotated[str | None, Parameter(name="--to")] = None,
    same_inputs: Flag = False,
    store: Store = None,
    dry_run: Flag = False,
) -> None:
    """Give rows of one version of a feature the versions of another, where what was computed is still right.

    Args:
        feature: Key of the feature.
        from_version: The version that the rows have; `mx history --feature KEY` shows versions.
        to_version: The version that they get; the current one by default.
        same_inputs: Only rows whose parents were computed to what they were, by other code.
        dry_run: Only say how many rows would be rebased.
    """
    with progress() as bar:
        bar.add_task(f"rebase {feature}", total=None)
        found = maintenance.rebase(
            workspace(),
            feature,
            from_version=from_version,
            to_version=to_version,
            same_inputs=same_inputs,
            store=store,
            dry_run=dry_run,
        )
    if found.left_out:
        what = "have other inputs, or no parents any more," if same_inputs else "have no parents any more"
        say(f"{found.left_out} row(s) {what} and are left out")
    if found.already_there:
        say(f"{found.already_there} row(s) have that version already")
    what = f"{found.rows} row(s)"
    say(f"Dry run: {what} would be rebased") if dry_run else done(f"Rebased {what}")
