"""Options that select the features a command works on: those that are named, or all of the project."""

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.failures import conflict, usage_error
from metaxy.cli.output import warn

Features: TypeAlias = Annotated[list[str] | None, Parameter(negative=())]
"""The type of the arguments FEATURES, also given by --features."""
AllFeatures: TypeAlias = Annotated[bool, Parameter(negative=())]
"""The type of the option --all-features."""
Filters: TypeAlias = Annotated[list[str] | None, Parameter(negative=(), allow_leading_hyphen=True)]
"""The type of the option --filter, which may be given several times."""
RowFilters: TypeAlias = Annotated[
    Filters,
    Parameter(help='Only rows that fulfil this condition, such as "size > 3"; may be given several times.'),
]
"""The same, of commands that do something to rows."""
Store: TypeAlias = Annotated[str | None, Parameter(help="Name of the store; the default one if not given.")]
"""The type of the option --store."""
Columns: TypeAlias = Annotated[list[str] | None, Parameter(negative=(), consume_multiple=True)]
"""The type of the option --columns."""
Limit: TypeAlias = Annotated[int, Parameter(validator=Number(gte=0))]
"""The type of the option --limit."""
Flag: TypeAlias = Annotated[bool, Parameter(negative=())]
"""The type of an option that is given or not."""


def named_features(
    features: Sequence[str] | None, all_features: bool, *, default_all: bool = False
) -> Sequence[str] | None:
    """Return the features that are named; None where all are meant, of the project or with --all-projects of all.

    Args:
        features: The named features.
        all_features: Whether all features are meant.
        default_all: Whether all are meant where nothing is said.

    Raises:
        RequestError: if nothing or too much is said.
    """
    if features and all_features:
        raise conflict("name features, or give --all-features, not both", "FEATURES", "--all-features")
    if not (features or all_features or default_all):
        message, flags = "say which features: name them, or give --all-features", ["FEATURES", "--all-features"]
        raise usage_error(message, code="MISSING_REQUIRED_FLAG", required_flags=flags)
    return features or None


def warn_of_unknown(unknown: Mapping[str, str]) -> None:
    """Say which features are left out, because the graph does not have them, and what may be meant."""
    for name, hint in unknown.items():
        warn(f"feature {name!r} is not in the graph and is left out.{hint}")
