"""`mx metadata`: the rows of features. Each command is imported when it runs."""

from typing import Final

from cyclopts import App

# Name, where its function is, and what `mx metadata --help` says.
COMMANDS: Final = (
    ("status", "metaxy.cli.metadata.status:status", "Show which features are up to date."),
    ("show", "metaxy.cli.metadata.show:show", "Show rows of a feature."),
    ("errors", "metaxy.cli.metadata.errors:errors", "Show which samples could not be computed, and why."),
    ("stats", "metaxy.cli.metadata.show:stats", "Count the rows and versions that features have in a store."),
    ("copy", "metaxy.cli.metadata.copy:copy", "Copy features from one store to another."),
    ("promote", "metaxy.cli.metadata.copy:promote", "Copy what a preview added to the store that it lies over."),
    ("rebase", "metaxy.cli.metadata.rebase:rebase", "Take rows over to another version, without computing them again."),
    ("rename", "metaxy.cli.metadata.rename:rename", "Take rows over to the new keys of features that were renamed."),
    ("rename-column", "metaxy.cli.metadata.rename:rename_column", "Give a column of a feature another name."),
    ("claims", "metaxy.cli.metadata.claims:claims", "Show which samples workers have claimed."),
    ("tables", "metaxy.cli.metadata.tables:app", "Show, drop and rename tables of features that are no more."),
    ("delete", "metaxy.cli.metadata.delete:delete", "Delete rows of features."),
    ("clean", "metaxy.cli.metadata.delete:clean", "Delete the samples of features whose parents are gone."),
    ("drop", "metaxy.cli.metadata.delete:drop", "Remove the tables of features from a store."),
)

app = App(name="metadata", help="Show, count, copy, rebase, rename and delete the rows of features.")
for _name, _target, _summary in COMMANDS:
    app.command(_target, name=_name, help=_summary)
