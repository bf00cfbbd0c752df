"""The versions of several fields as the one column that features have."""

from typing import Any

import polars as pl

from metaxy.columns import BY_FIELD_COLUMNS, METAXY_PROVENANCE_BY_FIELD
from metaxy.content.frames import ERROR, VERSION, check_option, shown
from metaxy.errors import ContentError


def versions(*, name: str = METAXY_PROVENANCE_BY_FIELD, **fields: Any) -> pl.Series:
    """Put versions of fields together, as the column by field that root features are written with.

    Frames: what `hash_files` and its like return, Series or lists of versions → one Series of structs

    Args:
        name: The column: ``metaxy_data_version_by_field`` is for features that Metaxy versions itself.
        **fields: The versions of each field: a frame of a hash function, a Series, or a list of text.

    Raises:
        ContentError: if a sample has no version, with how many and an example.
        ValueError: if there are no fields, or they have not equally many versions.

    >>> import metaxy.content as content
    >>> content.versions(audio=["sha256:1f", "sha256:2e"], frames=["v1", "v1"]).to_list()
    [{'audio': 'sha256:1f', 'frames': 'v1'}, {'audio': 'sha256:2e', 'frames': 'v1'}]
    """
    check_option("name", name, BY_FIELD_COLUMNS)
    if not fields:
        raise ValueError("no field was given; pass the versions of each, such as versions(audio=…, frames=…)")
    columns = {field: _versions_of(field, given) for field, given in fields.items()}
    lengths = {field: len(column) for field, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{field} has {length}" for field, length in lengths.items())
        raise ValueError(f"fields need equally many versions, one per sample, but {counts}")
    return pl.DataFrame(columns).to_struct(name)


def _versions_of(field: str, given: Any) -> pl.Series:
    """Return the versions of one field, all of which are there."""
    frame = given.to_native() if hasattr(given, "to_native") else given
    if isinstance(frame, pl.DataFrame):
        if VERSION not in frame.columns:
            raise ValueError(f"the frame for field {field!r} has no column {VERSION!r}; pass the column you mean")
        column = frame[VERSION]
    else:
        column = pl.Series(field, frame)
    if not len(column):
        return column.cast(pl.String)
    missing = column.is_null()
    if missing.any():
        raise ContentError(_missing(field, frame, missing))
    if column.dtype != pl.String:
        raise ValueError(f"versions of field {field!r} are {column.dtype}, not text; hash them first, by hash_values")
    return column


def _missing(field: str, frame: Any, missing: pl.Series) -> str:
    """Say how many samples have no version, and name one."""
    place = missing.arg_true()[0]
    example = f"row {place}"
    if isinstance(frame, pl.DataFrame):
        row = frame.row(place, named=True)
        example = f"{shown(next(iter(row.values())))}: {row[ERROR]}" if row.get(ERROR) else example
    return (
        f"{missing.sum()} of {len(missing)} samples have no version of field {field!r}, such as {example}; "
        "mend them, or leave them out"
    )
