"""Questions about a project, and their answers as plain values: what the command line and other faces are built on.

Most functions take a `Project`; ``features`` are their keys, by default of all that the project means; ``store`` is the
name of a configured one, by default the default one; ``filters`` are conditions such as `size > 3`. With ``dry_run``
rows are only counted. ``track`` is put around the features that are worked on, to show how far the work is. Nothing is
printed, and errors are those of `metaxy.errors`; `failures` makes values of them.
"""
