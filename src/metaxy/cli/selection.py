"""Which features a command works on: those that are named, or all of the project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter
from pydantic import ValidationError

from metaxy.cli.failures import USAGE, CommandError
from metaxy.cli.output import warn
from metaxy.cli.workspace import Workspace
from metaxy.definitions.filters import parse_filter_string
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    import narwhals as nw

Features: TypeAlias = Annotated[list[str] | None, Parameter(negative=())]
"""The type of the arguments FEATURES, also given by --features."""
AllFeatures: TypeAlias = Annotated[bool, Parameter(negative=())]
"""The type of the option --all-features."""
Filters: TypeAlias = Annotated[list[str] | None, Parameter(negative=(), allow_leading_hyphen=True)]
"""The type of the option --filter, which may be given several times."""


def selected_features(
    place: Workspace,
    features: Sequence[str] | None,
    all_features: bool,
    *,
    default_all: bool = False,
    strict: bool = True,
) -> list[FeatureKey]:
    """Return the keys of the features that a command works on, in the order they were named or registered.

    Args:
        place: what the command works on; its graph is loaded.
        features: the named features.
        all_features: whether all features of the project are meant, or of all projects with --all-projects.
        default_all: whether all are meant where nothing is said.
        strict: whether an unknown feature is an error; else a warning names it, and it is left out.

    Raises:
        CommandError: if nothing or too much is said, a key is malformed, or a feature is unknown.
    """
    if features and all_features:
        flags = ["FEATURES", "--all-features"]
        message = "name features, or give --all-features, not both"
        raise CommandError("CONFLICTING_FLAGS", message, exit_code=USAGE, conflicting_flags=flags)
    if features:
        return _known(place, features, strict=strict)
    if not (all_features or default_all):
        message = "say which features: name them, or give --all-features"
        raise CommandError(
            "MISSING_REQUIRED_FLAG", message, exit_code=USAGE, required_flags=["FEATURES", "--all-features"]
        )
    return project_features(place)


def project_features(place: Workspace) -> list[FeatureKey]:
    """Return the features of the project that the command is about, of all where it is about all.

    Raises:
        CommandError: if there are none, with where others were found.
    """
    keys = place.graph.list_features(place.projects, only_current_project=False)
    if not keys:
        place.refuse_no_config()
    return keys


def feature_key(text: str) -> FeatureKey:
    """Return the key that someone typed.

    Raises:
        CommandError: if it is malformed.
    """
    try:
        return coerce_to_feature_key(text)
    except (DefinitionError, ValidationError, ValueError, TypeError) as error:
        problems = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        message = f"{text!r} is not the key of a feature: {problems.removeprefix('Value error, ')}"
        raise CommandError("INVALID_FEATURE_KEY", message, exit_code=USAGE, key=text) from None


def _known(place: Workspace, features: Sequence[str], *, strict: bool) -> list[FeatureKey]:
    keys = list(dict.fromkeys(feature_key(text) for text in features))
    known = place.graph.feature_definitions_by_key
    missing = [str(key) for key in keys if key not in known]
    if missing and strict:
        raise unknown_features(missing, map(str, known))
    for name in missing:
        warn(f"feature {name!r} is not in the graph and is left out.{did_you_mean(name, map(str, known))}")
    return [key for key in keys if key in known]


def unknown_features(missing: Sequence[str], known: "Sequence[str] | map[str]") -> CommandError:
    """Return the error that names features which the graph does not have, with what may be meant."""
    names = sorted(known)
    named = ", ".join(map(repr, missing))
    close = "".join(did_you_mean(name, names) for name in missing)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    hint = f"known features: {shown}" if names else "the graph is empty"
    is_are = "is" if len(missing) == 1 else "are"
    return CommandError(
        "FEATURES_NOT_FOUND", f"{named} {is_are} not in the graph.{close}", hint=hint, features=list(missing)
    )


def known_feature(place: Workspace, text: str) -> FeatureKey:
    """Return the key of the one feature that a command is about.

    Raises:
        CommandError: if it is malformed, or not in the graph.
    """
    return _known(place, [text], strict=True)[0]


def parsed_filters(texts: Sequence[str] | None) -> "list[nw.Expr]":
    """Return the conditions of --filter.

    Raises:
        FilterParseError: if one cannot be parsed.
    """
    return [parse_filter_string(text) for text in texts or ()]
