"""What the page asks, and the answers of the service as plain data.

An answer is found by a path that is named like a file, as an export has it as one. Nothing here knows of HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timezone
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from metaxy.service.activity import activity
from metaxy.service.browsing import PageColumn, column_statistics, page
from metaxy.service.claims import claims
from metaxy.service.columns import column_sources, columns
from metaxy.service.counts import Counts
from metaxy.service.drawings import drawing
from metaxy.service.exact_values import exact
from metaxy.service.failures import Failure
from metaxy.service.features import dependents, descriptions
from metaxy.service.graph import (
    CURRENT,
    LATEST,
    Comparison,
    GitRevision,
    RenderConfig,
    compare,
    graph,
    named_version,
    with_work,
)
from metaxy.service.history import Snapshot, VersionChange, history, version_changes
from metaxy.service.project import Project
from metaxy.service.row_errors import SampleError, errors
from metaxy.service.samples import Near, sample
from metaxy.service.store_states import store_states
from metaxy.service.stores import stores
from metaxy.ui.counts import Subject
from metaxy.ui.guard import Refusal
from metaxy.ui.media import media_kind
from metaxy.ui.options import Options
from metaxy.ui.query import FARTHEST, HIDDEN, LARGEST, Question, without_values

Answer: TypeAlias = dict[str, Any]

USUAL: Final = 50  # rows of a page
ERRORS: Final = 500
PUSHES: Final = 500


@dataclass(frozen=True)
class Api:
    """Answers questions about a project; ``last`` gives the counts that a feature had, if they are known."""

    project: Project
    options: Options
    last: Callable[[Subject], Counts | None] = lambda _: None

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """Return the answer at a path such as `features/video/crop/about.json`.

        Raises:
            Refusal: if there is no such question, or it may not be asked.
            MetaxyError: if the service cannot answer.
        """
        feature, name = split(path)
        known = OF_PROJECT if feature is None else OF_FEATURES
        if name not in known:
            raise Refusal(404, "there is no such question")
        with self.project.active():
            return known[name](Question(self.project, self.options, query, feature or "", self.last))

    def told(self, failure: Failure) -> str:
        """Return what may be said of an error: what the data are is no request, and its text may have values in it."""
        hidden = failure.kind == "failure" and not self.options.rows
        return f"{failure.code}: {HIDDEN}" if hidden else failure.message


def split(path: str) -> tuple[str | None, str]:
    """Return the feature that a path is about, if it is about one, and the name of the question.

    >>> split("features/video/crop/about.json"), split("graph.json"), split("x/graph.json")
    (('video/crop', 'about.json'), (None, 'graph.json'), (None, ''))
    """
    folder, _, name = path.rpartition("/")
    if folder.startswith("features/"):
        return folder.removeprefix("features/"), name
    return None, "" if folder else name


# -- the project -------------------------------------------------------------------------------------------------------


def _project(asked: Question) -> Answer:
    project, options = asked.project, asked.options
    return {
        "project": project.name,
        "metaxy": version("metaxy"),
        "stores": [each.data() for each in stores(project)] if project.config.stores else [],
        "store": options.store or project.config.store,
        "rows": options.rows,
        "media": asked.has_media,
        "origins": list(options.origins) if options.rows else [],
        "exported": None,
        "features": [_named(each) for each in descriptions(project)],
    }


def _named(about: Mapping[str, Any]) -> Answer:
    shown = {name: about[name] for name in ("key", "project", "description")}
    return shown | {"fields": [field["key"] for field in about["fields"]]}


def _graph(asked: Question) -> Answer:
    return _drawn(asked.project)


@lru_cache(maxsize=1)
def _drawn(project: Project) -> Answer:
    """Draw the graph once: it is that of the code as this process loaded it."""
    return vars(drawing(graph(project), RenderConfig(project=project.scope), live=True))


def _pushes(asked: Question) -> Answer:
    found = history(asked.project, asked.store)
    return {"pushes": [_recorded(each) for each in found[:PUSHES]], "more": len(found) > PUSHES}


def _recorded(entry: Snapshot | VersionChange) -> Answer:
    moment = entry.recorded_at.replace(tzinfo=timezone.utc)
    shown = asdict(entry) | {"recorded_at": moment.isoformat()}
    if "tags" in shown:
        shown["tags"].pop("metaxy", None)  # with what it was pushed
    return shown


def _stores(asked: Question) -> Answer:
    return {"stores": [each.data() for each in store_states(asked.project)]}


def _diff(asked: Question) -> Answer:
    old, new = asked.query.get("from") or LATEST, asked.query.get("to") or CURRENT
    counted = asked.flag("stats")
    if counted and new != CURRENT:
        raise Refusal(400, "what it will compute is counted for the code as it is", f"compare with {CURRENT}")
    found = compare(asked.project, _side(old), _side(new), asked.store)
    found = with_work(asked.project, found, asked.store) if counted else found
    picture = drawing(found.view, RenderConfig(project=asked.project.scope, title=f"{old} → {new}"))
    return {
        **vars(picture),
        "summary": _summary(found),
        "features": [_change(each, asked.options) for each in found.data()],
    }


def _side(text: str) -> str | GitRevision:
    found = named_version(text)
    return replace(found, is_own=True) if isinstance(found, GitRevision) else found


def _summary(found: Comparison) -> Answer:
    return {"is_described_differently": found.is_described_differently, "needs_computing": found.needs_computing}


def _change(change: Answer, options: Options) -> Answer:
    work = dict(change["work"] or {})
    told = {**work, "error": work.pop("unknown")} if work else None
    return change | {"work": told and without_values(told, options)}


# -- one feature -------------------------------------------------------------------------------------------------------


def _about(asked: Question) -> Answer:
    project = asked.project
    [about] = descriptions(project, [asked.feature])
    definition = project.graph.get_feature_definition(about["key"])
    sources = column_sources(project, definition)
    own = [
        {
            **asdict(column),
            "sources": [{"feature": str(key), "column": name} for key, name in sources.get(column.name, ())],
        }
        for column in columns(definition)
    ]
    return about | {"columns": own, "dependents": dependents(project, asked.feature)}


def _history(asked: Question) -> Answer:
    return {"versions": [_recorded(each) for each in version_changes(asked.project, asked.feature, asked.store)]}


def _rows(asked: Question) -> Answer:
    asked.rows_only()
    found = page(
        asked.project,
        asked.feature,
        store=asked.store,
        limit=asked.number("limit", USUAL, least=1, most=LARGEST),
        offset=asked.number("offset", 0, most=FARTHEST),
        filters=asked.filters,
        system_columns=asked.flag("system"),
    )
    return {"columns": _shown(asked, found.columns, found.rows), "rows": found.rows, "more": found.more}


def _shown(asked: Question, named: Sequence[PageColumn], rows: Sequence[Sequence[Any]]) -> list[Answer]:
    """Return columns, with what the page shows their values as."""
    kinds = [media_kind(row[place] for row in rows) if asked.has_media else None for place in range(len(named))]
    return [
        {"name": column.name, "type": column.type, "system": column.is_system, "media": kind}
        for column, kind in zip(named, kinds, strict=True)
    ]


def _sample(asked: Question) -> Answer:
    asked.rows_only()
    found = sample(asked.project, asked.feature, asked.ids, store=asked.store)
    rows = [*([] if found.row is None else [found.row]), *found.earlier]
    return {
        "ids": found.ids,
        "columns": _shown(asked, found.columns, rows),
        "row": found.row,
        "earlier": found.earlier,
        "errors": [_error(asked, each) for each in found.errors],
        "parents": [_near(asked, each) for each in found.parents],
        "children": [_near(asked, each) for each in found.children],
    }


def _near(asked: Question, found: Near) -> Answer:
    return vars(found) | {"columns": _shown(asked, found.columns, found.rows)}


def _columns(asked: Question) -> Answer:
    asked.rows_only()
    return asdict(column_statistics(asked.project, asked.feature, store=asked.store, filters=asked.filters))


def _errors(asked: Question) -> Answer:
    found = errors(asked.project, [asked.feature], store=asked.store, all_attempts=asked.flag("all"))
    found.sort(key=lambda each: each.recorded_at, reverse=True)
    shown = [_error(asked, each) for each in found[:ERRORS]]
    return {"errors": shown, "more": len(found) > ERRORS, "total": len(found)}


def _error(asked: Question, error: SampleError) -> Answer:
    """Return an error; its text may have values in it."""
    ids = {name: exact(value) for name, value in error.ids.items()}
    message = exact(error.error_message)
    hidden = {} if asked.options.rows else {"ids": None, "error_message": None}
    return error.data() | {"ids": ids, "error_message": message} | hidden


def _claims(asked: Question) -> Answer:
    return {"claims": [each.data() for each in claims(asked.project, [asked.feature], store=asked.store)]}


def _activity(asked: Question) -> Answer:
    last = asked.last_counts
    found = activity(asked.project, asked.feature, store=asked.store, count_left=last is None)
    return (found.with_left(last.stats.left) if last else found).data()


Known: TypeAlias = Mapping[str, Callable[[Question], Answer]]
OF_PROJECT: Final[Known] = {
    "project.json": _project,
    "graph.json": _graph,
    "history.json": _pushes,
    "stores.json": _stores,
    "diff.json": _diff,
}
OF_FEATURES: Final[Known] = {
    "about.json": _about,
    "history.json": _history,
    "rows.json": _rows,
    "columns.json": _columns,
    "errors.json": _errors,
    "claims.json": _claims,
    "activity.json": _activity,
    "sample.json": _sample,
}
