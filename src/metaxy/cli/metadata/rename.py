"""`mx metadata rename`: rows of features whose keys have changed."""

from collections.abc import Sequence

from metaxy.cli.output import OutputFormat, confirm, done, print_json, print_table, say
from metaxy.cli.selection import Flag, Store
from metaxy.cli.workspace import workspace
from metaxy.service.renaming import Renamed
from metaxy.service.renaming import rename as take_over
from metaxy.service.renaming import rename_column as column_of


def rename(
    old: str | None = None,
    new: str | None = None,
    *,
    drop_old: Flag = False,
    yes: Flag = False,
    dry_run: Flag = False,
    store: Store = None,
    format: OutputFormat = "plain",
) -> None:
    """Take rows over to the new key of a feature and rebase its children, so that nothing is computed again.

    Without keys, all features that say renamed_from are taken over. It can be interrupted, and repeated at any time.

    Args:
        old: The key that the feature had.
        new: The key that it has now.
        drop_old: Remove the old table afterwards; otherwise it stays, until `mx metadata tables drop`.
        yes: Do not ask before tables are dropped.
        dry_run: Only say how many rows would be taken over.
    """
    project = workspace()
    if drop_old and not dry_run:
        what = f"the table of {old}" if old else "the old tables of all features that say renamed_from"
        confirm(f"Drop {what} from {project.store_name(store)} once its rows are taken over", yes=yes)
    taken = take_over(project, old, new, store=store, drop_old=drop_old, dry_run=dry_run)
    if format == "json":
        print_json({"dry_run": dry_run, "features": [vars(each) for each in taken]})
    else:
        _tell(taken, dry_run=dry_run)


def rename_column(
    feature: str,
    old: str,
    new: str,
    *,
    dry_run: Flag = False,
    store: Store = None,
    format: OutputFormat = "plain",
) -> None:
    """Give a column of a feature's table another name; no version changes, so nothing becomes stale.

    Rows that were already written under the new name are joined by those of the old one.

    Args:
        feature: Key of the feature.
        old: The name of the column in the table.
        new: The name that it gets.
        dry_run: Only say how many rows have a value in it.
    """
    rows = column_of(workspace(), feature, old, new, store=store, dry_run=dry_run)
    if format == "json":
        print_json({"dry_run": dry_run, "feature": feature, "old": old, "new": new, "rows": rows})
        return
    where = f"in {rows} row(s) of {feature}"
    say(f"Dry run: {old} would become {new} {where}") if dry_run else done(f"{old} is {new} now {where}")


def _tell(taken: Sequence[Renamed], *, dry_run: bool) -> None:
    """Say of each feature how many rows were copied, and how many samples got new versions."""
    if taken:
        rows = ([str(each.feature), str(each.former or "-"), str(each.copied), str(each.rebased)] for each in taken)
        print_table("", ["Feature", "Former key", "Rows copied", "Samples rebased"], rows)
    copied, rebased = sum(each.copied for each in taken), sum(each.rebased for each in taken)
    what = f"{copied} row(s) copied, {rebased} sample(s) rebased"
    say(f"Dry run: {what.replace(' copied', ' would be copied')}") if dry_run else done(f"Rename complete: {what}")
