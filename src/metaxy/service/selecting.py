"""Which features of a project someone means by patterns, and by how far around them."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import RequestError
from metaxy.service.features import where_features_are
from metaxy.service.project import Project
from metaxy.wording import did_you_mean, first_of


def select(project: Project, patterns: Sequence[str], *, up: int = 0, down: int = 0) -> list[FeatureKey]:
    """Return the features that are meant, dependencies first.

    A pattern is a key, or has ``*``, ``?`` and ``[…]`` as file names do; ``*`` alone is all features of the project.
    Other patterns find features of other projects as well.

    Args:
        up: How many levels of their parents as well.
        down: How many levels of their dependents as well.

    Raises:
        RequestError: if nothing matches a pattern; the message has the near key.
    """
    graph = project.graph
    known = {str(key): key for key in graph.feature_definitions_by_key}
    found: list[FeatureKey] = []
    for pattern in patterns:
        matching = project.keys() if pattern == "*" else [known[name] for name in known if fnmatchcase(name, pattern)]
        if not matching:
            raise _nothing_matches(project, pattern, sorted(known))
        found.extend(matching)
    return graph.get_features_around(found, up, down)


def _nothing_matches(project: Project, pattern: str, known: Sequence[str]) -> RequestError:
    where = f"project {project.name}" if project.name else "this project"
    message = f"no feature of {where} matches {pattern!r}.{did_you_mean(pattern, known)}"
    if not known:
        hint = "it has none; name their modules in entrypoints of metaxy.toml"
    else:
        hint = where_features_are(project) if pattern == "*" else f"known features: {first_of(known)}"
    return RequestError("FEATURES_NOT_FOUND", f"{message} ({hint})", features=[pattern])
